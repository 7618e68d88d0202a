"""`utsuwa start`: run created or stopped containers (docker start)."""

from __future__ import annotations

from utsuwa.cli.detach import DetachKeys
from utsuwa.cli.flags import SWITCH, WORD, Arguments, BadUsage, Option
from utsuwa.cli.house import House, Verb, each

VERB = Verb(
    "start [OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    (
        Option("attach", "a", SWITCH, "Attach STDOUT/STDERR and forward signals"),
        Option("detach-keys", "", WORD, "Override the key sequence for detaching a container"),
        Option("interactive", "i", SWITCH, "Attach container's STDIN"),
        Option("sig-proxy", "", SWITCH, "Proxy received signals to the process", True),
    ),
    least=1,
)


def run(words: list[str]) -> int:
    """Print the names, or stay with the one container."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    house = House()
    if arguments.on("attach") or arguments.on("interactive"):
        if len(arguments.words) > 1:
            raise BadUsage("you cannot start and attach multiple containers at once")
        return _attached(house, arguments)

    def start(name: str) -> str:
        record = house.containers.find(name)
        status = house.containers.status(record)
        if not (status.alive or status.restarting):
            house.containers.start(record).close()
        return name

    return each(arguments.words, start)


def _attached(house: House, arguments: Arguments) -> int:
    from utsuwa.cli.session import Session, teller, terminal_size
    from utsuwa.cli.signals import Signals

    keys = DetachKeys(arguments.text("detach-keys"))
    record = house.containers.find(arguments.words[0])
    stdin = arguments.on("interactive") and record.openStdin
    size = terminal_size() if record.tty else (0, 0)
    with Signals(resize=record.tty, proxy=arguments.on("sig-proxy")) as signals:
        connection = house.containers.start(record, attach=True, size=size)
        left = teller(house.paths, record, "detach")
        return Session(connection, signals, stdin=stdin, tty=record.tty, detach=keys, left=left).run()
