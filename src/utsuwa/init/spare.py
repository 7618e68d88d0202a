"""An executor started ahead of its plan: it has carried out what every plan begins with, and waits for the rest.

It costs a small process that sleeps; the start that it was made for saves the program's own start and the making of
its slowest namespaces.
"""

from __future__ import annotations

import os
from _socket import SCM_RIGHTS, SOL_SOCKET
from struct import pack

from utsuwa.init.spawn import Child, spawn, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from utsuwa.plan.plan import Plan

CHANNEL = 3
"""What a plan for a spare names as its channel; the executor keeps the one that it has."""
_FIRST = 100
"""The number that the first of the plan's descriptors gets: above all that the executor has open."""


def numbers(slots: Iterable[str]) -> dict[str, int]:
    """The descriptors to encode a spare's plan with."""
    return {slot: _FIRST + index for index, slot in enumerate(sorted(slots))}


class Spare:
    """A waiting executor. It ends by itself when we do."""

    def __init__(self, beginning: Plan) -> None:
        """``beginning`` ends with AWAIT_PLAN. Raises what spawn raises."""
        self._child = spawn(beginning)
        self._held: tuple[bytes, int] = (b"", -1)

    def hold(self, wire: bytes) -> None:
        """Put the rest of a plan where the executor will read it, while nobody waits for that.

        From here on this process never takes the processor from another: it is for looking on.
        """
        _look_on()
        description = os.memfd_create("plan", os.MFD_CLOEXEC)
        write(description, wire)
        self._held = wire, description

    def go_on(self, wire: bytes, plan: Callable[[], Plan], slots: Mapping[str, int], streams: bool = True) -> Child:
        """Have it carry out the rest, with our own 0, 1 and 2 as its; without ``streams``, these come with a reply.

        ``wire``: that rest, encoded with ``numbers(slots)``. ``plan`` gives it in words, should something fail.
        """
        if self._held[0] is not wire:
            self._let_go()
            self.hold(wire)
        description = self._held[1]
        try:
            wanted = numbers(slots)
            ours = (0, 1, 2) if streams else ()
            given = [description, *ours, *[slots[slot] for slot in wanted]]
            places = pack(f"<{len(given)}Q", 0, *ours, *wanted.values())
            rights = pack(f"<{len(given)}i", *given)
            self._child.instruct(plan, places, [(SOL_SOCKET, SCM_RIGHTS, rights)])
        finally:
            self._let_go()
        return self._child

    def dismiss(self) -> None:
        """Nobody needs it: it ends, and is collected."""
        self._let_go()
        self._child.close()

    def _let_go(self) -> None:
        if self._held[1] >= 0:
            os.close(self._held[1])
            self._held = b"", -1


def _look_on() -> None:
    """A report of the child would put us in its place otherwise, where both are on one processor (sched(7))."""
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError:  # not from every policy, and not under every filter: it costs time, and nothing else
        return
