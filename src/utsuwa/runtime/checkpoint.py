"""`urun checkpoint`: the state of a container's processes in files, written by CRIU (criu(8))."""

from __future__ import annotations

import os

from utsuwa.criu import messages
from utsuwa.criu.service import Service, require, version
from utsuwa.errors import FailedPrecondition, InvalidArgument, NotFound, from_oserror
from utsuwa.linux.namespaces import CLONE_NEWNET
from utsuwa.runtime import external
from utsuwa.runtime.migration import (
    DESCRIPTORS,
    LOG_LEVEL,
    CriuRequest,
    Directories,
    cgroup_mode,
    check,
    configuration,
)
from utsuwa.runtime.record import PAUSED, RUNNING, Container, Store
from utsuwa.spec.runtime import Linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cgroup.manager import Manager
    from utsuwa.criu.messages import Response

_DUMP_LOG = "dump.log"


class CheckpointRequest(CriuRequest):
    """What `checkpoint` is asked.

    ``parent``: the images of an earlier pre-dump, relative to ``images``. ``page_server``: (address, port) to send
    memory to. ``status``: a descriptor that gets a NUL byte when lazy pages are ready, -1 for none.
    """

    parent: str = ""
    pre_dump: bool = False
    leave_running: bool = False
    tcp_skip_in_flight: bool = False
    link_remap: bool = False
    page_server: tuple[str, int] | None = None
    status: int = -1


def checkpoint(store: Store, identifier: str, request: CheckpointRequest) -> list[str]:
    """Write the state of a running or paused container to files, and remove it unless it is to go on.

    Gives warnings, as `delete` does. Raises Unsupported where CRIU is missing or can't do what is asked, Unavailable
    when it fails: the container then goes on as before.
    """
    container = store.open(identifier)
    container.lock()
    try:
        status = container.status()
        if status not in (RUNNING, PAUSED):
            raise FailedPrecondition(f"container cannot be checkpointed in {status} state")
        images = _image_directory(request)
        _dump(container, request, images)
        if request.leave_running or request.pre_dump:
            return []
        from utsuwa.runtime.delete import discard

        return discard(container)
    finally:
        container.unlock()


def _image_directory(request: CheckpointRequest) -> str:
    """Make the image directory, and check the parent's."""
    if request.parent.startswith("/"):
        raise InvalidArgument(f"--parent-path must be relative to --image-path: {request.parent}")
    try:
        os.makedirs(request.images, 0o700, exist_ok=True)
    except OSError as error:
        raise from_oserror(error, f"make --image-path {request.images}") from error
    parent = os.path.join(request.images, request.parent)
    if request.parent and not os.path.isdir(parent):
        raise NotFound(f"invalid --parent-path: {parent} is not a directory")
    return request.images


def _dump(container: Container, request: CheckpointRequest, images: str) -> None:
    cgroups = cgroup_mode(request.cgroups)
    version()
    if request.pre_dump:
        require(messages.MEM_TRACK)
    if request.lazy_pages:
        require(messages.LAZY_PAGES)
        _check_status(request.status)
    manager = container.manager()
    with Directories(images, request.work) as directories:
        settings = directories.options() + _settings(container, request, cgroups, manager)
        if not request.pre_dump:
            settings += _external(container, images)
        service = Service.start()
        frozen = manager is not None and manager.frozen()
        try:
            kind = messages.PRE_DUMP if request.pre_dump else messages.DUMP
            response = service.ask(messages.request(kind, settings), lambda told, _: _notified(told, request))
            check(response, f"checkpoint of container {container.id}", directories.log(_DUMP_LOG))
        except BaseException:
            if manager is not None and not frozen and manager.frozen():  # criu was killed in the middle of its work
                manager.thaw()
            raise
        finally:
            service.close()


def _settings(container: Container, request: CheckpointRequest, cgroups: int, manager: Manager | None) -> bytes:
    page_server = messages.pair(*request.page_server) if request.page_server else b""
    return messages.options(
        log_level=LOG_LEVEL,
        log_file=_DUMP_LOG,
        root=container.document.rootfs,
        pid=container.document.pid,
        manage_cgroups=True,
        manage_cgroups_mode=cgroups,
        notify_scripts=True,
        orphan_pts_master=True,
        empty_ns=CLONE_NEWNET,  # devices and addresses of a network are its makers' business
        config_file=configuration(container.document.annotations),
        freeze_cgroup=_freezer(manager),
        shell_job=request.shell_job,
        leave_running=request.leave_running,
        tcp_established=request.tcp_established,
        tcp_skip_in_flight=request.tcp_skip_in_flight,
        link_remap=request.link_remap,
        ext_unix_sk=request.ext_unix_sk,
        file_locks=request.file_locks,
        auto_dedup=request.auto_dedup,
        lazy_pages=request.lazy_pages,
        parent_img=request.parent,
        track_mem=bool(request.parent),
        ps=[page_server] if page_server else [],
        external=external.namespaces_at_dump(container.spec().linux or Linux()),
    )


def _freezer(manager: Manager | None) -> str:
    """The cgroup to freeze by: without one CRIU stops processes one by one, and may run after those that fork."""
    if manager is None:
        return ""
    directories = manager.directories()
    return directories.get("freezer") or ("" if len(directories) > 1 else directories.get("", ""))


def _external(container: Container, images: str) -> bytes:
    """What a full dump needs and a dump of memory alone does not: external mounts, and the streams on file."""
    from utsuwa.runtime.explain import plan_of
    from utsuwa.runtime.record import replace_file
    from utsuwa.spec.codec import dumps

    document = container.document
    streams = []
    for stream in range(3):
        try:
            streams.append(os.readlink(f"/proc/{document.pid}/fd/{stream}"))
        except OSError:  # closed
            streams.append("")
    replace_file(os.path.abspath(f"{images}/{DESCRIPTORS}"), dumps(streams).encode(), 0o600)
    plan = plan_of(container)
    return messages.options(ext_mnt=external.mounts_at_dump(plan, document.rootfs, document.pid))


def _notified(told: Response, request: CheckpointRequest) -> None:
    if told.script == "status-ready" and request.status >= 0:
        try:
            os.write(request.status, b"\0")
            os.close(request.status)
        except OSError:
            pass  # whoever waited for it is gone


def _check_status(descriptor: int) -> None:
    from fcntl import F_GETFL, fcntl

    if descriptor < 0:
        return
    try:
        flags = fcntl(descriptor, F_GETFL)
    except OSError as error:
        raise InvalidArgument(f"invalid --status-fd argument {descriptor}: {error.strerror}") from error
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise InvalidArgument(f"invalid --status-fd argument {descriptor}: not writable")
