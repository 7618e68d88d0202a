"""An image of what a container has become, and its root file system as an archive."""

from __future__ import annotations

import os

from utsuwa.engine.status import RUNNING, derive
from utsuwa.linux.host import in_user_namespace
from utsuwa.monitor.records import now
from utsuwa.spec.record import decode
from utsuwa.spec.request import RunRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from utsuwa.engine.images import Images
    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.image.store import Image
    from utsuwa.runtime.record import Store
    from utsuwa.spec.image import ImageConfig, Settings
    from utsuwa.spec.reference import Reference


class Asked:
    """What is said about the new image besides its content."""

    def __init__(
        self, name: Reference | None = None, author: str = "", message: str = "", changes: Sequence[str] = ()
    ) -> None:
        self.name, self.author, self.message, self.changes = name, author, message, tuple(changes)


def commit(paths: Paths, images: Images, record: ContainerRecord, asked: Asked, *, pause: bool = True) -> Image:
    """Make an image of the container's changes and its configuration; a running one stands still meanwhile.

    Raises NotFound when its image is gone, InvalidArgument for a change that can't be read.
    """
    from utsuwa.image import changes
    from utsuwa.image.make import derive as make
    from utsuwa.snapshot import diff
    from utsuwa.spec.image import History

    parent = images.resolve(record.imageId)
    base = parent.config
    created = now()
    config = base.replace(
        created=created,
        author=asked.author or None,
        config=changes.apply(settings_of(record, base), asked.changes),
    )
    entry = History(
        created=created,
        created_by=" ".join(record.command),
        author=asked.author or None,
        comment=asked.message or None,
    )
    names = [asked.name] if asked.name else []
    with Standstill(paths, record if pause else None):
        return make(images.store, parent, diff.archive(images.store.snapshotter, record.id), config, entry, names)


def export(images: Images, record: ContainerRecord) -> Iterator[bytes]:
    """The container's root file system as a tar archive, in chunks; nothing of its volumes."""
    from utsuwa.snapshot import archive, diff

    return archive.blocks(diff.export(images.store.snapshotter, record.id))


def settings_of(record: ContainerRecord, base: ImageConfig) -> Settings:
    """What a container was started with, as the settings of an image: the image's own where nothing else was asked."""
    from utsuwa.image.to_spec import environment

    request: RunRequest = decode(RunRequest, record.request)
    own = base.settings
    known = {word.partition("=")[0] for word in (*(own.Env or ()), *request.env)}
    env = tuple(word for word in environment(own.Env or (), request.env) if word.partition("=")[0] in known)
    command = request.command or (own.Cmd if request.entrypoint is None else None)
    return own.replace(
        Env=env or None,
        Cmd=tuple(command) if command else None,
        Entrypoint=record.entrypoint,
        User=request.user or own.User,
        WorkingDir=request.workdir or own.WorkingDir,
        Labels=record.labels or None,
        StopSignal=request.stop_signal or own.StopSignal,
        StopTimeout=request.stop_timeout if request.stop_timeout is not None else own.StopTimeout,
    )


class Standstill:
    """A running container is frozen for the length of a ``with``. A child of ours thaws it, so it goes on even when we
    are killed.
    """

    def __init__(self, paths: Paths, record: ContainerRecord | None) -> None:
        self._paths, self._record = paths, record
        self._child = 0
        self._held = -1

    def __enter__(self) -> None:
        record = self._record
        if record is None or derive(self._paths, record).name != RUNNING:
            return
        from utsuwa.runtime.pause import pause
        from utsuwa.runtime.record import Store

        store = Store(self._paths.runtime)
        if in_user_namespace() and not _can_pause(store, record.id):
            return
        waiting, self._held = os.pipe()
        self._child = os.fork()
        if not self._child:
            _thaw_at_the_end(store, record.id, waiting, self._held)
        os.close(waiting)
        pause(store, record.id)

    def __exit__(self, *_failure: object) -> None:
        if self._child:
            os.close(self._held)
            os.waitpid(self._child, 0)
            self._child = 0


def _can_pause(store: Store, identifier: str) -> bool:
    """An ordinary user's container may have no cgroup, and then is read while it runs."""
    manager = store.open(identifier).manager()
    return manager is not None and bool({"", "freezer"} & manager.directories().keys())


def _thaw_at_the_end(store: object, identifier: str, waiting: int, held: int) -> None:
    """The child: wait until the parent lets go, or is gone; then let the container go on."""
    from utsuwa.runtime.pause import resume

    try:
        os.setsid()  # not reached by what a terminal sends to the parent
        os.close(held)
        os.read(waiting, 1)
        resume(store, identifier)  # type: ignore[arg-type]
    except BaseException:
        os._exit(1)
    os._exit(0)
