"""The state of a container as ``state`` prints it and hooks read it (runtime-spec, runtime.md, section State)."""

from __future__ import annotations

from utsuwa.spec.record import OneOf, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    Status = str
else:
    Status = OneOf("creating", "created", "running", "paused", "stopped")


class State(Record):
    """What is known about one container; ``rootfs``, ``created`` and ``owner`` go beyond the specification, as in runc.

    ``pid`` is 0 when the container has stopped, ``created`` is in RFC 3339 and UTC, ``owner`` a user name for ``list``.
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
