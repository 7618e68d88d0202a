"""A container in the hands of an asynchronous program; :mod:`utsuwa.library.container` is the same for threads."""

from __future__ import annotations

from itertools import islice

from utsuwa.aio.files import Files
from utsuwa.aio.process import Process
from utsuwa.aio.threads import call
from utsuwa.aio.watching import Sleeper, drive
from utsuwa.engine.ending import ending
from utsuwa.engine.errands import Pause
from utsuwa.errors import NotFound
from utsuwa.library.facts import Facts
from utsuwa.library.failures import TimedOut
from utsuwa.library.output import LogLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
    from types import TracebackType
    from typing import Self, TypeVar

    from utsuwa.library import container
    from utsuwa.library.images import Image
    from utsuwa.library.options import Command
    from utsuwa.library.output import Output
    from utsuwa.library.usage import Usage

    T = TypeVar("T")

_BATCH = 1000
"""Lines of a log read at once."""


class Container(Facts):
    """One container, running or not. ``async with`` removes it at the end of the block, however that ends.

    What it is (:class:`utsuwa.library.facts.Facts`) is asked without ``await``, and without a thread.
    """

    def __init__(self, blocking: container.Container) -> None:
        """``blocking`` is the same container for threads."""
        super().__init__(blocking.services, blocking)
        self.blocking = blocking
        self.files = Files(blocking.files)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.remove(force=True, volumes=True)
        except NotFound:  # somebody was faster
            pass

    async def inspect(self) -> dict[str, object]:
        """All about it, in the shape of Docker's API."""
        return await call(self.blocking.inspect)

    async def usage(self) -> Usage:
        """What it uses now. Raises FailedPrecondition when it does not run."""
        return await call(self.blocking.usage)

    # --- its life ---------------------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Start it, again perhaps. Raises FailedPrecondition when it runs, and what the runtime says."""
        await call(self.blocking.start)
        return self

    async def stop(self, timeout: int | None = None, signal: str | None = None) -> None:
        """Ask it to end, and kill it after ``timeout`` seconds (its own, or 10; -1: never)."""
        await call(self.blocking.stop, timeout, signal)

    async def kill(self, signal: str = "KILL") -> None:
        """Send a signal to its process. Raises FailedPrecondition when there is none."""
        await call(self.blocking.kill, signal)

    async def restart(self, timeout: int | None = None) -> None:
        """Stop it if it runs (see ``stop``), and start it."""
        await call(self.blocking.restart, timeout)

    async def pause(self) -> None:
        """Let nothing in it run until ``unpause``."""
        await call(self.blocking.pause)

    async def unpause(self) -> None:
        """Let it go on. Raises FailedPrecondition unless it is paused."""
        await call(self.blocking.unpause)

    async def rename(self, name: str) -> None:
        """Give it another name. Raises Conflict when that is taken."""
        await call(self.blocking.rename, name)
        self.name = self.blocking.name

    async def commit(self, name: str, *, message: str = "", changes: Sequence[str] = ()) -> Image:
        """Make an image of what it has become; ``changes`` are instructions as ``CMD ["sh"]``."""
        return await call(self.blocking.commit, name, message=message, changes=changes)

    async def wait(self, timeout: float | None = None) -> int:
        """The exit code of its run, once that is over. Raises TimedOut after ``timeout`` seconds.

        No thread waits: thousands of these cost a descriptor each.
        """
        errand = ending(self.services.paths, self.record(), settle=self.settle)
        return await self._drive(errand, timeout, "has not ended")

    async def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it; ``force`` kills it first, ``volumes`` takes its anonymous volumes along. Raises Conflict when it
        runs.
        """
        await call(self.blocking.remove, force=force, volumes=volumes)

    # --- its processes ----------------------------------------------------------------------------------------------

    async def exec(
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
        process = await self.popen(
            command, stdin=input is not None, env=env, workdir=workdir, user=user, privileged=privileged
        )
        async with process:
            output = await process.communicate(input, timeout)
        return output.checked(f"container {self.name}") if check else output

    async def popen(
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
        started = await call(
            self.blocking.execute,
            command,
            stdin=stdin,
            tty=tty,
            size=size,
            env=env,
            workdir=workdir,
            user=user,
            privileged=privileged,
        )
        return Process(*started)

    async def attach(self) -> Process:
        """Its first process, with what it prints from now on. Raises FailedPrecondition when it does not run."""
        return Process(await call(self.blocking.attached), self.command)

    # --- its output and readiness -----------------------------------------------------------------------------------

    async def logs(self, *, follow: bool = False, tail: int | None = None) -> AsyncIterator[LogLine]:
        """The lines that it has printed, the last ``tail`` of them; with ``follow`` also those to come, until its run
        is over. Raises Unsupported when it has no log.
        """
        if not follow:
            lines = self.blocking.logs(tail=tail)
            while batch := await call(list, islice(lines, _BATCH)):
                for line in batch:
                    yield line
            return
        errand = self.services.readiness.follow(self.record(), tail)
        with Sleeper() as sleeper:
            try:
                for found in errand:
                    if isinstance(found, Pause):
                        await sleeper.sleep(found)
                    else:
                        yield LogLine(found.text, found.stream, found.time)
            finally:
                errand.close()

    async def wait_until(
        self,
        condition: Callable[[container.Container], object] | None = None,
        *,
        log: str | re.Pattern[str] | None = None,
        port: int | None = None,
        healthy: bool = False,
        timeout: float | None = 60.0,
    ) -> Self:
        """Wait until all that is asked for is true: a line of the log matches the regular expression ``log``, somebody
        in the container's network listens on the TCP port ``port``, its healthchecks find it ``healthy``, ``condition``
        is true, a plain function of the container for threads, which must not take long.

        Raises TimedOut after ``timeout`` seconds in all, FailedPrecondition when the container ends before.
        """
        await self._drive(self.blocking.readiness(condition, log, port, healthy), timeout, "was not ready")
        return self

    async def _drive(self, errand: Generator[Pause, None, T], timeout: float | None, complaint: str) -> T:
        try:
            return await drive(errand, timeout)
        except TimeoutError:
            raise TimedOut(f"container {self.name} {complaint} within {timeout:g} seconds") from None
