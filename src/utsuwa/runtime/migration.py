"""What `checkpoint` and `restore` have in common: requests, directories, CRIU's configuration and its complaints."""

from __future__ import annotations

import os

from utsuwa.criu import messages
from utsuwa.criu.service import errors
from utsuwa.errors import InvalidArgument, Unavailable, from_oserror
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.criu.messages import Response

DESCRIPTORS = "descriptors.json"
"""In the image directory: what the standard streams were, so that `restore` can put its own pipes in their places."""

_CONFIGURATION = "/etc/criu/runc.conf"
"""Where administrators keep options of CRIU for containers; the annotation org.criu.config names another file."""

LOG_LEVEL = 4
"""All that helps to find out why CRIU has failed (criu(8) -v4)."""


class CriuRequest(Record):
    """What checkpoint and restore have in common; paths are absolute or relative to the working directory.

    ``images``: the directory of the image files; ``work``: that of logs, the same when it is empty.
    ``cgroups``: soft, full, strict, ignore, or "" for what CRIU does by itself.
    """

    images: str = "checkpoint"
    work: str = ""
    cgroups: str = ""
    tcp_established: bool = False
    ext_unix_sk: bool = False
    shell_job: bool = False
    file_locks: bool = False
    auto_dedup: bool = False
    lazy_pages: bool = False


def cgroup_mode(word: str) -> int:
    """The number of --manage-cgroups-mode. Raises InvalidArgument."""
    if word not in messages.CGROUP_MODES:
        raise InvalidArgument(f"invalid --manage-cgroups-mode {word}: use soft, full, strict or ignore")
    return messages.CGROUP_MODES[word]


def configuration(annotations: dict[str, str] | None) -> str:
    """The file with further options of CRIU; one that is missing is no error, and an empty annotation means none."""
    return (annotations or {}).get("org.criu.config", _CONFIGURATION)


class Directories:
    """The image directory and that of logs, open for CRIU as long as the ``with`` block lasts.

    ``pid``: CRIU's process, when that has a mount namespace of its own. It mounts in its working directory, and no
    process can do that where the mounts are another namespace's.
    """

    def __init__(self, images: str, work: str, pid: int = 0) -> None:
        self._images, self._work = images, work
        self._prefix = f"/proc/{pid}/root" if pid else ""
        self._open: list[int] = []

    def __enter__(self) -> Directories:
        try:
            if self._work:
                os.makedirs(self._work, 0o700, exist_ok=True)
            for path in (self._images, self._work):
                if path:
                    place = self._prefix + os.path.realpath(path)
                    self._open.append(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            self.__exit__()
            raise from_oserror(error, f"open {error.filename}") from error
        return self

    def __exit__(self, *_exc: object) -> None:
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()

    def options(self) -> bytes:
        """criu_opts that name them."""
        numbers = dict(zip(("images_dir_fd", "work_dir_fd"), self._open, strict=False))
        return messages.options(**numbers)

    def log(self, name: str) -> str:
        """The path of a log file."""
        return f"{self._work or self._images}/{name}"


def check(response: Response, what: str, log: str) -> None:
    """Raise Unavailable, with the cause that CRIU's log tells, when the response is not one of success."""
    if response.success:
        return
    cause = errors(log) or response.message
    if not cause:
        cause = os.strerror(response.errno).lower() if response.errno else "it does not say why"
    raise Unavailable(f"{what}: criu failed: {cause} (see {log})")
