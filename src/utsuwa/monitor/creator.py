"""The process that creates containers: forked before there is a request, so that a request need not wait for it.

The creator knows the host, and its memory is its own already (:mod:`utsuwa.monitor.memory`); it waits on a socket. It
makes one process, tells its pid, and ends; its child becomes the guard's, which is the subreaper.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, SCM_RIGHTS, SHUT_WR, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket, socketpair

from utsuwa.errors import Error
from utsuwa.linux.host import probe
from utsuwa.monitor import frames, memory, reaper
from utsuwa.monitor.guard import descriptors
from utsuwa.spec.codec import dumps, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.init.spare import Spare
    from utsuwa.monitor.stdio import Stdio

_CLOEXEC = 0x40000000  # MSG_CMSG_CLOEXEC


_KILLED: dict[str, Any] = {
    "kind": "Internal",
    "message": "the process that was to create the container was killed",
    "code": 125,
}


class Failed(Error):
    """A creation that failed, as its creator told it: the kind's name and the exit code that Docker gives it."""

    def __init__(self, kind: str, message: str, code: int) -> None:
        super().__init__(message)
        self.kind, self.code = kind, code


class Creator:
    """The monitor's end of a waiting creator."""

    def __init__(self, foreign: tuple[int, ...], hurry: bool, run: str = "") -> None:
        """``foreign``: descriptors that the creator must not keep open. ``hurry``: somebody waits for it, so that
        nothing is looked up in ``run`` (RUN) ahead.
        """
        ours, theirs = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        if os.fork() == 0:
            ours.close()
            for fd in foreign:
                os.close(fd)
            _wait(theirs, hurry, run)
        theirs.close()
        self._socket = ours

    def dismiss(self) -> None:
        """Let it end: there is nothing to create any more."""
        self._socket.close()

    def announce(self, kind: int, payload: bytes) -> None:
        """Let the creator read and prepare what it is going to be told to do."""
        try:
            self._socket.sendall(frames.pack(kind, payload))
        except OSError:  # it was killed, as will be seen
            return

    def go_ahead(self, stdio: Stdio) -> None:
        """Have the process made with this stdio.

        Only from here on the creator leaves traces: somebody has written down by now that there will be some.
        """
        rights = b"".join([fd.to_bytes(4, "little") for fd in stdio.theirs()])
        try:
            self._socket.sendmsg([b"!"], [(SOL_SOCKET, SCM_RIGHTS, rights)])
        except OSError:  # it was killed, as will be seen
            pass
        finally:
            stdio.leave()

    def outcome(self) -> tuple[int, int]:
        """The process's pid, and its mount namespace (or -1), as soon as it runs its program. Raises Failed.

        After a failure the creator ends; otherwise it stays until it is dismissed. To take its memory down is 1 ms of
        a processor, which the container and we want first; but the guard hears of the container only after that.
        """
        answer, received = b"", [-1]
        try:
            answer, received = self._answer()
        except OSError:
            pass
        told = parse(answer) if answer else _KILLED
        if "pid" in told:
            return int(told["pid"]), received[0]
        self.dismiss()
        raise Failed(told["kind"], told["message"], told["code"])

    def _answer(self) -> tuple[bytes, list[int]]:
        data, ancillary, _flags, _address = self._socket.recvmsg(65536, CMSG_SPACE(4), _CLOEXEC)
        while piece := self._socket.recv(65536):
            data += piece
        return data, descriptors(ancillary) or [-1]


def _wait(connection: socket, hurry: bool, run: str) -> None:
    """The creator's life. Never returns."""
    from utsuwa.monitor.creation import Creation, docker_code, expected

    mounts, creation = -1, None
    try:
        reaper.heed_children()
        if not hurry:
            memory.take()
        creation = Creation(probe(), None, None) if hurry else Creation(probe(), _spare(), expected(run))
        creation.prepare(*_request(connection))
        pid, mounts = creation.carry_out(_enter(_streams(connection)))
        result: dict[str, object] = {"pid": pid}
    except EOFError:  # the monitor ended without a request, or refused it
        os._exit(0)
    except Error as error:
        result = {"kind": type(error).__name__, "message": str(error), "code": docker_code(error)}
    except BaseException as error:
        result = {"kind": "Internal", "message": f"{type(error).__name__}: {error}", "code": 125}
    try:
        _tell(connection, dumps(result).encode(), mounts)
        connection.shutdown(SHUT_WR)
        if creation and "pid" in result:
            creation.finish()
        connection.recv(1)  # nothing comes, but the end
    finally:
        os._exit(0)


def _spare() -> Spare | None:
    """An executor to wait with us, where we may make what it makes ahead."""
    from utsuwa.init.spare import Spare
    from utsuwa.plan.ahead import begin

    return Spare(begin()) if os.geteuid() == 0 else None


def _tell(connection: socket, answer: bytes, right: int) -> None:
    """The first byte carries the descriptor, if there is one."""
    rights = [(SOL_SOCKET, SCM_RIGHTS, right.to_bytes(4, "little"))] if right >= 0 else []
    connection.sendall(answer[connection.sendmsg([answer], rights) :])


def _request(connection: socket) -> tuple[int, bytes]:
    """The announced request; EOFError when there is none to come."""
    head = _exactly(connection, 8)
    return head[0], _exactly(connection, int.from_bytes(head[4:], "big"))


def _exactly(connection: socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _streams(connection: socket) -> list[int]:
    """The go-ahead, with the standard streams; EOFError when there is none to come."""
    data, ancillary, _flags, _address = connection.recvmsg(1, CMSG_SPACE(16), _CLOEXEC)
    if not data:
        raise EOFError
    found = descriptors(ancillary)
    if not found:
        raise EOFError
    return found


def _enter(descriptors: list[int]) -> int:
    """Make three descriptors our standard streams; a single one is the socket that takes the terminal, and is
    returned.
    """
    if len(descriptors) == 1:
        return descriptors[0]
    for number, fd in enumerate(descriptors):
        os.dup2(fd, number)
        os.close(fd)
    return -1
