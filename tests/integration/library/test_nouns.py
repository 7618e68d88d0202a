"""Files, volumes, images and events of an engine, and containers that pause, restart and get well."""

from __future__ import annotations

import asyncio
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import utsuwa
from tests.integration import registry
from tests.integration.household import IMAGE, Household
from tests.needs import needs
from utsuwa import aio

pytestmark = [needs("root", "overlay", "busybox")]


def test_files_go_in_and_out(box: utsuwa.Container, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    box.files.put(tmp_path / "tree", "/tmp")
    assert box.exec("cat /tmp/tree/file").text == "content"
    box.files.get("/tmp/tree/file", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "content"
    box.files.write("/tmp/script", "#!/bin/sh\necho ran\n", mode=0o755)
    assert box.exec("/tmp/script").text == "ran\n"
    box.exec("ln -s /tmp/script /tmp/link")
    assert box.files.read("/tmp/link") == b"#!/bin/sh\necho ran\n"
    with tarfile.open(fileobj=io.BytesIO(b"".join(box.files.archive("/tmp/tree")))) as archive:
        assert archive.getnames() == ["tree", "tree/file"]
    for path in ("/tmp/nothing", "/nowhere/x"):
        with pytest.raises(utsuwa.NotFound):
            box.files.read(path)
    with pytest.raises(utsuwa.InvalidArgument, match="no regular file"):
        box.files.read("/tmp")


def test_an_archive_in_the_making_keeps_its_container_from_starting(engine: utsuwa.Engine) -> None:
    with engine.containers.create(IMAGE, ["true"]) as box:
        archive = box.files.archive("/bin")
        next(archive)
        with pytest.raises(utsuwa.FailedPrecondition, match=r"read that to its end or close\(\) it"):
            box.start()
        with pytest.raises(utsuwa.FailedPrecondition):
            box.files.extract(archive, "/tmp")
        with ThreadPoolExecutor(1) as other:
            started = other.submit(box.start)  # waits for us: that can end
            archive.close()
            started.result()
        assert box.wait() == 0
        archive = box.files.archive("/bin")
        next(archive)
        archive.close()
        box.start()
        assert box.wait() == 0


def test_volumes(engine: utsuwa.Engine) -> None:
    volume = engine.volumes.create("library-data", labels={"a": "b"})
    try:
        engine.run(IMAGE, ["sh", "-c", "echo kept >/data/x"], volumes=["library-data:/data"])
        assert (Path(volume.path) / "x").read_text() == "kept\n"
        assert volume in engine.volumes.list()
        assert engine.volumes.get("library-data").labels == {"a": "b"}
        with engine.start(IMAGE, ["true"], volumes=["library-data:/data"]), pytest.raises(utsuwa.Conflict):
            engine.volumes.remove("library-data")
    finally:
        engine.volumes.remove("library-data")
    with pytest.raises(utsuwa.NotFound):
        engine.volumes.get("library-data")


def test_pause_rename_and_restart(box: utsuwa.Container, engine: utsuwa.Engine) -> None:
    box.pause()
    assert box.status == "paused"
    box.unpause()
    before = box.pid
    box.rename("another-name")
    assert engine.containers.get("another-name") == box
    box.restart(timeout=0)
    assert box.running
    assert box.pid != before


def test_health_is_waited_for(engine: utsuwa.Engine) -> None:
    check = utsuwa.Healthcheck(Test=("CMD-SHELL", "test -e /tmp/well"), Interval=100_000_000, Retries=100)
    with engine.start(IMAGE, ["sleep", "1000"], health=check, init=True) as container:
        with pytest.raises(utsuwa.TimedOut):
            container.wait_until(healthy=True, timeout=0.2)
        assert container.health == "starting"
        container.exec("touch /tmp/well")
        container.wait_until(healthy=True, timeout=10)
        assert container.health == "healthy"
    with (
        engine.start(IMAGE, ["sleep", "1000"]) as container,
        pytest.raises(utsuwa.FailedPrecondition, match="has no"),
    ):
        container.wait_until(healthy=True)


def test_usage_is_what_the_kernel_counts(engine: utsuwa.Engine) -> None:
    with engine.start(IMAGE, ["sleep", "1000"], memory="64m") as container:
        used = container.usage()
        assert used.memory_limit == 64 << 20
        assert 0 < used.memory < 64 << 20
        assert used.processes == 1
        assert 0 < used.cpu_seconds < 10
        container.kill()
        with pytest.raises(utsuwa.FailedPrecondition):
            container.usage()
    with engine.start(IMAGE, ["sleep", "1000"]) as container:
        assert container.usage().memory_limit is None


@needs("docker-registry")
def test_an_image_is_pushed_and_pulled(engine: utsuwa.Engine, house: Household, tmp_path: Path) -> None:
    with registry.running(tmp_path) as host:
        engine.images.tag(IMAGE, f"{host}/box:1")
        told: list[str] = []
        digest = engine.images.push(f"{host}/box:1", progress=lambda event: told.append(event.kind))
        assert told[-1] == "done"
        engine.images.remove(f"{host}/box:1")
        image = engine.images.pull(f"{host}/box:1", progress=lambda event: told.append(event.kind))
        assert f"{host}/box:1" in image.tags
        assert any(name.endswith(digest) for name in image.digests)
        assert engine.run(f"{host}/box:1", "echo pulled", pull="always").text == "pulled\n"
        soon = aio.Engine(house.root, house.run_directory)
        assert asyncio.run(soon.images.push(f"{host}/box:1")) == digest
        assert asyncio.run(soon.images.pull(f"{host}/box:1")).id == image.id
        engine.images.remove(f"{host}/box:1")
        with pytest.raises(utsuwa.NotFound):
            engine.run(f"{host}/nothing:1")


def test_an_image_is_committed_saved_and_loaded(engine: utsuwa.Engine, box: utsuwa.Container, tmp_path: Path) -> None:
    box.exec("touch /committed")
    image = box.commit("made/committed:1", message="ours", changes=['CMD ["ls", "/committed"]'])
    try:
        assert engine.run("made/committed:1").text == "/committed\n"
        with open(tmp_path / "saved.tar", "wb") as file:
            file.writelines(engine.images.save("made/committed:1"))
        engine.images.remove("made/committed:1")
        assert [each.id for each in engine.images.load(str(tmp_path / "saved.tar"))] == [image.id]
    finally:
        engine.images.remove("made/committed:1")


def test_an_image_is_built(engine: utsuwa.Engine, house: Household, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        f"FROM {IMAGE}\nARG WHO=nobody\nCOPY greeting /greeting\nRUN echo $WHO >>/greeting\nCMD cat /greeting\n"
    )
    (tmp_path / "greeting").write_text("hello\n")
    lines: list[str] = []
    image = engine.images.build(tmp_path, tags=["made/here"], arguments={"WHO": "you"}, progress=lines.append)
    try:
        assert image.tags == ("made/here:latest",)
        assert engine.run("made/here").text == "hello\nyou\n"
        assert any("COPY greeting" in line for line in lines)
        soon = aio.Engine(house.root, house.run_directory)
        assert asyncio.run(soon.images.build(tmp_path, arguments={"WHO": "you"})).id == image.id
        (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY --from=more greeting /\n")
        build = soon.images.build(
            tmp_path, tags=["made/two"], platform="linux/amd64,linux/arm64", contexts={"more": str(tmp_path)}
        )
        asyncio.run(build)
        archives = [
            sum(map(len, engine.images.save("made/two", platform=each)))
            for each in (None, "linux/amd64", "linux/arm64")
        ]
        assert archives[0] > archives[1] == archives[2]
        engine.images.remove("made/two")
    finally:
        engine.images.remove("made/here")
    (tmp_path / "Dockerfile").write_text("FRUM nothing\n")
    with pytest.raises(utsuwa.InvalidArgument):
        engine.images.build(tmp_path)


def test_events_tell_what_was_done(engine: utsuwa.Engine) -> None:
    with engine.start(IMAGE, ["true"], name="told") as container:
        container.wait(10)
        actions = []
        for event in engine.events(since=0):
            if event["Actor"]["ID"] == container.id:
                actions.append(event["Action"])
                if event["Action"] == "die":
                    break
    assert actions == ["create", "start", "die"]


def test_the_asynchronous_nouns(house: Household, engine: utsuwa.Engine) -> None:
    async def main() -> None:
        soon = aio.Engine(house.root, house.run_directory)
        volume = await soon.volumes.create("library-soon")
        async with soon.start(IMAGE, ["sleep", "1000"], volumes=["library-soon:/data"]) as container:
            await container.files.write("/data/x", b"y")
            assert await container.files.read("/data/x") == b"y"
            await container.pause()
            assert container.status == "paused"
            await container.unpause()
        assert Path(volume.path, "x").exists()
        await soon.volumes.remove("library-soon")

    asyncio.run(main())
