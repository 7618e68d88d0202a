"""The forkserver: a lean process that forks one monitor a request, and holds no state.

Kill it and the next request starts another; the monitors do not notice. It has one thread and imports nothing but the
runtime, so that a fork is cheap and a monitor's memory is what it writes itself. It is started by
:mod:`utsuwa.monitor.client` with the listening socket as descriptor 3.

A request is a frame (kind START or EXECUTE, JSON) on a stream connection, which the monitor owns from there.
"""

from __future__ import annotations

import gc
import os
from _signal import SIG_IGN, SIGCHLD, SIGHUP, SIGINT, SIGTERM, signal
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair
from select import POLLIN, poll
from time import sleep

from utsuwa.linux.host import in_user_namespace
from utsuwa.monitor import duty, guard, memory, reaper
from utsuwa.monitor.creator import Creator
from utsuwa.monitor.door import Door, Notice, is_readable

LISTENER = 3
IDLE_SECONDS = 600
"""How long it waits for a request before it ends, once none of its monitors is left (they are its children to reap)."""
_PAUSE = 0.05
_GRACE = 100
"""Milliseconds that a start may take before the next spare monitor is prepared beside it."""
_SETTLE = 15
"""Milliseconds that a process has to itself when it has started: many are over by then."""


def main(address: str, command: list[str]) -> None:
    """Serve until nobody has asked for IDLE_SECONDS. Runs as ``python3 -I -S``.

    ``address``: the path of the listening socket. ``command`` starts a worker when there is no forkserver any more.
    """
    from utsuwa.monitor.rehearsal import rehearse

    os.closerange(LISTENER + 1, 1 << 16)
    os.set_inheritable(LISTENER, False)
    os.chdir("/")
    os.umask(0o022)
    name_process("utsuwa-forks")
    if in_user_namespace():
        from utsuwa.monitor.inhabitants import move_in

        move_in(os.path.dirname(address))
    signal(SIGCHLD, SIG_IGN)  # the kernel reaps
    signal(SIGHUP, SIG_IGN)
    signal(SIGINT, SIG_IGN)
    rehearse()
    memory.keep()
    gc.collect()
    gc.freeze()
    gc.disable()
    serve(LISTENER, address, command, IDLE_SECONDS)


def serve(listener: int, address: str, command: list[str], idle: float) -> None:
    """Keep one monitor waiting for the next request, until nobody has asked for ``idle`` seconds.

    The waiting monitor lets the client in by itself and says so on a pipe: nothing stands between a client and its
    monitor. That nobody comes any more it is told by the end of another.
    """
    while True:
        taken, tell = os.pipe2(os.O_CLOEXEC)
        closed, close = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        spare = os.fork()
        if spare == 0:
            os.close(taken)
            os.close(close)
            _stand_by(parent, Door(listener, closed, Notice(tell)), address, command)
        os.close(tell)
        os.close(closed)
        waiting = poll()
        waiting.register(taken, POLLIN)
        if not waiting.poll(int(idle * 1000)):
            os.close(close)
            close = -1
            if not os.read(taken, 1):
                _await_end(spare)
                if not _has_children():
                    return
        elif not os.read(taken, 1):
            sleep(_PAUSE)  # the spare was killed: by somebody who may do it again
        else:
            # To prepare the next one takes a processor for 10 ms: not now, unless somebody waits for it already.
            waiting.register(listener, POLLIN)
            if waiting.poll(_GRACE):
                is_readable(listener, _SETTLE)
        os.close(taken)
        if close >= 0:
            os.close(close)


def _stand_by(parent: int, door: Door, address: str, command: list[str]) -> None:
    """The life of a forked process: fork the worker that takes one request, and become its guard."""
    try:
        os.setsid()
        signal(SIGTERM, SIG_IGN)
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        worker = os.fork()
        if worker == 0:
            ours.close()
            _work(door, theirs, os.path.dirname(address))
        guard.become(ours, worker, parent, address, command)
    except Exception as error:
        note(error)
    finally:
        os._exit(1)


def _work(door: Door, control: socket, run: str) -> None:
    """The life of a worker. Never returns."""
    status = 1
    try:
        reaper.ignore_children()
        reaper.die_with_parent(True)
        name_process("utsuwa-monitor")
        _take_one(door, control, run)
        status = 0
    except Exception as error:
        note(error)
    finally:
        os._exit(status)


def note(error: Exception) -> None:
    """Our own fault, and nobody is there to be told: it goes to standard error, which is the forkserver's log."""
    place = []
    trace = error.__traceback__
    while trace is not None:
        place.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    text = f"monitor {os.getpid()}: {type(error).__name__}: {error} ({' '.join(place)})\n"
    os.write(2, text.encode("utf-8", "replace"))


def _take_one(door: Door, control: socket, run: str) -> None:
    """The first worker of a guard: prepared in every way, it takes one request."""
    hurry = door.is_knocked_at()
    creator = Creator((control.fileno(),), hurry, run, door)
    door.leave()
    if not hurry:
        memory.take()
        guard.identity()
    duty.serve(creator, control, door.notice)


def _await_end(guard: int) -> None:
    """A guard ends with its worker, unless that has had a request."""
    try:
        os.waitpid(guard, 0)
    except ChildProcessError:  # the kernel has reaped it
        pass


def _has_children() -> bool:
    """Monitors are alive; they are ours to reap, and where process 1 reaps nobody they would stay for ever without
    us.
    """
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def name_process(name: str) -> None:
    """What ps(1) shows in its COMMAND column, at most 15 bytes."""
    fd = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, name.encode())
    os.close(fd)
