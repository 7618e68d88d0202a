"""The parent's end of the conversation with utsuwa-init: 32-byte reports come in, 8-byte replies go out."""

from __future__ import annotations

from _socket import CMSG_SPACE
from _socket import SCM_RIGHTS as _SCM_RIGHTS
from _socket import SOL_SOCKET as _SOL_SOCKET
from _struct import unpack

from utsuwa.errors import FailedPrecondition, Internal
from utsuwa.plan import ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from utsuwa.plan.plan import Plan

# Kinds of reports, as in c/ops.def.
CLONED = 1
REQUEST = 2
WAITING = 3
EXECUTING = 4
FAILED = 5

_SIZE = 32
_ROOM = CMSG_SPACE(8)
_CLOEXEC = 0x40000000  # MSG_CMSG_CLOEXEC
_DONTWAIT = 0x40  # MSG_DONTWAIT
_GO_ON = (1).to_bytes(8, "little")
_STREAMS = [(_SOL_SOCKET, _SCM_RIGHTS, b"".join([number.to_bytes(4, "little") for number in (0, 1, 2)]))]


class Report:
    """One record: its ``kind``; the index ``op`` of the operation; ``value``: a pid (CLONED), a request (REQUEST).

    ``descriptors`` came with it; they are the reader's to close.
    """

    __slots__ = ("descriptors", "detail", "errno", "kind", "op", "value")

    def __init__(self, kind: int, op: int, errno: int = 0, detail: int = 0, value: int = 0) -> None:
        self.kind = kind
        self.op = op
        self.errno = errno
        self.detail = detail
        self.value = value
        self.descriptors: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"Report({self.kind}, {self.op}, errno={self.errno}, detail={self.detail}, value={self.value})"


class Channel:
    """Reports in the order of the plan, over a connected SOCK_SEQPACKET socket that this object then owns.

    ``plan`` gives the plan that is being carried out; it is called only to word a failure.
    """

    def __init__(self, connection: socket, plan: Callable[[], Plan]) -> None:
        self._connection = connection
        self._plan = plan
        self._last = 0
        self._held: list[Report | None] = []

    def fileno(self) -> int:
        """The descriptor to poll for reports."""
        return self._connection.fileno()

    def receive(self) -> Report | None:
        """The next record as it comes, FAILED ones too; None when the other side has hung up."""
        return self._held.pop(0) if self._held else self._receive(_CLOEXEC)

    def _receive(self, flags: int) -> Report | None:
        try:
            data, ancillary, _, _ = self._connection.recvmsg(_SIZE, _ROOM, flags)
        except ConnectionResetError:
            # It hung up with a reply of ours unread. The kernel tells that before what it has said last.
            data, ancillary, _, _ = self._connection.recvmsg(_SIZE, _ROOM, flags)
        if not data:
            return None
        if len(data) != _SIZE:
            raise Internal(f"a report of {len(data)} bytes from the container's process, expected {_SIZE}")
        kind, op, errno, detail, value, _ = unpack("<IIiIqQ", data)
        report = Report(kind, op, errno, detail, value)
        if ancillary:
            data = ancillary[0][2]
            report.descriptors = unpack(f"<{len(data) // 4}i", data)
        return report

    def executes(self) -> bool:
        """Whether the process has told by now that it becomes the program: heard, yet to be heard, or lost.

        A signal's handler that raises as soon as recv(2) is done has the report forgotten; then there is nothing left
        but the end. A process that failed instead has ended, and can be waited for. Before that word may be questions
        that were answered before they were asked: all that is there is taken, and kept for :meth:`receive`.
        """
        if self._last != EXECUTING:
            self._take_all()
        kinds = [report.kind for report in self._held if report]
        if self._held and self._held[-1] is None and not (EXECUTING in kinds or FAILED in kinds):
            self._last = EXECUTING
        return self._last == EXECUTING or EXECUTING in kinds

    def _take_all(self) -> None:
        try:
            while True:
                report = self._receive(_CLOEXEC | _DONTWAIT)
                self._held.append(report)
                if report is None or (report.kind == REQUEST and report.value == ops.SECCOMP_LISTENER):
                    return  # the end; or a message with a descriptor follows, which is for descriptor()
        except BlockingIOError:
            return

    def next(self) -> Report | None:
        """The next report; None when there will be no more: the program runs, or waits for `start` elsewhere.

        Raises OpFailed when an operation failed, FailedPrecondition when the process ended without a word.
        """
        return self.accept(self.receive())

    def accept(self, report: Report | None) -> Report | None:
        """``report`` itself if the conversation may go on with it; raises as :meth:`next` does."""
        if report is None:
            self.close()
            if self._last not in (EXECUTING, WAITING):
                raise FailedPrecondition(
                    "the container's process ended before it could run its program: see if it was killed, "
                    "or if the memory limit is too low"
                )
            return None
        if report.kind == FAILED:
            from utsuwa.init.failure import failure

            self.close()
            raise failure(self._plan(), report)
        self._last = report.kind
        return report

    def instruct(self, plan: Callable[[], Plan], message: bytes, rights: list[tuple[int, int, bytes]]) -> None:
        """Send another plan; failures are worded by that one from now on."""
        self._plan = plan
        try:
            self._connection.sendmsg([message], rights)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def reply(self, streams: bool = False) -> None:
        """Let the process go on after a REQUEST, with our own 0, 1 and 2 as its ``streams`` from here on. That it is
        gone already is what :meth:`next` finds out.
        """
        try:
            if streams:
                self._connection.sendmsg([_GO_ON], _STREAMS)
            else:
                self._connection.send(_GO_ON)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def descriptor(self) -> int:
        """The descriptor that comes behind a REQUEST which has one; the caller owns it. Raises Internal without."""
        _, ancillary, _, _ = self._connection.recvmsg(_SIZE, CMSG_SPACE(4), _CLOEXEC)
        for level, kind, data in ancillary:
            if level == _SOL_SOCKET and kind == _SCM_RIGHTS:
                return int.from_bytes(data[:4], "little")
        raise Internal("the container's process announced a descriptor and sent none")

    def close(self) -> None:
        """Hang up; a process that waits for a reply then ends."""
        self._connection.close()
