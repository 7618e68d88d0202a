"""A container's file tree as a descriptor: what its processes see, or while none runs, the same mounts made privately.

No mount of ours is ever to be seen on the host, and none outlives its descriptor: a process that is killed leaves
nothing behind.
"""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack, contextmanager
from threading import Thread

from utsuwa.engine import syscalls
from utsuwa.engine.inside import Inside
from utsuwa.engine.mountpoints import SUBDIRECTORY
from utsuwa.engine.startlock import StartLock
from utsuwa.engine.status import derive
from utsuwa.errors import FailedPrecondition, Unsupported, from_oserror
from utsuwa.plan.rootfs import split_lower
from utsuwa.runtime.process import start_time
from utsuwa.spec.codec import parse
from utsuwa.spec.mount import Mount
from utsuwa.spec.record import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.engine.paths import Paths
    from utsuwa.engine.status import Status


@contextmanager
def opened(paths: Paths, record: ContainerRecord) -> Iterator[Inside]:
    """The tree, as long as the block lasts. Raises what keeps it from being seen.

    Meanwhile nobody else looks into a container that does not run, and nobody starts it.
    """
    with ExitStack() as held:
        held.enter_context(StartLock(paths.container(record.id)))
        status = derive(paths, record)
        if status.alive:
            held.close()
        elif status.kept:
            raise FailedPrecondition(f"container {record.name} is starting or ending, try again")
        fd = _of_process(record, status) if status.alive else _of_mounts(paths, record)
        held.callback(os.close, fd)
        yield Inside(fd)


def _of_process(record: ContainerRecord, status: Status) -> int:
    try:
        fd = os.open(f"/proc/{status.pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, f"look into container {record.name}") from error
    if start_time(status.pid) != status.start_time:
        os.close(fd)
        raise FailedPrecondition(f"container {record.name} has just ended, try again")
    return fd


def _of_mounts(paths: Paths, record: ContainerRecord) -> int:
    """Mounts are made by a thread of its own: a mount namespace belongs to a thread, and goes with it."""
    made: list[int] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            made.append(_assemble(paths, record))
        except BaseException as error:
            failures.append(error)

    thread = Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        error = failures[0]
        raise from_oserror(error, f"mount container {record.name}") if isinstance(error, OSError) else error
    return made[0]


def _assemble(paths: Paths, record: ContainerRecord) -> int:
    directory = paths.container(record.id)
    root = os.fsencode(f"{directory}/rootfs")
    with open(f"{directory}/config.json", "rb", buffering=0) as file:
        config = parse(file.read())
    syscalls.unshare_mounts()
    base = next(found for mount in record.mounts if not (found := decode(Mount, mount)).target)
    _mount_base(base, root)
    try:
        for bind in (mount for mount in config.get("mounts", ()) if _is_bind(mount)):
            _bind(root, bind)
        if config["root"].get("readonly"):
            syscalls.mount(b"none", root, b"", syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)
        return syscalls.clone_tree(root)
    finally:
        syscalls.unmount(root)


def _mount_base(base: Any, root: bytes) -> None:
    if base.type == "bind":
        syscalls.mount(os.fsencode(base.source), root, b"", syscalls.MS_BIND)
        return
    if base.type != "overlay":
        raise Unsupported(f"a root of type {base.type}, only overlay and bind can be made")
    pairs = [word.partition("=")[::2] for word in base.options]
    own = [(os.fsencode(key), os.fsencode(value)) for key, value in pairs if key not in ("lowerdir", "ro", "rw")]
    lower = list(map(os.fsencode, split_lower(base.option("lowerdir") or "")))
    if not syscalls.mount_overlay(root, lower, own):
        syscalls.mount(b"overlay", root, b"overlay", 0, os.fsencode(",".join(base.options)))


def _is_bind(mount: dict[str, Any]) -> bool:
    options = mount.get("options") or ()
    if mount.get("source", "").startswith("/proc/") and "/ns/" in mount["source"]:
        return False  # the memory of a container that it shared when it ran
    return mount.get("type") == "bind" or "bind" in options or "rbind" in options


def _bind(root: bytes, bind: dict[str, Any]) -> None:
    """One volume or host directory, on its place in the tree, which is made where it is missing."""
    options = bind.get("options") or ()
    source = _source(os.fsencode(bind["source"]), options)
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    place = -1
    try:
        is_directory = stat.S_ISDIR(os.stat(source).st_mode)
        place = Inside(top).place(os.fsencode(bind["destination"]), is_directory)
        recursive = syscalls.MS_REC if "rbind" in options else 0
        syscalls.mount(b"/proc/self/fd/%d" % source, b"/proc/self/fd/%d" % place, b"", syscalls.MS_BIND | recursive)
    finally:
        for fd in (source, top, place):
            if fd >= 0:
                os.close(fd)
    if "ro" in options:
        _make_read_only(root, os.fsencode(bind["destination"]))


def _source(path: bytes, options: tuple[str, ...]) -> int:
    """A descriptor of what is bound: the path, or what is beneath it, to which its own links may lead."""
    whole = os.open(path, os.O_PATH | os.O_CLOEXEC)
    mark = f"{SUBDIRECTORY}="
    beneath = [word.removeprefix(mark) for word in options if word.startswith(mark)]
    if not beneath:
        return whole
    try:
        return Inside(whole).open(os.fsencode(beneath[-1]), os.O_PATH)
    finally:
        os.close(whole)


def _make_read_only(root: bytes, destination: bytes) -> None:
    """The mount that is at the place now, not the directory that was there before."""
    top = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        place = Inside(top).open(destination, os.O_PATH)
    finally:
        os.close(top)
    try:
        flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
        syscalls.mount(b"none", b"/proc/self/fd/%d" % place, b"", flags)
    finally:
        os.close(place)
