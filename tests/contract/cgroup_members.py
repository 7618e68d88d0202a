"""Processes for the cgroup contract: they join as told, do one thing at a time, and end with the test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from utsuwa.cgroup.manager import Join


class Member:
    """A child in the cgroups of ``joining``; a context manager that kills and reaps it."""

    def __init__(self, joining: Join, actions: tuple[Callable[[], object], ...] = ()) -> None:
        self._answers, answers = os.pipe()
        orders, self._orders = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _live(joining, actions, orders, answers, (self._orders, self._answers))
        os.close(answers)
        os.close(orders)
        self._reaped = False
        self._await(0)

    def _await(self, expected: int) -> None:
        answer = os.read(self._answers, 1)
        assert answer == bytes([expected]), answer

    def act(self, number: int) -> int:
        """Let it run an action; 0, or the errno of the OSError that this raised."""
        os.write(self._orders, bytes([number]))
        (answer,) = os.read(self._answers, 1)
        return answer

    def wait(self) -> int:
        """Its wait status: it has to have ended, or be ending."""
        self._reaped = True
        return os.waitpid(self.pid, 0)[1]

    def __enter__(self) -> Member:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._orders)
        os.close(self._answers)
        if not self._reaped:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()


def _live(joining: Join, actions: tuple[Callable[[], object], ...], orders: int, answers: int, others: tuple) -> None:
    """The life of a member; never returns."""
    try:
        for fd in others:
            os.close(fd)
        for directory in joining.v1:
            _write(f"{directory}/tasks")
        if joining.unified:
            _write(f"{joining.unified}/cgroup.procs")
        os.write(answers, b"\0")
        while order := os.read(orders, 1):
            try:
                actions[order[0]]()
                os.write(answers, b"\0")
            except OSError as error:
                os.write(answers, bytes([error.errno or 255]))
    finally:
        os._exit(0)


def _write(path: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"0")
    os.close(fd)


def fork_and_reap() -> None:
    """An action: make a child that ends at once."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def open_device(path: str) -> Callable[[], None]:
    """An action: open a device for reading."""

    def act() -> None:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))

    return act
