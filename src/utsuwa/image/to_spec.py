"""What a container of an image starts with, by Docker's rules for entrypoint, command, environment and working
directory.
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.spec.image import ImageConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ProcessDefaults(Record):
    """The process of a container: ``user`` is as the image has it (name or ID, ``user:group``), looked up inside the
    container.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    stop_signal: str


def process_of(
    config: ImageConfig,
    command: Sequence[str] = (),
    entrypoint: Sequence[str] | None = None,
    env: Sequence[str] = (),
    user: str = "",
    workdir: str = "",
) -> ProcessDefaults:
    """The image's defaults with what a user asks for instead; raises InvalidArgument when nothing is left to run.

    An entrypoint given by the user (one empty word: none at all) drops the image's command too. ``NAME`` without ``=``
    in ``env`` takes a variable of the image away, as in Docker.
    """
    settings = config.settings
    if entrypoint is None:
        args = (*(settings.Entrypoint or ()), *(command or settings.Cmd or ()))
    else:
        args = (*(() if tuple(entrypoint) == ("",) else entrypoint), *command)
    if not args:
        raise InvalidArgument("no command specified, and the image has none")
    cwd = workdir or settings.WorkingDir or "/"
    return ProcessDefaults(
        args=tuple(args),
        env=environment(settings.Env or (), env),
        cwd=cwd if cwd.startswith("/") else f"/{cwd}",
        user=user or settings.User or "",
        stop_signal=settings.StopSignal or "SIGTERM",
    )


def environment(defaults: Sequence[str], changes: Sequence[str]) -> tuple[str, ...]:
    """Variables of the image, then those of the user, the later of one name winning in the place of the first; PATH
    always set.
    """
    merged = {"PATH": f"PATH={DEFAULT_PATH}"}
    for word in (*defaults, *changes):
        name, equals, _ = word.partition("=")
        if equals:
            merged[name] = word
        else:
            merged.pop(name, None)
    return tuple(merged.values())
