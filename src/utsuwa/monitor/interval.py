"""The time between two runs of a container that is started again: what its guard has a worker made for.

The guard holds the timer until the next run has begun, so that whoever is killed here is followed by another who tries
the same. To stop the container now is to leave a mark in its directory, and to knock at the monitor's socket.
"""

from __future__ import annotations

import os
from _signal import SIGKILL
from _socket import socket
from select import POLLIN, poll

from utsuwa.monitor import frames, restarts
from utsuwa.monitor.creator import Creator, Failed
from utsuwa.monitor.ending import empty, forget_runtime
from utsuwa.monitor.guard import name_process, say_idle
from utsuwa.monitor.keeper import Keeper, announce, await_restart
from utsuwa.monitor.records import EXIT_FILE, RUN_FILE, Exit, Run, Start, monitor_directory, now, read, write
from utsuwa.spec.codec import dumps, encode

_QUIET = 1000
"""Milliseconds without anything to do after which a worker ends."""


class Interval:
    """The container of ``ended``, the request for its last run; ``held`` are the guard's descriptors by name."""

    def __init__(self, ended: Start, control: socket, held: dict[str, int]) -> None:
        self._ended, self._control = ended, control
        self._timer, self._listener, self._lock = held["timer"], held["listener"], held["lock"]
        self._directory = monitor_directory(ended.run, ended.id)

    def live(self) -> None:
        """Until the container runs again and has ended, or is not to run again, or until it is quiet."""
        waiting = poll()
        for fd in (self._timer, self._listener, self._control.fileno()):
            waiting.register(fd, POLLIN)
        while True:
            if restarts.was_stopped(self._ended.directory):
                self._give_up()
                return
            ready = dict(waiting.poll(_QUIET))
            if self._control.fileno() in ready:  # the guard was killed
                return
            if self._timer in ready:
                self._start_again()
                return
            if self._listener in ready:
                self._turn_away()
            if not ready:
                say_idle(self._control)
                return

    def _turn_away(self) -> None:
        """Somebody knocks: there is nothing to attach to, but there may be a mark."""
        listener = socket(fileno=self._listener)
        try:
            os.close(listener._accept()[0])  # type: ignore[attr-defined]
        except OSError:
            pass
        finally:
            listener.detach()

    def _give_up(self) -> None:
        """It is not to be started again."""
        ended = read(Exit, self._ended.directory, EXIT_FILE)
        if isinstance(ended, Exit):
            write(self._ended.directory, EXIT_FILE, ended.replace(restarting=False), durable=True)
        self._leave()

    def _leave(self) -> None:
        empty(self._directory, keep_lock=True)
        os.close(self._lock)
        name_process(self._control, 0)  # the guard lets go of the lock, too, and of everything

    def _start_again(self) -> None:
        forget_runtime(self._ended.run, self._ended.id)  # what another worker may have begun
        before = self._ended
        start = before.replace(number=before.number + 1, restarts=before.restarts + 1, attach=False)
        began = now()
        announce(start, self._directory, began)
        creator = Creator((self._control.fileno(), self._timer, self._listener), hurry=True)
        creator.announce(frames.START, dumps(encode(start)).encode())
        creator.begin()
        keeper = Keeper(start, self._directory, self._control, began)
        try:
            pid = keeper.create(creator)
        except Failed as error:
            self._fail(keeper, error)
            return
        keeper.settle_in(self._lock, self._listener)
        creator.dismiss()
        os.close(self._timer)
        if restarts.was_stopped(start.directory):  # by somebody who did not see it coming
            os.kill(pid, SIGKILL)
        keeper.live()

    def _fail(self, keeper: Keeper, error: Failed) -> None:
        if restarts.passes(error.kind):
            run = read(Run, self._directory, RUN_FILE)
            if isinstance(run, Run):
                write(self._directory, RUN_FILE, run.replace(number=self._ended.number))
            delay = min(2 * max(self._ended.delay, restarts.FIRST_DELAY), restarts.LONGEST_DELAY)
            await_restart(self._ended, delay, self._control, self._lock, self._listener)
            say_idle(self._control)
        else:
            keeper.note_failure(error)
            self._leave()
