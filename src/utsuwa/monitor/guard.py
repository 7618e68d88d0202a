"""The half of a monitor that always lives: it is the container's parent, holds its stdio, and does next to nothing.

CPython touches memory wherever it runs: a process that reads requests and writes logs soon owns 1.6 MB. So the work
is done by a worker, the other half: it is forked when there is something to do, and ends when it is quiet. What it
knows comes back as one message (the handover), what it holds as descriptors with it; the next worker starts from
these. The guard itself waits, reaps, and forks: about 0.4 MB of its own.

Worker to guard, on a seqpacket socket: ``A`` a request was accepted (answered by one byte); ``H`` pid as u32, how
many of the descriptors are to be watched as u8, and a document: the handover. Guard to worker: pid and wait status, 8
bytes, of every process that has ended.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_SEQPACKET, SOL_SOCKET, socket, socketpair
from select import POLLIN, poll
from struct import Struct
from time import sleep

from utsuwa.monitor import reaper

DONE, IDLE = 0, 3
"""How a worker ends: there is nothing left to do for ever, or for now."""
ENDED = Struct("<Ii")
_HEAD = Struct("<cIB")
_MOST, _LARGEST = 8, 1 << 16
_CLOEXEC = 0x40000000  # MSG_CMSG_CLOEXEC
_PAUSE = 0.1

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    First = Callable[[socket], int]
    Next = Callable[[bytes, list[int], socket, "int | None"], int]


def guard(first: First, following: Next, foreign: list[int]) -> None:
    """Fork ``first`` as worker, and ``following`` (handover, descriptors, socket, wait status if it has ended) for
    the rest.

    Both return DONE or IDLE. ``foreign`` are descriptors that only the first needs. This returns when all is done.
    """
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    wake = reaper.wake_on_child()
    worker = _fork(ours, first, theirs)
    for fd in foreign:
        os.close(fd)
    held: list[int] = []
    watched, pid, document, ended = 0, 0, b"", None
    while True:
        waiting = poll()
        waiting.register(wake, POLLIN)
        waiting.register(ours, POLLIN)
        if not worker:
            for fd in held[:watched]:
                waiting.register(fd, POLLIN)
        ready = [fd for fd, _events in waiting.poll()]
        # Before the dead: a worker's last message says what is to become of its work.
        if ours.fileno() in ready:
            message, rights, _flags, _address = ours.recvmsg(_LARGEST, CMSG_SPACE(4 * _MOST), _CLOEXEC)
            if message[:1] == b"A":
                reaper.die_with_parent(False)
                ours.send(b"A")
            else:
                for fd in held:
                    os.close(fd)
                held = _descriptors(rights)
                _kind, pid, watched = _HEAD.unpack_from(message)
                document = message[_HEAD.size :]
            continue
        crashed = False
        if wake in ready:
            os.read(wake, 64)
            for child, status in reaper.reap():
                if child == worker:
                    worker = 0
                    crashed = status != IDLE << 8
                    if status == DONE or not document:
                        return
                else:
                    ours.send(ENDED.pack(child, status))
                    if child == pid:
                        ended = status
        if crashed:
            sleep(_PAUSE)
        if not worker and (ended is not None or any(fd in ready for fd in held[:watched])):
            worker = _fork(ours, following, document, held, theirs, ended)


def accepted(control: socket) -> None:
    """In the worker: it has a request, and the guard is to live whatever becomes of the forkserver. EOFError: it is
    gone.
    """
    try:
        control.send(b"A")
        answer = control.recv(1)
    except (BrokenPipeError, ConnectionResetError):
        answer = b""
    if not answer:
        raise EOFError  # the guard has gone with the forkserver, and we are about to
    reaper.die_with_parent(False)


def hand_over(control: socket, pid: int, watched: list[int], held: list[int], document: bytes) -> None:
    """In the worker: tell the guard what the next one has to know, and give it copies of the descriptors."""
    rights = b"".join([fd.to_bytes(4, "little") for fd in (*watched, *held)])
    message = _HEAD.pack(b"H", pid, len(watched)) + document
    try:
        control.sendmsg([message], [(SOL_SOCKET, SCM_RIGHTS, rights)] if rights else [])
    except (BrokenPipeError, ConnectionResetError):  # the guard was killed: we are on our own
        return


def _fork(ours: socket, work: Callable[..., int], *arguments: object) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        reaper.ignore_children()
        reaper.die_with_parent(False)
        ours.close()
        status = work(*arguments)
    except Exception as error:
        from utsuwa.monitor.forkserver import note

        note(error)
    finally:
        os._exit(status)


def _descriptors(rights: list[tuple[int, int, bytes]]) -> list[int]:
    for level, kind, data in rights:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    return []
