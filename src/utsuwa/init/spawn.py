"""Start utsuwa-init with a plan.

The executor is started from a sealed copy in memory, so that nobody inside the container can reach and change the file
it came from through /proc/PID/exe (CVE-2019-5736). It is spawned, never forked: that costs the same at any size of us.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair

from utsuwa.errors import FailedPrecondition, Unsupported
from utsuwa.init.channel import CLONED, EXECUTING, FAILED, REQUEST, Channel
from utsuwa.init.encode import encode
from utsuwa.plan.ops import JOIN_SCOPE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from utsuwa.init.channel import Report
    from utsuwa.plan.plan import Plan

_MFD_EXEC = 0x10  # Linux 6.3, asked for by vm.memfd_noexec
_ADD_SEALS = 1033
_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE
# All but SIGKILL and SIGSTOP, which have no disposition to reset, and the two that the C library keeps for itself.
_RESET = tuple([number for number in range(1, 65) if number not in (9, 19, 32, 33)])

_TEXT_BUSY = 26  # ETXTBSY
_sealed = -1


class Child:
    """The process that carries out a plan: ``pid`` is 0 until the CLONED report, and then that of a child of ours.

    ``stage1`` is the pid of who carries it out until then, 0 once that is collected.
    """

    def __init__(self, stage1: int, channel: Channel) -> None:
        self.pid = 0
        self.stage1 = stage1
        self._channel = channel
        self._held: list[Report | None] = []

    def fileno(self) -> int:
        """The descriptor to poll for reports."""
        return self._channel.fileno()

    def next(self) -> Report | None:
        """The next report, CLONED first but for what stage 1 asks; None when there will be no more.

        Raises OpFailed when an operation failed, FailedPrecondition when the process ended without a word. Stage 1 is
        collected by then; the child, if ``pid`` says that there is one, is the caller's to wait for.
        """
        if not self.pid and not self._held:
            asked = self._await_clone()
            if asked is not None:
                return asked
        report = self._held.pop(0) if self._held else self._channel.receive()
        if report is None or report.kind in (FAILED, EXECUTING):
            self._reap()
        return self._channel.accept(report)

    def _await_clone(self) -> Report | None:
        """Two processes write to the channel: hold back what the child says before stage 1 has told who it is.

        What stage 1 itself asks for comes through at once.
        """
        while True:
            report = self._channel.receive()
            if report is not None and report.kind == REQUEST and report.value == JOIN_SCOPE:
                return report
            if report is not None and report.kind == CLONED:
                self.pid = report.value
                self._held.insert(0, report)
                return None
            self._held.append(report)
            if report is None:
                return None

    def await_end(self) -> None:
        """Wait for the end of a plan without a CLONE. Raises OpFailed."""
        report = self._channel.receive()
        if report is not None:
            self._channel.accept(report)

    def offered(self) -> tuple[int, ...]:
        """The descriptors that come with a NETWORK request, of a plan without a CLONE. Raises OpFailed."""
        report = self._channel.accept(self._channel.receive())
        return report.descriptors if report else ()

    def instruct(self, plan: Callable[[], Plan], message: bytes, rights: list[tuple[int, int, bytes]]) -> None:
        """Give the rest of its plan to one that waits for it (AWAIT_PLAN). What it then says is about that one."""
        self._channel.instruct(plan, message, rights)

    def executes(self) -> bool:
        """Whether the child has told by now that it becomes the program; not before we know its pid."""
        return self.pid > 0 and self._channel.executes()

    def reply(self, streams: bool = False) -> None:
        """Let the child go on after a REQUEST, with our own 0, 1 and 2 as its ``streams`` from here on."""
        self._channel.reply(streams)

    def descriptor(self) -> int:
        """The descriptor that belongs to the REQUEST just given; the caller owns it."""
        return self._channel.descriptor()

    def close(self) -> None:
        """Hang up and collect stage 1. The child, should it be asking, ends."""
        self._channel.close()
        self._reap()

    def _reap(self) -> None:
        if self.stage1:
            try:
                os.waitpid(self.stage1, 0)
            except ChildProcessError:
                pass  # collected already: the handler of a signal raised as soon as that was done
            self.stage1 = 0


def carry_out(plan: Plan) -> None:
    """Carry out a plan that makes no process, and come back when it is done. Raises OpFailed."""
    child = spawn(plan)
    try:
        child.await_end()
    finally:
        child.close()


def spawn(plan: Plan, slots: Mapping[str, int] | None = None, keep: tuple[int, ...] = ()) -> Child:
    """Start carrying out ``plan``.

    ``slots`` are the descriptors that the plan names; ``keep`` are descriptors that stay open in the container, besides
    those of ``plan.keep``. All stay the caller's to close. Raises Unsupported when the executor is not installed.
    """
    sealed()  # before anything else is opened: it fills what is closed of 0, 1 and 2
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    description = -1
    try:
        channel = theirs.fileno()
        slots = slots or {}
        keep = (*plan.keep, *keep)
        description = os.memfd_create("plan", os.MFD_CLOEXEC)
        write(description, encode(plan.ops, slots, channel, keep))
        # A descriptor duplicated onto itself loses close-on-exec in the new process, and in no other (POSIX.1-2024).
        inherited = {description, channel, *keep, *slots.values()}
        actions = [(os.POSIX_SPAWN_DUP2, number, number) for number in inherited]
        pid = _start(str(description), actions)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        if description >= 0:
            os.close(description)
    return Child(pid, Channel(ours, lambda: plan))


def _start(plan: str, actions: list[tuple[int, int, int]]) -> int:
    """Start stage 1.

    A container that may trace everything can get hold of the executor's file, and open it for writing once nobody runs
    it. The seals forbid to write, but a file that is open for writing is not executed (ETXTBSY): take a new one then.
    """
    global _sealed
    while True:
        path, words = f"/proc/self/fd/{sealed()}", ("utsuwa-init", plan)
        try:
            return os.posix_spawn(path, words, {}, file_actions=actions, setsigmask=(), setsigdef=_RESET)
        except OSError as error:
            if error.errno != _TEXT_BUSY:
                raise
        os.close(_sealed)
        _sealed = -1


def sealed() -> int:
    """The descriptor of the sealed executor, made once for each process and kept open."""
    global _sealed
    if _sealed < 0:
        _fill_stdio()
        _sealed = _seal(f"{os.path.dirname(__file__)}/utsuwa-init")
    return _sealed


def _fill_stdio() -> None:
    """Open what the caller left closed of 0, 1 and 2: our own descriptors would land there and be the container's."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open("/dev/null", os.O_RDWR)


def _seal(path: str) -> int:
    from fcntl import fcntl

    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Unsupported(f"the executor {path} is missing: install utsuwa again, or run make in init/c") from None
    try:
        copy = _memory_file()
        while os.sendfile(copy, source, None, 1 << 20):
            pass
    finally:
        os.close(source)
    fcntl(copy, _ADD_SEALS, _SEALS)
    return copy


def _memory_file() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("utsuwa-init", flags | _MFD_EXEC)
    except OSError:
        return os.memfd_create("utsuwa-init", flags)


def write(descriptor: int, data: bytes) -> None:
    """Write all of a plan into its file in memory."""
    view = memoryview(data)
    while view:
        written = os.write(descriptor, view)
        if not written:
            raise FailedPrecondition("the plan can't be written to memory")
        view = view[written:]
