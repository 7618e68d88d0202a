"""Whether, and when, a container that has ended is started again: Docker's restart policies (moby, restartmanager).

No daemon is needed for it: between two runs the guard holds a timer, the lock and what the next worker has to know.
"""

from __future__ import annotations

import os

from utsuwa.errors import Error
from utsuwa.monitor.records import STOPPED_FILE, moment
from utsuwa.spec.codec import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.records import Exit, Start

ALWAYS, UNLESS_STOPPED, ON_FAILURE = "always", "unless-stopped", "on-failure"
FIRST_DELAY, LONGEST_DELAY = 100, 60_000
"""Milliseconds before the first restart in a row; each later one waits twice as long as the one before."""
STEADY = 10
"""Seconds that a container must have run for its next delay to be the first again."""
_PASSING = ("Conflict", "Internal", "Unavailable")
"""Kinds of failure that say nothing about the container: what somebody killed, or has not cleaned up yet."""


def delay(start: Start, ended: Exit) -> int | None:
    """Milliseconds until the container is to be started again; None when it isn't."""
    policy, limit = policy_of(start.directory)
    if was_stopped(start.directory) or not wants(policy, limit, ended):
        return None
    ran = moment(ended.finishedAt) - moment(ended.startedAt)
    return FIRST_DELAY if ran >= STEADY or not start.delay else min(2 * start.delay, LONGEST_DELAY)


def wants(policy: str, limit: int, ended: Exit) -> bool:
    """The policy asks for another run after this end (if nobody has stopped the container)."""
    if policy == ON_FAILURE:
        return ended.exitCode != 0 and (not limit or ended.restarts < limit)
    return policy in (ALWAYS, UNLESS_STOPPED)


def policy_of(directory: str) -> tuple[str, int]:
    """The policy of a container, which may have been changed while it ran, and its limit of restarts (0: none)."""
    try:
        with open(f"{directory}/container.json", "rb", buffering=0) as file:
            document = parse(file.read())
    except (OSError, Error):
        return "", 0
    return document.get("restart", ""), document.get("restartLimit", 0)


def was_stopped(directory: str) -> bool:
    """Somebody wants it to be down."""
    return os.path.exists(f"{directory}/{STOPPED_FILE}")


def passes(kind: str) -> bool:
    """A start that failed so may succeed the next time."""
    return kind in _PASSING
