"""NOTIFY_SOCKET: a container that says READY=1 is passed on to the service manager that started us (sd_notify(3)).

Its own socket is bound into the container, so that nothing but readiness gets through: the manager's socket takes
orders (MAINPID, FDSTORE, …) that a container must not give.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET, socket
from select import POLLIN, poll

from utsuwa.errors import from_oserror
from utsuwa.runtime.record import NOTIFY
from utsuwa.spec.runtime import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.runtime import Spec

_INSIDE = "/run/notify"
_SOCKET = "notify.sock"
_LONGEST = 4096
_BARRIER_SECONDS = 30
_OPTIONS = ("bind", "nosuid", "noexec", "nodev", "ro")


def arranged(spec: Spec, container: str) -> Spec:
    """The configuration with the socket's directory below ``container`` (a host path), and where it is told."""
    if spec.process is None:
        return spec
    mount = Mount(destination=_INSIDE, type="bind", source=f"{container}/{NOTIFY}", options=_OPTIONS)
    environment = (*(spec.process.env or ()), f"NOTIFY_SOCKET={_INSIDE}/{_SOCKET}")
    return spec.replace(mounts=(*(spec.mounts or ()), mount), process=spec.process.replace(env=environment))


def prepare(container: str) -> None:
    """Make the directory."""
    os.mkdir(f"{container}/{NOTIFY}", 0o755)
    os.chmod(f"{container}/{NOTIFY}", 0o755)


def remove(container: str) -> None:
    """Remove the directory with the socket."""
    directory = f"{container}/{NOTIFY}"
    try:
        os.unlink(f"{directory}/{_SOCKET}")
    except FileNotFoundError:
        pass
    os.rmdir(directory)


class Proxy:
    """The socket that the container sends to, and the manager's that we send to."""

    def __init__(self, container: str, manager: str) -> None:
        """``manager``: the value of NOTIFY_SOCKET, ``@name`` is an abstract address. Raises what bind(2) says."""
        from utsuwa.runtime.console import through_directory

        self._manager = "\0" + manager[1:] if manager[:1] == "@" else manager
        self._socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
        path = f"{container}/{NOTIFY}/{_SOCKET}"
        try:
            through_directory(path, self._socket.bind)
            os.chmod(path, 0o777)  # the container's user may be anybody
        except OSError as error:
            self._socket.close()
            raise from_oserror(error, f"listen at {path} for NOTIFY_SOCKET") from error

    def serve(self, pid: int, *, main: bool) -> None:
        """Wait until our container's process ``pid`` is ready, or has ended, and tell the manager if it is.

        ``main``: that is the service's main process, because we are about to end.
        """
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            ready = self._await_ready(process)
            if ready:
                self._tell(ready, pid if main else 0)
        except OSError:
            return  # a manager that does not listen is no reason to fail a container that runs
        finally:
            os.close(process)
            self._socket.close()

    def _await_ready(self, process: int) -> bytes:
        """The line that says so; b"" when the process ended without."""
        waiting = poll()
        waiting.register(self._socket, POLLIN)
        waiting.register(process, POLLIN)
        while True:
            found = dict(waiting.poll())
            if self._socket.fileno() not in found:
                return b""
            for line in self._socket.recv(_LONGEST).split(b"\n"):
                if line.startswith(b"READY="):
                    return line

    def _tell(self, ready: bytes, pid: int) -> None:
        manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
        try:
            manager.connect(self._manager)
            manager.send(ready)
            if pid:
                manager.send(b"MAINPID=%d" % pid)
            _barrier(manager)
        finally:
            manager.close()


def _barrier(manager: socket) -> None:
    """Wait until the manager has read all that was sent, for it asks the kernel who we are while we are still there."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        manager.sendmsg([b"BARRIER=1"], [(SOL_SOCKET, SCM_RIGHTS, theirs.to_bytes(4, "little"))])
        os.close(theirs)
        theirs = -1
        waiting = poll()
        waiting.register(ours, POLLIN)
        waiting.poll(_BARRIER_SECONDS * 1000)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def attend(proxy: Proxy, pid: int, detached: bool) -> None:
    """What `run` does: wait before it leaves its process, or else while it waits for its end, in a thread.

    A signal that comes while we wait to leave is for us; those of the foreground are the main thread's business.
    """
    from _signal import SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, pthread_sigmask, valid_signals

    if detached:
        from utsuwa.runtime.undo import ENDING

        pthread_sigmask(SIG_UNBLOCK, ENDING)
        proxy.serve(pid, main=True)
        return
    from _thread import start_new_thread

    before = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        start_new_thread(_serve, (proxy, pid))
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def _serve(proxy: Proxy, pid: int) -> None:
    proxy.serve(pid, main=False)
