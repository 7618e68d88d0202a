"""`urun start`: let a created container run its program (runtime.md "Start")."""

from __future__ import annotations

import os

from utsuwa.errors import Error, FailedPrecondition
from utsuwa.runtime.process import await_end, send
from utsuwa.runtime.record import CREATED, CREATING, RUNNING, SOCKET, STOPPED, Container, Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.init.channel import Channel
    from utsuwa.plan.plan import Plan
    from utsuwa.runtime.notify import Proxy

_SIGKILL = 9
_NOTHING = "process: missing, there was nothing to start: the container has ended"
_REFUSALS = {
    CREATING: "cannot start a container that is still being created",
    STOPPED: "cannot start a container that has stopped",
}


def start(store: Store, identifier: str, notify: str = "") -> list[str]:
    """Run the program of a created container, then its poststart hooks.

    ``notify``: the service manager's socket: return only when the container is ready, if it was created with one.
    Gives warnings: that a container without `process` has ended by that.
    Raises NotFound, FailedPrecondition in any other state, OpFailed when the program can't be run.
    """
    container = store.open(identifier)
    container.lock()
    try:
        container.load()
        status = container.status()
        if status != CREATED:
            raise FailedPrecondition(_REFUSALS.get(status, "cannot start an already running container"))
        proxy = _proxy(container, notify)
        try:
            _release(container)
        except Error:
            if container.spec().process is not None:
                raise
            return [_NOTHING]
        poststart(container)
    finally:
        container.unlock()
    if proxy is not None:
        proxy.serve(container.document.pid, main=True)
    return []


def _proxy(container: Container, notify: str) -> Proxy | None:
    """The socket that the container was told to send its readiness to."""
    if not notify or not (container.document.options or {}).get("notify"):
        return None
    from utsuwa.runtime.notify import Proxy

    return Proxy(container.path, notify)


def _release(container: Container) -> None:
    """Connect to the waiting process, and listen until it has become the program, or has failed to."""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket

    from utsuwa.init.channel import REQUEST, Channel
    from utsuwa.runtime.console import through_directory

    path = f"{container.path}/{SOCKET}"
    connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    try:
        through_directory(path, connection.connect)
    except OSError as error:
        connection.close()
        raise FailedPrecondition(f"cannot start a container that has stopped: {error.strerror}") from error
    # The socket's presence means "created": with a connection, that is over, however this ends.
    os.unlink(path)
    channel = Channel(connection, lambda: _plan(container))
    try:
        while (report := channel.next()) is not None:
            if report.kind == REQUEST:
                _introduce(channel, container)
    finally:
        channel.close()


def _introduce(channel: Channel, container: Container) -> None:
    """Give the listener of a filter that is loaded last to its agent: nothing else is asked for after `start`."""
    from utsuwa.runtime.agent import introduce

    document = container.document
    introduce(channel.descriptor(), container.spec(), document, CREATED, document.pid)
    channel.reply()


def _plan(container: Container) -> Plan:
    """The plan that the waiting process carries out, made again to word a failure."""
    from utsuwa.runtime.explain import plan_of

    return plan_of(container)


def poststart(container: Container) -> None:
    """Run the poststart hooks; when one fails the container is stopped (runtime.md "Lifecycle" 10, since 1.3)."""
    if not container.document.poststart:
        return
    from utsuwa.runtime import hooks

    document = container.document
    try:
        hooks.run(
            "poststart",
            hooks.of(container.spec(), "poststart"),
            hooks.state_json(document, RUNNING, document.pid),
            document.bundle,
        )
    except Error:
        send(document.pid, document.startTime, _SIGKILL)
        await_end(document.pid, document.startTime, 10)
        raise
