"""The asynchronous face: the same containers, many waits without threads, and cancelled tasks that leave nothing."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

import utsuwa
from tests.integration.household import IMAGE, Household
from tests.needs import needs
from utsuwa import aio
from utsuwa.aio import files as soon_files
from utsuwa.aio.threads import reporting
from utsuwa.library import files

pytestmark = [needs("root", "overlay", "busybox")]
T = TypeVar("T")


@pytest.fixture
def soon(house: Household, engine: utsuwa.Engine) -> aio.Engine:
    """Cleaned up after by ``engine``."""
    return aio.Engine(house.root, house.run_directory)


def test_run(soon: aio.Engine) -> None:
    async def main() -> None:
        output = await soon.run(IMAGE, ["sh", "-c", "cat; echo err >&2"], input="in")
        assert (output.stdout, output.stderr) == (b"in", b"err\n")
        data = os.urandom(1 << 20)
        assert (await soon.run(IMAGE, ["cat"], input=data)).stdout == data
        with pytest.raises(utsuwa.ProcessFailed):
            await soon.run(IMAGE, ["false"])
        with pytest.raises(utsuwa.TimedOut):
            await soon.run(IMAGE, ["sleep", "1000"], timeout=0.05)
        with pytest.raises(utsuwa.NotFound):
            await soon.run("nosuch/image", pull="never")

    asyncio.run(main())


def test_several_runs_at_once(soon: aio.Engine) -> None:
    async def main() -> list[str]:
        outputs = await asyncio.gather(*(soon.run(IMAGE, ["echo", str(number)]) for number in range(6)))
        return [output.text for output in outputs]

    assert asyncio.run(main()) == [f"{number}\n" for number in range(6)]


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.01, 0.03, 0.1])
def test_a_cancelled_run_leaves_nothing(soon: aio.Engine, seconds: float) -> None:
    async def main() -> None:
        for begin in (lambda: soon.run(IMAGE, ["sleep", "1000"]), lambda: _entered(soon)):
            task = asyncio.ensure_future(begin())
            await asyncio.sleep(seconds)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await soon.containers.list(all=True) == []

    asyncio.run(main())


async def _entered(engine: aio.Engine) -> utsuwa.Output:
    async with engine.start(IMAGE, ["sleep", "1000"]) as container:
        await container.wait()
    raise AssertionError("it has ended by itself")


def test_the_life_of_a_container(soon: aio.Engine) -> None:
    async def main() -> None:
        async with soon.containers.create(IMAGE, ["sh", "-c", "exit 7"], name="mortal") as container:
            assert container.status == "created"
            await container.start()
            assert await container.wait(10) == 7
            assert (await soon.containers.get("mortal")).exit_code == 7
        with pytest.raises(utsuwa.NotFound):
            await soon.containers.get("mortal")
        container = await soon.start(IMAGE, ["sleep", "1000"], init=True)
        with pytest.raises(utsuwa.TimedOut, match="has not ended within"):
            await container.wait(0.02)
        await container.stop(timeout=5)
        assert container.exit_code == 143
        await container.remove()

    asyncio.run(main())


def test_processes(soon: aio.Engine) -> None:
    async def main() -> None:
        async with soon.start(IMAGE, ["sleep", "1000"], init=True) as container:
            assert (await container.exec(["cat"], input=b"abc")).stdout == b"abc"
            async with await container.popen(["sh", "-c", "while read x; do echo $x$x; done"], stdin=True) as process:
                answers = process.lines()
                await process.write("bon\n")
                assert await anext(answers) == "bonbon"
                await process.close_stdin()
                assert [line async for line in answers] == []
            assert process.exit_code == 0
            async with await container.popen("sh -c 'tty; read x'", tty=True, stdin=True, size=(9, 9)) as process:
                assert await anext(process.lines()) == "/dev/pts/0"
                await process.signal("KILL")
                assert await process.wait(10) == 137

    asyncio.run(main())


def test_logs_and_readiness(soon: aio.Engine) -> None:
    script = "echo one; nc -l -p 8080 & while read line; do echo $line; done"

    async def main() -> None:
        async with soon.start(IMAGE, ["sh", "-c", script], stdin_open=True) as container:
            await container.wait_until(lambda it: it.running, log="one", port=8080, timeout=10)
            followed = [container.logs(follow=True) for _ in range(3)]
            async with await container.attach() as process:
                await process.write("two\n")
                for lines in followed:
                    assert [(await anext(lines)).text for _ in range(2)] == ["one\n", "two\n"]
                await process.close_stdin()
            for lines in followed:
                assert [line.text async for line in lines] == []
            assert [line.text async for line in container.logs(tail=1)] == ["two\n"]
        async with soon.start(IMAGE, ["sh", "-c", "echo alas; exit 9"]) as container:
            with pytest.raises(utsuwa.FailedPrecondition, match=r"exit code 9.*alas"):
                await container.wait_until(log="never", timeout=10)

    asyncio.run(main())


def test_a_thousand_waits_need_no_threads(soon: aio.Engine) -> None:
    async def main() -> None:
        async with soon.start(IMAGE, ["sleep", "1000"]) as container:
            threads = threading.active_count()
            waits = [asyncio.create_task(container.wait()) for _ in range(400)]
            following = [asyncio.create_task(_count(container)) for _ in range(400)]
            await asyncio.sleep(0)
            assert threading.active_count() == threads
            begin = time.perf_counter()
            await container.kill()
            assert set(await asyncio.gather(*waits)) == {137}
            assert set(await asyncio.gather(*following)) == {0}
            assert time.perf_counter() - begin < 10

    asyncio.run(main())


async def _count(container: aio.Container) -> int:
    return len([line async for line in container.logs(follow=True)])


def test_images(soon: aio.Engine) -> None:
    async def main() -> None:
        image = await soon.images.get(IMAGE)
        await soon.images.tag(IMAGE, "another:2")
        assert {each.id for each in await soon.images.list()} == {image.id}
        await soon.images.remove("another:2")

    asyncio.run(main())


def test_the_blocking_face_works_inside_of_a_loop(engine: utsuwa.Engine) -> None:
    async def main(work: Callable[[], T]) -> T:
        return work()

    assert asyncio.run(main(lambda: engine.run(IMAGE, ["echo", "hi"]))).text == "hi\n"


def test_both_faces_have_the_same_names() -> None:
    pairs: list[tuple[type, type]] = [
        (utsuwa.Engine, aio.Engine),
        (utsuwa.Container, aio.Container),
        (utsuwa.Process, aio.Process),
        (type(utsuwa.containers), type(aio.containers)),
        (type(utsuwa.images), type(aio.images)),
        (type(utsuwa.volumes), type(aio.volumes)),
        (files.Files, soon_files.Files),
    ]
    inner = {"attached", "begin", "discard", "ensure", "execute", "pulling", "pushing", "readiness", "record", "settle"}
    iterators = {"events", "save", "archive", "extract"}  # blocking ones, for threads
    for blocking, soon in pairs:
        names = {name for name in vars(blocking) if name[0] != "_"}
        assert names - {name for name in vars(soon) if name[0] != "_"} <= inner | iterators, blocking


def test_who_is_cancelled_stops_what_reports() -> None:
    """As a pull of an ordinary user's, which another process does."""
    ended = threading.Event()

    def work(tell: Callable[[str], None]) -> None:
        try:
            while True:
                tell("news")
        finally:
            ended.set()

    async def main() -> None:
        heard = asyncio.Event()
        task = asyncio.create_task(reporting(work, lambda _news: heard.set()))
        await heard.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended.wait(10)
