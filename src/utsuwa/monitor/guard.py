"""The half of a monitor that always lives, as its workers see it; the guard itself is a C program (``c/guard.c``).

CPython touches memory wherever it runs: a process that reads requests and writes logs soon owns 1.6 MB, one that only
waits 0.8. So the guard, which is the container's parent and keeps its stdio open, is a program of 30 kB, and the work
is done by a worker: a process of the forkserver, made when there is something to do, which ends when it is quiet. What
it knows goes to the guard as a file in memory, what it holds as descriptors; the next worker starts from these.

On a seqpacket socket (``c/guard.h``), worker to guard, 8 bytes: ``A`` I am there; ``H`` which process is the
container's (0: none for now), how many of the descriptors are to be watched, whether the next worker has to be the
guard's child, and the descriptors (none: all is over when I end); ``I`` I end because it is quiet. Guard to worker: pid
and wait status of the container's process, once it has ended; and the same, or zeros, with all descriptors, in answer
to ``A``.
"""

from __future__ import annotations

import os
from _socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET
from struct import Struct

ENDED = Struct("<Ii")
_WORD = Struct("<cB?xI")
_MOST = 8
_CLOEXEC = 0x40000000  # MSG_CMSG_CLOEXEC
_identity: dict[int, int] = {}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket


def program() -> str:
    """The path of the C program, beside this file wherever that is now."""
    return f"{os.path.dirname(__file__)}/utsuwa-guard"


def become(control: socket, worker: int, parent: int, forkserver: str, command: list[str]) -> None:
    """Make this process, a child of ``parent``, the guard of its child ``worker``; returns by an exception only.

    ``forkserver``: RUN/NAME of the socket where later workers are to be had; ``command`` starts one without it.
    """
    run, _, name = forkserver.rpartition("/")
    os.chdir(run)  # a socket's path has room for 107 bytes only
    os.set_inheritable(control.fileno(), True)
    numbers = [str(number) for number in (control.fileno(), worker, parent)]
    os.execv(program(), ["utsuwa-guard", *numbers, name, *command])


def identity() -> tuple[int, int]:
    """For a worker: pid and start time of its guard, who is there from the first to the last. It may ask ahead."""
    pid = os.getppid()
    if pid not in _identity:
        from utsuwa.runtime.process import start_time

        _identity.clear()
        _identity[pid] = start_time(pid) or 0
    return pid, _identity[pid]


def report(control: socket) -> tuple[int | None, list[int]]:
    """Take up work: the wait status of the container if it has ended, and the descriptors that the guard holds.

    From here on the guard lives whatever becomes of the forkserver. EOFError: it is gone.
    """
    try:
        control.send(_WORD.pack(b"A", 0, False, 0))
        message, ancillary, _flags, _address = control.recvmsg(ENDED.size, CMSG_SPACE(4 * _MOST), _CLOEXEC)
    except (BrokenPipeError, ConnectionResetError):
        message, ancillary = b"", []
    if not message:
        raise EOFError
    pid, status = ENDED.unpack(message)
    return (status if pid else None), descriptors(ancillary)


def hand_over(
    control: socket, pid: int, watched: list[int], held: list[int], document: bytes, alone: bool = False
) -> None:
    """Tell the guard what the next worker has to know, and give it copies of the descriptors.

    ``alone``: the next worker is to be the guard's own child, so that what it has created becomes the guard's, too.
    """
    memory = os.memfd_create("handover", os.MFD_CLOEXEC)
    os.write(memory, document)
    _tell(control, _WORD.pack(b"H", len(watched), alone, pid), [*watched, *held, memory])
    os.close(memory)


def take_over(received: list[int]) -> tuple[bytes, list[int]]:
    """The document and the descriptors that ``hand_over`` was given."""
    memory = received.pop()
    document = os.pread(memory, os.fstat(memory).st_size, 0)
    os.close(memory)
    return document, received


def name_process(control: socket, pid: int) -> None:
    """Tell the guard whose end we want to hear of; it has nothing to keep, and ends with us."""
    _tell(control, _WORD.pack(b"H", 0, False, pid), [])


def say_idle(control: socket) -> None:
    """Tell the guard that we end because it is quiet, not because we were killed."""
    _tell(control, _WORD.pack(b"I", 0, False, 0), [])


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors of a message's ancillary data."""
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    return []


def rights(given: list[int]) -> list[tuple[int, int, bytes]]:
    """Descriptors as a message's ancillary data."""
    return [(SOL_SOCKET, SCM_RIGHTS, b"".join([fd.to_bytes(4, "little") for fd in given]))] if given else []


def _tell(control: socket, word: bytes, given: list[int]) -> None:
    try:
        control.sendmsg([word], rights(given))
    except (BrokenPipeError, ConnectionResetError):  # the guard was killed: we are on our own
        return
