"""A container in the hands of a Python program."""

from __future__ import annotations

import re

from utsuwa.engine import commit, inspection, logs, pausing, renaming
from utsuwa.engine.containers import log_name
from utsuwa.engine.ending import ending
from utsuwa.engine.errands import Pause, Sleeper, drive
from utsuwa.engine.execs import ExecRequest
from utsuwa.errors import NotFound, Unsupported
from utsuwa.image.names import new_name
from utsuwa.library import options
from utsuwa.library.envoy import indoors
from utsuwa.library.facts import Facts
from utsuwa.library.failures import TimedOut
from utsuwa.library.files import Files
from utsuwa.library.images import image
from utsuwa.library.output import LogLine
from utsuwa.library.process import Process
from utsuwa.library.usage import Usage, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self, TypeVar

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.library.images import Image
    from utsuwa.library.options import Command
    from utsuwa.library.output import Output
    from utsuwa.library.services import Services
    from utsuwa.monitor.client import Connection

    T = TypeVar("T")


class Container(Facts):
    """One container, running or not. ``with`` removes it at the end of the block, however that ends."""

    def __init__(self, services: Services, record: ContainerRecord) -> None:
        """For the library's own use; programs get containers from an engine."""
        super().__init__(services, record)
        self.files = Files(services, record.id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.remove(force=True, volumes=True)
        except NotFound:  # somebody was faster
            pass

    @indoors
    def inspect(self) -> dict[str, object]:
        """All about it, in the shape of Docker's API."""
        record = self.record()
        return inspection.container(self.services.paths, record, self.services.containers.status(record))

    @indoors
    def usage(self) -> Usage:
        """What it uses now. Raises FailedPrecondition when it does not run."""
        return usage(self.services, self.record())

    # --- its life ---------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it, again perhaps. Raises FailedPrecondition when it runs, and what the runtime says."""
        self._start()
        return self

    @indoors
    def _start(self) -> None:
        self.services.containers.start(self.record()).close()

    @indoors
    def stop(self, timeout: int | None = None, signal: str | None = None) -> None:
        """Ask it to end, and kill it after ``timeout`` seconds (its own, or 10; -1: never)."""
        self.services.containers.stop(self.record(), timeout, signal)

    @indoors
    def kill(self, signal: str = "KILL") -> None:
        """Send a signal to its process. Raises FailedPrecondition when there is none."""
        self.services.containers.kill(self.record(), signal)

    @indoors
    def restart(self, timeout: int | None = None) -> None:
        """Stop it if it runs (see ``stop``), and start it."""
        self.services.containers.restart(self.record(), timeout)

    @indoors
    def pause(self) -> None:
        """Let nothing in it run until ``unpause``. Raises FailedPrecondition when it does not run, Conflict when it is
        paused.
        """
        pausing.pause(self.services.paths, self.record())

    @indoors
    def unpause(self) -> None:
        """Let it go on. Raises FailedPrecondition unless it is paused."""
        pausing.unpause(self.services.paths, self.record())

    def rename(self, name: str) -> None:
        """Give it another name. Raises Conflict when that is taken."""
        self.name = self._rename(name)

    @indoors
    def _rename(self, name: str) -> str:
        return renaming.rename(self.services.paths, self.record(), name).name

    @indoors
    def commit(self, name: str, *, message: str = "", changes: Sequence[str] = ()) -> Image:
        """Make an image of what it has become; ``changes`` are instructions as ``CMD ["sh"]``."""
        asked = commit.Asked(new_name(name), "", message, changes)
        return image(commit.commit(self.services.paths, self.services.images, self.record(), asked))

    def wait(self, timeout: float | None = None) -> int:
        """The exit code of its run, once that is over. Raises TimedOut after ``timeout`` seconds."""
        return self._await(ending(self.services.paths, self.record(), settle=self.settle), timeout, "has not ended")

    @indoors
    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it; ``force`` kills it first, ``volumes`` takes its anonymous volumes along. Raises Conflict when it
        runs.
        """
        self.services.containers.remove(self.record(), force=force, volumes=volumes)

    # --- its processes ----------------------------------------------------------------------------------------------

    def exec(
        self,
        command: Command,
        *,
        input: bytes | str | None = None,
        check: bool = True,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        user: str | None = None,
        privileged: bool = False,
    ) -> Output:
        """Run a command in it, and give its output. Raises ProcessFailed when that ends badly, unless ``check`` is
        False; TimedOut after ``timeout`` seconds, when it has been killed.
        """
        process = self.popen(
            command, stdin=input is not None, env=env, workdir=workdir, user=user, privileged=privileged
        )
        with process:
            output = process.communicate(input, timeout)
        return output.checked(f"container {self.name}") if check else output

    def popen(
        self,
        command: Command,
        *,
        stdin: bool = False,
        tty: bool = False,
        size: tuple[int, int] = (0, 0),
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        user: str | None = None,
        privileged: bool = False,
    ) -> Process:
        """Start a command in it, to talk to. ``stdin``: it gets an input; ``tty``: a terminal, of ``size`` rows and
        columns. Raises FailedPrecondition when the container does not run.
        """
        started = self.execute(
            command, stdin=stdin, tty=tty, size=size, env=env, workdir=workdir, user=user, privileged=privileged
        )
        return Process(*started)

    @indoors
    def execute(
        self,
        command: Command,
        *,
        stdin: bool,
        tty: bool,
        size: tuple[int, int],
        env: Mapping[str, str] | None,
        workdir: str | None,
        user: str | None,
        privileged: bool,
    ) -> tuple[Connection, tuple[str, ...]]:
        """The connection to a process that has been started as ``popen`` does, and its command."""
        request = ExecRequest(
            command=options.words(command),
            env=options.environment(env or {}),
            workdir=workdir,
            user=user,
            tty=tty,
            stdin_open=stdin,
            privileged=privileged,
        )
        return self.services.execs.start(self.record(), request, size=size), request.command

    def attach(self) -> Process:
        """Its first process, with what it prints from now on. Raises FailedPrecondition when it does not run."""
        return Process(self.attached(), self.command)

    @indoors
    def attached(self) -> Connection:
        """The connection of ``attach``."""
        return self.services.containers.attach(self.record())

    # --- its output -------------------------------------------------------------------------------------------------

    def logs(self, *, follow: bool = False, tail: int | None = None) -> Iterator[LogLine]:
        """The lines that it has printed, the last ``tail`` of them; with ``follow`` also those to come, until its run
        is over. Raises Unsupported when it has no log.
        """
        record = self.record()
        name = log_name(record)
        if not name:
            raise Unsupported(f"container {self.name} has no log that can be read (log driver {record.logDriver})")
        if follow:
            return self._follow(record, tail)
        lines = logs.read(self.services.paths.container(record.id), name, tail)
        return (LogLine(line.text, line.stream, line.time) for line in lines)

    def _follow(self, record: ContainerRecord, tail: int | None) -> Iterator[LogLine]:
        sleeper, errand = Sleeper(), self.services.readiness.follow(record, tail)
        try:
            for found in errand:
                if isinstance(found, Pause):
                    sleeper.sleep(found)
                else:
                    yield LogLine(found.text, found.stream, found.time)
        finally:
            errand.close()
            sleeper.close()

    # --- readiness --------------------------------------------------------------------------------------------------

    def wait_until(
        self,
        condition: Callable[[Self], object] | None = None,
        *,
        log: str | re.Pattern[str] | None = None,
        port: int | None = None,
        healthy: bool = False,
        timeout: float | None = 60.0,
    ) -> Self:
        """Wait until all that is asked for is true: a line of the log matches the regular expression ``log``, somebody
        in the container's network listens on the TCP port ``port``, its healthchecks find it ``healthy``,
        ``condition(container)`` is true.

        Raises TimedOut after ``timeout`` seconds in all, FailedPrecondition when the container ends before.
        """
        self._await(self.readiness(condition, log, port, healthy), timeout, "was not ready")
        return self

    def readiness(
        self,
        condition: Callable[[Self], object] | None,
        log: str | re.Pattern[str] | None,
        port: int | None,
        healthy: bool,
    ) -> Generator[Pause, None, None]:
        """The errand of ``wait_until``."""
        record, readiness = self.record(), self.services.readiness
        if log is not None:
            pattern = re.compile(log)
            yield from readiness.printed(record, lambda text: pattern.search(text) is not None)
        if port is not None:
            yield from readiness.listens(record, port)
        if healthy:
            yield from readiness.recovers(record)
        if condition is not None:
            yield from readiness.answers(record, lambda _status: bool(condition(self)))

    # --- within -----------------------------------------------------------------------------------------------------

    def _await(self, errand: Generator[Pause, None, T], timeout: float | None, complaint: str) -> T:
        try:
            return drive(errand, timeout)
        except TimeoutError:
            raise TimedOut(f"container {self.name} {complaint} within {timeout:g} seconds") from None
