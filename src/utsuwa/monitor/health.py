"""Healthchecks: a command run in the container again and again, by the container's own monitor.

A timer that the guard holds has a worker come when the next check is due. The check itself is an `exec` like any other,
asked for from the forkserver; it is killed when we are gone, so that whoever is killed here leaves nothing behind, and
the next worker, which the timer brings, begins another.
"""

from __future__ import annotations

import time

from utsuwa.errors import Error
from utsuwa.identifiers import new_engine_id
from utsuwa.linux import timer
from utsuwa.monitor import frames, journal
from utsuwa.monitor.records import (
    HEALTH_FILE,
    Execute,
    Health,
    HealthResult,
    moment,
    now,
    read,
    runtime_root,
    write,
)
from utsuwa.spec.codec import encode, parse

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
KEPT, OUTPUT = 5, 4096
"""How many results are kept, and how many bytes of the output of each."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.monitor.client import Connection
    from utsuwa.monitor.records import Start
    from utsuwa.monitor.relay import Relay


class Examiner:
    """The checks of one run, within a worker's relay."""

    def __init__(self, start: Start, began: str, relay: Relay, clock: int = -1) -> None:
        """Go on with the timer ``clock``; without one the run has just begun, and nothing is known of its health."""
        assert start.health is not None
        self._start, self._check, self._relay = start, start.health, relay
        self._began = moment(began)
        self._connection: Connection | None = None
        self._output, self._since = b"", ""
        self.clock = clock
        if clock < 0:
            self.clock = timer.create()
            self._save(Health(number=start.number))
            self._wait(STARTING)
        relay.watch(self.clock, self._due)

    @property
    def quiet(self) -> bool:
        """No check is under way."""
        return self._connection is None

    def end(self) -> None:
        """The container has ended; a check that was under way counts for nothing."""
        self._hang_up()
        self._relay.forget(self.clock)

    def _due(self, _events: int) -> None:
        """It is time for a check, or for the end of one that takes too long."""
        if self._connection is None:
            self._begin()
            return
        self._hang_up()
        from utsuwa.spec.duration import text

        self._output = f"Health check exceeded timeout ({text(self._check.timeout)})".encode()
        self._note(-1)

    def _begin(self) -> None:
        from utsuwa.monitor import client

        timer.arm(self.clock, self._check.timeout)
        self._output, self._since = b"", now()
        try:
            wanted = self._request()
            if wanted is None:  # paused: nobody could answer
                self._wait(HEALTHY)
                return
            self._connection = client.request(self._start.run, wanted)
        except Error as error:
            self._output = str(error).encode("utf-8", "replace")
            self._note(-1)
            return
        self._relay.watch(self._connection.fd, self._heard)

    def _request(self) -> Execute | None:
        from utsuwa.runtime.record import Store

        start = self._start
        container = Store(runtime_root(start.run)).open(start.id)
        manager, process = container.manager(), container.spec().process
        assert process is not None  # the engine wrote it
        if manager is not None and manager.frozen():
            return None
        identifier, shown = new_engine_id(), " ".join(self._check.command)
        for action in ("exec_create", "exec_start"):
            journal.note(start.run, start.directory, f"{action}: {shown}", {"execID": identifier})
        return Execute(
            id=start.id,
            run=start.run,
            process=encode(process.replace(args=self._check.command, terminal=False)),
            exec=identifier,
            directory=start.directory,
            user=start.user,
            bound=True,
        )

    def _heard(self, _events: int) -> None:
        assert self._connection is not None
        try:
            for kind, payload in self._connection.receive():
                if kind in (frames.STDOUT, frames.STDERR):
                    self._output += payload[: OUTPUT + 1 - len(self._output)]
                elif kind in (frames.EXITED, frames.FAILED):
                    told = parse(payload)
                    self._output += told.get("message", "").encode()
                    self._hang_up()
                    self._note(told.get("exitCode", told.get("code", -1)))
                    return
        except (EOFError, OSError):  # whoever kept it was killed, which says nothing of the container
            self._hang_up()
            timer.arm(self.clock, 0)

    def _hang_up(self) -> None:
        if self._connection:
            self._relay.forget(self._connection.fd)
            self._connection.close()
            self._connection = None

    def _note(self, code: int) -> None:
        """A check has ended so; what that means for the container (moby, daemon/health.go)."""
        output = self._output.decode("utf-8", "replace")
        if len(self._output) > OUTPUT:
            output = self._output[:OUTPUT].decode("utf-8", "replace") + "..."
        result = HealthResult(Start=self._since, End=now(), ExitCode=code, Output=output)
        health = read_health(self._start.directory) or Health(number=self._start.number)
        before, status, streak = health.Status, health.Status, health.FailingStreak
        if code == 0:
            status, streak = HEALTHY, 0
        elif before != STARTING or not self._is_starting(moment(self._since)):
            streak += 1
            status = UNHEALTHY if streak >= self._check.retries else before
        self._save(health.replace(Status=status, FailingStreak=streak, Log=(*health.Log, result)[-KEPT:]))
        if status != before:
            journal.note(self._start.run, self._start.directory, f"health_status: {status}")
        self._wait(status)

    def _is_starting(self, when: float) -> bool:
        return when - self._began < self._check.startPeriod / 1e9

    def _wait(self, status: str) -> None:
        """Set the timer to the next check; one that is starting is asked more often."""
        often = status == STARTING and self._is_starting(time.time())
        timer.arm(self.clock, self._check.startInterval if often else self._check.interval)

    def _save(self, health: Health) -> None:
        try:
            write(self._start.directory, HEALTH_FILE, health)
        except OSError:  # a full disk: the last that is known stays
            return


def read_health(directory: str) -> Health | None:
    """What is known of the health of the container of ``directory``, whose checks began with its last run."""
    try:
        found = read(Health, directory, HEALTH_FILE)
    except Error:
        return None
    return found if isinstance(found, Health) else None
