"""The process that creates containers: forked before there is a request, so that a request need not wait for it.

The creator knows the host, and its memory is its own already (:mod:`utsuwa.monitor.memory`). It accepts the client,
because its work takes longest, and lets the monitor have the connection and the request. It makes one process, tells
its pid, and ends; its child becomes the guard's, which is the subreaper.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, SHUT_WR, SOCK_CLOEXEC, SOCK_STREAM, socket, socketpair

from utsuwa.errors import Error
from utsuwa.linux.host import probe
from utsuwa.monitor import frames, memory, reaper
from utsuwa.monitor.guard import descriptors, rights
from utsuwa.spec.codec import dumps, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from utsuwa.init.spare import Spare
    from utsuwa.monitor.creation import Creation
    from utsuwa.monitor.door import Door
    from utsuwa.monitor.stdio import Stdio

_CLOEXEC = 0x40000000  # MSG_CMSG_CLOEXEC
_BEGIN, _STREAMS, _STREAMS_AND_CLIENT = b"b", b"s", b"c"
"""What a creator is told after its request."""
_HEAD = 8
"""Bytes of a frame before its payload."""
_SIZE = 4
"""Bytes that say how long its answer is."""

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

    def __init__(self, foreign: tuple[int, ...], hurry: bool, run: str = "", door: Door | None = None) -> None:
        """``foreign``: descriptors that the creator must not keep open. ``hurry``: somebody waits for it, so that
        nothing is looked up in ``run`` (RUN) ahead. ``door``: where clients come in; without it there is an
        ``announce``.
        """
        ours, theirs = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        if os.fork() == 0:
            ours.close()
            for fd in foreign:
                os.close(fd)
            _wait(_Orders(theirs, door), hurry, run)
        theirs.close()
        self._socket = ours

    def request(self) -> tuple[int, bytes, list[int]]:
        """What a client wants: the first frame, and descriptors: the connection, and what came with the frame. Waits;
        EOFError when there is none to come, because the creator was killed or the client has gone.
        """
        data, received = self._receive(_HEAD)
        kind, count = data[0], int.from_bytes(data[4:_HEAD], "big")
        return kind, data[_HEAD:] + self._rest(_HEAD + count - len(data)), received

    def dismiss(self) -> None:
        """Let it end: there is nothing to create any more."""
        self._socket.close()

    def announce(self, kind: int, payload: bytes) -> None:
        """Let the creator read and prepare what it is going to be told to do."""
        self._say(frames.pack(kind, payload))

    def begin(self) -> None:
        """Have the process made, which is told of its stdio later.

        Only from here on the creator leaves traces: somebody has written down by now that there will be some.
        """
        self._say(_BEGIN)

    def give_up(self) -> None:
        """Have undone what was begun, and come back when it is."""
        try:
            self._socket.shutdown(SHUT_WR)
            while self._socket.recv(65536):
                pass
        except OSError:
            pass
        self.dismiss()

    def go_ahead(self, stdio: Stdio, client: int = -1) -> None:
        """Give it its stdio. It tells the ``client`` of the start, if there is one: that saves a way through us."""
        given = stdio.theirs() if client < 0 else [*stdio.theirs(), client]
        try:
            self._socket.sendmsg([_STREAMS if client < 0 else _STREAMS_AND_CLIENT], rights(given))
        except OSError:  # it was killed, as will be seen
            pass
        finally:
            stdio.leave()

    def outcome(self) -> tuple[int, int]:
        """The process's pid, and its mount namespace (or -1), as soon as it runs its program. Raises Failed.

        After a failure the creator ends; otherwise it stays until it is dismissed. To take its memory down is 1 ms of
        a processor, which the container and we want first; but the guard hears of the container only after that.
        """
        try:
            told, mounts = self._answer()
        except (OSError, EOFError):
            told, mounts = _KILLED, -1
        if "pid" in told:
            return int(told["pid"]), mounts
        self.dismiss()
        raise Failed(told["kind"], told["message"], told["code"])

    def _answer(self) -> tuple[dict[str, Any], int]:
        data, received = self._receive(_SIZE)
        text = data[_SIZE:] + self._rest(_SIZE + int.from_bytes(data[:_SIZE], "big") - len(data))
        return parse(text), received[0] if received else -1

    def _receive(self, least: int) -> tuple[bytes, list[int]]:
        """So many bytes and maybe more, and the descriptors that came with the first."""
        data, ancillary, _flags, _address = self._socket.recvmsg(65536, CMSG_SPACE(8), _CLOEXEC)
        if not data:
            raise EOFError
        return data + self._rest(least - len(data)), descriptors(ancillary)

    def _rest(self, count: int) -> bytes:
        return _exactly(self._socket, count) if count > 0 else b""

    def _say(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError:  # it was killed, as will be seen
            return


def _wait(orders: _Orders, hurry: bool, run: str) -> None:
    """The creator's life. Never returns."""
    from utsuwa.monitor.creation import docker_code

    mounts, creation = -1, None
    try:
        try:
            creation = _prepared(hurry, run)
        finally:
            request = orders.request()  # if that has failed, there is somebody to be told so
        creation.prepare(*request)
        pid, mounts = creation.carry_out(orders.begin, orders.streams)
        orders.tell_client(pid)
        result: dict[str, object] = {"pid": pid}
    except EOFError:  # the monitor ended without a request, or refused it
        os._exit(0)
    except Error as error:
        result = {"kind": type(error).__name__, "message": str(error), "code": docker_code(error)}
    except BaseException as error:
        result = {"kind": "Internal", "message": f"{type(error).__name__}: {error}", "code": 125}
    try:
        orders.answer(dumps(result).encode(), mounts)
        if creation and "pid" in result:
            creation.finish()
        orders.await_end()
    finally:
        os._exit(0)


def _prepared(hurry: bool, run: str) -> Creation:
    from utsuwa.monitor.creation import Creation, expected

    reaper.heed_children()
    if hurry:
        return Creation(probe(), None, None)
    memory.take()
    return Creation(probe(), _spare(), expected(run))


def _spare() -> Spare | None:
    """An executor to wait with us, where we may make what it makes ahead."""
    from utsuwa.init.spare import Spare
    from utsuwa.plan.ahead import begin

    return Spare(begin()) if os.geteuid() == 0 else None


class _Orders:
    """The creator's end of the socket. What does not come any more is an EOFError."""

    def __init__(self, connection: socket, door: Door | None) -> None:
        self._connection, self._door = connection, door
        self._client = -1

    def request(self) -> tuple[int, bytes]:
        """The request of a client that comes in, which the monitor gets, too, or the announced one."""
        if self._door is None:
            head = _exactly(self._connection, _HEAD)
            return head[0], _exactly(self._connection, int.from_bytes(head[4:], "big"))
        kind, payload, received = self._door.request(self._connection.fileno())
        self._send(frames.pack(kind, payload), received)
        for fd in received:
            os.close(fd)
        self._door = None
        if kind not in (frames.START, frames.EXECUTE):
            raise EOFError  # it is not about us
        return kind, payload

    def begin(self) -> None:
        """Wait until we may leave traces."""
        _exactly(self._connection, 1)

    def streams(self) -> int:
        """Wait for the standard streams, and make them ours; or for the socket that takes the terminal, which is given,
        -1 without.
        """
        word, ancillary, _flags, _address = self._connection.recvmsg(1, CMSG_SPACE(16), _CLOEXEC)
        found = descriptors(ancillary)
        if not found:
            raise EOFError
        if word == _STREAMS_AND_CLIENT:
            self._client = found.pop()
        if len(found) == 1:
            return found[0]
        for number, fd in enumerate(found):
            os.dup2(fd, number)
            os.close(fd)
        return -1

    def tell_client(self, pid: int) -> None:
        """Let whoever asked for the container know that it runs; they may be gone."""
        if self._client >= 0:
            try:
                os.write(self._client, frames.pack(frames.STARTED, b'{"pid":%d}' % pid))
            except OSError:
                pass
            os.close(self._client)

    def answer(self, text: bytes, right: int) -> None:
        """Tell the monitor, with a descriptor or -1."""
        self._send(len(text).to_bytes(_SIZE, "big") + text, [right] if right >= 0 else [])

    def await_end(self) -> None:
        """Until the monitor dismisses us."""
        self._connection.recv(1)

    def _send(self, data: bytes, given: list[int]) -> None:
        """The first byte carries the descriptors."""
        sent = self._connection.sendmsg([data], rights(given))
        if sent < len(data):
            self._connection.sendall(data[sent:])


def _exactly(connection: socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
