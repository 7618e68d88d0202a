"""`utsuwa run`: create a container, start it, and stay with it (docker run)."""

from __future__ import annotations

import os
import sys

from utsuwa.cli import create_options
from utsuwa.cli.detach import DetachKeys
from utsuwa.cli.flags import LIST, SWITCH, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.interpreter import need_extensions
from utsuwa.engine.images import with_tag
from utsuwa.errors import Error, InvalidArgument, NotFound, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cli.flags import Arguments
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.spec.request import RunRequest

VERB = Verb(
    "run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    (
        *create_options.OPTIONS,
        Option("attach", "a", LIST, "Attach to STDIN, STDOUT or STDERR"),
        Option("detach-keys", "", WORD, "Override the key sequence for detaching a container"),
        Option("detach", "d", SWITCH, "Run container in background and print container ID"),
        Option("sig-proxy", "", SWITCH, "Proxy received signals to the process", True),
    ),
    least=1,
)
_NOT_RUN = 125


def run(words: list[str]) -> int:
    """The exit code is the container's, or 125, 126, 127 when its process could not be run."""
    arguments = VERB.read(words, interspersed=False)
    if arguments is None:
        return 0
    try:
        return _run(arguments)
    except Error as error:
        # What went wrong before or while the process was started is told apart by the code only.
        error.exit_code = getattr(error, "code", getattr(error, "exit_code", _NOT_RUN))  # type: ignore[attr-defined]
        raise
    except OSError as error:
        failure = from_oserror(error, str(error.filename or "run"))
        failure.exit_code = _NOT_RUN  # type: ignore[attr-defined]
        raise failure from error


def _run(arguments: Arguments) -> int:
    detach = arguments.on("detach")
    request = create_options.request(arguments, detach)
    _check(arguments, request)
    keys = DetachKeys(arguments.text("detach-keys"))
    house = House()
    record = make(house, arguments, request, started_by_maker=True)
    if arguments.text("cidfile"):
        write_id(arguments.text("cidfile"), record)
    if detach:
        try:
            house.containers.start(record).close()
        finally:  # of a container that can't be started, too, as Docker does: it is there, unless --rm was asked for
            print(record.id, flush=True)
        return 0
    from utsuwa.cli.session import Session, teller, terminal_size
    from utsuwa.cli.signals import Signals

    attached = {stream.lower() for stream in arguments.list("attach")}
    size = terminal_size() if record.tty else (0, 0)
    stdin = record.openStdin and (not attached or "stdin" in attached)
    shown = attached or {"stdout", "stderr"}
    with Signals(resize=record.tty, proxy=arguments.on("sig-proxy")) as signals:
        connection = house.containers.start(record, attach=True, size=size)
        left = teller(house.paths, record, "detach")
        return Session(connection, signals, stdin=stdin, tty=record.tty, shown=shown, detach=keys, left=left).run()


def make(house: House, arguments: Arguments, request: RunRequest, *, started_by_maker: bool = False) -> ContainerRecord:
    """Create the container, and pull its image where --pull says so."""
    policy = arguments.text("pull")
    request = request.replace(platform=arguments.text("platform"))
    if policy not in ("always", "missing", "never"):
        raise InvalidArgument(f'invalid pull option: "{policy}": must be one of "always", "missing" or "never"')
    if policy == "always" or (policy == "missing" and _is_for_another(house, arguments)):
        _pull(house, arguments)
    _refuse_another(house, arguments)
    try:
        return house.containers.create(request, started_by_maker=started_by_maker)
    except NotFound as error:
        if policy != "missing" or not str(error).startswith("No such image"):
            raise
    need_extensions()
    print(f"Unable to find image '{with_tag(request.image)}' locally", file=sys.stderr)
    _pull(house, arguments)
    return house.containers.create(request, started_by_maker=started_by_maker)


def _is_for_another(house: House, arguments: Arguments) -> bool:
    """--platform was given, and the image is in the store for a different one."""
    if not arguments.text("platform"):
        return False
    try:
        house.images.resolve(arguments.words[0])
    except NotFound:
        return False
    try:
        house.images.resolve(arguments.words[0], arguments.text("platform"))
    except NotFound:
        return True
    return False


def _refuse_another(house: House, arguments: Arguments) -> None:
    if _is_for_another(house, arguments):
        raise NotFound(
            f"image with reference {arguments.words[0]} was found but does not provide the specified platform "
            f"({arguments.text('platform')})"
        )


def _pull(house: House, arguments: Arguments) -> None:
    need_extensions()
    from utsuwa.cli.pulling import pull

    pull(house, with_tag(arguments.words[0]), arguments.text("platform"), quiet=arguments.on("quiet"), out=sys.stderr)


def _check(arguments: Arguments, request: RunRequest) -> None:
    if arguments.on("detach") and arguments.list("attach"):
        raise BadUsage("conflicting options: cannot specify both --attach and --detach")
    for stream in arguments.list("attach"):
        if stream.lower() not in ("stdin", "stdout", "stderr"):
            raise BadUsage(
                f'invalid argument "{stream}" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR'
            )
    if request.tty and request.stdin_open and not request.detach and not os.isatty(0):
        error = InvalidArgument("the input device is not a TTY")
        error.exit_code = 1  # type: ignore[attr-defined]
        raise error


def write_id(path: str, record: ContainerRecord) -> None:
    """Write the id for --cidfile. Raises InvalidArgument when the file is there already."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise InvalidArgument(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        ) from None
    os.write(fd, record.id.encode())
    os.close(fd)
