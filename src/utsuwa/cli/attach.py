"""`utsuwa attach`: our standard streams to a running container (docker attach)."""

from __future__ import annotations

from utsuwa.cli.detach import DetachKeys
from utsuwa.cli.flags import SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb

VERB = Verb(
    "attach [OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    (
        Option("detach-keys", "", WORD, "Override the key sequence for detaching a container"),
        Option("no-stdin", "", SWITCH, "Do not attach STDIN"),
        Option("sig-proxy", "", SWITCH, "Proxy received signals to the process", True),
    ),
    least=1,
    most=1,
)


def run(words: list[str]) -> int:
    """The exit code is the container's."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.cli.session import Session, teller, terminal_size
    from utsuwa.cli.signals import Signals
    from utsuwa.monitor import frames

    keys = DetachKeys(arguments.text("detach-keys"))
    house = House()
    record = house.containers.find(arguments.words[0])
    connection = house.containers.attach(record)
    rows, columns = terminal_size()
    if record.tty and rows:
        connection.send(frames.RESIZE, frames.pack_size(rows, columns)[8:])
    stdin = record.openStdin and not arguments.on("no-stdin")
    with Signals(resize=record.tty, proxy=arguments.on("sig-proxy")) as signals:
        left = teller(house.paths, record, "detach")
        return Session(connection, signals, stdin=stdin, tty=record.tty, detach=keys, left=left).run()
