"""`utsuwa exec`: another process in a running container (docker exec)."""

from __future__ import annotations

import os

from utsuwa.cli.create_options import environment
from utsuwa.cli.detach import DetachKeys
from utsuwa.cli.flags import LIST, SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import Error, InvalidArgument

VERB = Verb(
    "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    (
        Option("detach", "d", SWITCH, "Detached mode: run command in the background"),
        Option("detach-keys", "", WORD, "Override the key sequence for detaching a container"),
        Option("env", "e", LIST, "Set environment variables"),
        Option("env-file", "", LIST, "Read in a file of environment variables"),
        Option("interactive", "i", SWITCH, "Keep STDIN open even if not attached"),
        Option("privileged", "", SWITCH, "Give extended privileges to the command"),
        Option("tty", "t", SWITCH, "Allocate a pseudo-TTY"),
        Option("user", "u", WORD, "Username or UID (format: <name|uid>[:<group|gid>])"),
        Option("workdir", "w", WORD, "Working directory inside the container"),
    ),
    least=2,
)


def run(words: list[str]) -> int:
    """The exit code is the process's, or 126 and 127 when it could not be run."""
    arguments = VERB.read(words, interspersed=False)
    if arguments is None:
        return 0
    from utsuwa.engine.execs import ExecRequest, Execs

    detach = arguments.on("detach")
    request = ExecRequest(
        command=tuple(arguments.words[1:]),
        env=environment(arguments),
        workdir=arguments.text("workdir") or None,
        user=arguments.text("user") or None,
        tty=arguments.on("tty"),
        stdin_open=arguments.on("interactive") and not detach,
        privileged=arguments.on("privileged"),
    )
    if request.tty and request.stdin_open and not os.isatty(0):
        raise InvalidArgument("the input device is not a TTY")
    keys = DetachKeys(arguments.text("detach-keys"))
    house = House()
    record = house.containers.find(arguments.words[0])
    from utsuwa.cli.session import Session, teller, terminal_size
    from utsuwa.cli.signals import Signals
    from utsuwa.identifiers import new_engine_id

    execution = new_engine_id()
    size = terminal_size() if request.tty else (0, 0)
    try:
        execs = Execs(house.paths, house.containers)
        connection = execs.start(record, request, attach=not detach, size=size, execution=execution)
    except Error as error:
        code = getattr(error, "code", 0)  # none when the container could not be asked
        error.exit_code = (127 if code == 127 else 126) if code and not detach else 1  # type: ignore[attr-defined]
        raise
    if detach:
        connection.close()
        return 0
    with Signals(resize=request.tty, proxy=False) as signals:
        left = teller(house.paths, record, "exec_detach", execID=execution)
        return Session(connection, signals, stdin=request.stdin_open, tty=request.tty, detach=keys, left=left).run()
