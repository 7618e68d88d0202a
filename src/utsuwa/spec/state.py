"""The state of a container as ``state`` prints it and hooks read it (runtime-spec, runtime.md, section State)."""

from __future__ import annotations

from utsuwa.spec.record import OneOf, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    Status = str
else:
    Status = OneOf("creating", "created", "running", "paused", "stopped")


class State(Record):
    """What is known about one container; the last four beyond the specification are runc's.

    ``pid`` is 0 when the container has stopped, ``created`` an RFC 3339 time in UTC, ``owner`` the user name that ``list``
    shows.
    """

    ociVersion: str
    id: str
    pid: int | None = None
    status: Status
    bundle: str
    rootfs: str | None = None
    created: str | None = None
    annotations: dict[str, str] | None = None
    owner: str | None = None

    def for_hook(self) -> State:
        """The same state with the specification's own properties only, as hooks get it."""
        return self.replace(rootfs=None, created=None, owner=None)
