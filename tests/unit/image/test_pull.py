"""Whole pulls from a registry that may lie: an image, or an error and nothing."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests import archives
from tests.archives import Made, archive, directory, file, hardlink
from tests.lying_registry import Lie, LyingRegistry, body, cut, endless, stalled, status
from tests.needs import needs
from utsuwa.errors import Error, InvalidArgument, NotFound, Unavailable, Unsupported
from utsuwa.image.pull import Event, pull
from utsuwa.image.store import ImageStore
from utsuwa.registry.client import ATTEMPTS, Patience
from utsuwa.spec import platform

pytestmark = needs("root")

QUICK = Patience(connect=5, chunk=0.3, backoff=0.001)
BASE = archive(directory("./"), directory("etc"), file("etc/motd", b"hello"), file("data", os.urandom(200_000)))
UPPER = archive(file("etc/.wh.motd"), hardlink("same", "data"))
HOST = {"os": "linux", "architecture": platform.host().architecture}


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "login"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "root"))


def _pull(
    store: ImageStore,
    prepare: Callable[[LyingRegistry], None],
    name: str = "app",
    wanted: str | None = None,
    progress: Callable[[Event], None] | None = None,
    patience: Patience = QUICK,
) -> tuple[LyingRegistry, str]:
    """Pull from a registry made by ``prepare``; returns it and the ID of the image."""

    async def main() -> tuple[LyingRegistry, str]:
        async with LyingRegistry() as registry:
            prepare(registry)
            chosen = platform.parse(wanted) if wanted else None
            image = await pull(store, f"{registry.host}/{name}", chosen, progress, patience=patience)
            return registry, image.id

    return asyncio.run(main())


def _files(store: ImageStore) -> list[str]:
    """Everything beneath the root but locks, folders and whole blobs."""
    found = [os.path.join(at, name) for at, _, names in os.walk(store.root) for name in names]
    return [path for path in found if not path.endswith("/lock") and "/content/blobs/" not in path]


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress, bytes])
def test_an_image_arrives(store: ImageStore, docker: bool, compress: Callable[[bytes], bytes]) -> None:
    made = archives.image(BASE, UPPER, BASE, docker=docker, compress=compress)
    events: list[Event] = []
    registry, image_id = _pull(store, lambda registry: registry.serve(made), progress=events.append)
    image = store.resolve(f"{registry.host}/app:latest")
    assert (image.id, image.names) == (image_id, (f"{registry.host}/app:latest",))
    assert image.id == made.config
    assert image.digests == (f"{registry.host}/app@{made.manifest}",)
    assert image.created == 1767323045
    assert image.config.settings.Cmd == ("/bin/sh",)
    tree = Path(store.snapshotter.layers.tree(image.chain[1]))
    assert (tree / "same").stat().st_size == 200_000
    kinds = [event.kind for event in events]
    assert kinds[0] == "resolved" and kinds[-2:] == ["committing", "done"]
    assert kinds.count("unpacked") == 3
    assert all(os.stat(store.content.path(blob)).st_mode & 0o777 == 0o444 for blob in made.blobs)


def test_the_second_pull_asks_once_and_the_tag_moves(store: ImageStore) -> None:
    first, second = archives.image(BASE), archives.image(BASE, UPPER)

    async def main() -> None:
        async with LyingRegistry() as registry:
            registry.serve(first)
            name = f"{registry.host}/app"
            old = await pull(store, name, patience=QUICK)
            registry.log.clear()
            events: list[Event] = []
            assert (await pull(store, name, progress=events.append, patience=QUICK)).id == old.id
            assert registry.log == ["HEAD /v2/app/manifests/latest"]
            assert [event.kind for event in events] == ["up-to-date"]
            registry.serve(second)
            registry.log.clear()
            new = await pull(store, name, patience=QUICK)
            assert new.id == second.config
            assert f"GET /v2/app/blobs/{second.layers[0]}" not in registry.log, "the base is here already"
            assert store.resolve(old.id).names == ()
            assert store.resolve(name).id == new.id

    asyncio.run(main())


def test_an_index_gives_the_image_for_the_platform(store: ImageStore) -> None:
    mine, other = archives.image(BASE), archives.image(UPPER + b"")

    def prepare(registry: LyingRegistry) -> None:
        for made in (mine, other):
            registry.serve(made, "x")
        attestation = other.descriptor({"os": "unknown", "architecture": "unknown"})
        offers = [attestation, other.descriptor({"os": "linux", "architecture": "s390x"}), mine.descriptor(HOST)]
        registry.serve_manifest(*archives.index(*offers), "latest")

    registry, image_id = _pull(store, prepare)
    assert image_id == mine.config
    index = registry.manifests["latest"][0]
    assert store.resolve(image_id).digests == (f"{registry.host}/app@{archives.digest(index)}",)
    assert store.content.read(archives.digest(index)) == index
    with pytest.raises(NotFound, match=r"no image for linux/riscv64, there is linux/\w+, linux/s390x"):
        _pull(store, prepare, wanted="linux/riscv64")


def test_by_digest(store: ImageStore) -> None:
    made = archives.image(BASE)
    registry, image_id = _pull(store, lambda registry: registry.serve(made), f"app:other@{made.manifest}")
    image = store.resolve(f"{registry.host}/app@{made.manifest}")
    assert (image.id, image.names) == (image_id, ())


def _layer_lie(*lies: Lie) -> Callable[[LyingRegistry, Made], None]:
    return lambda registry, made: registry.lie(made.layers[0], *lies)


def _config_lie(*lies: Lie) -> Callable[[LyingRegistry, Made], None]:
    return lambda registry, made: registry.lie(made.config, *lies)


def _manifest_lie(*lies: Lie) -> Callable[[LyingRegistry, Made], None]:
    return lambda registry, _made: registry.lie("latest", *lies)


@pytest.mark.parametrize(
    ("prepare", "error", "text"),
    [
        (_layer_lie(body(gzip.compress(UPPER))), Unavailable, "{layer}"),
        (_layer_lie(body(b"x" * 100), *[status(500)] * 9), Unavailable, "{layer}"),
        (_layer_lie(endless()), Unavailable, "{layer}: .*more than"),
        (_layer_lie(*[cut(0)] * ATTEMPTS), Unavailable, "{layer}: .*given up"),
        (_layer_lie(*[stalled(1000)] * (ATTEMPTS + 1)), Unavailable, "{layer}: no data for too long"),
        (_layer_lie(status(404)), NotFound, "{layer}: not found"),
        (_config_lie(body(b"{}")), Unavailable, "{config}"),
        (_config_lie(endless()), Unavailable, "{config}: .*more than"),
        (_manifest_lie(body(b"{}", "application/json")), InvalidArgument, "neither layers nor manifests"),
        (_manifest_lie(body(b"<html>", "text/html")), InvalidArgument, "json"),
        (_manifest_lie(endless()), Unavailable, "longer than the limit"),
        (_manifest_lie(*[status(503)] * ATTEMPTS), Unavailable, "answered 503"),
        (_manifest_lie(body(b'{"schemaVersion":1}', "application/json")), Unsupported, "schema 1"),
    ],
)
def test_a_registry_that_lies(
    store: ImageStore, prepare: Callable[[LyingRegistry, Made], None], error: type[Error], text: str
) -> None:
    made = archives.image(BASE, UPPER)

    def lying(registry: LyingRegistry) -> None:
        registry.serve(made)
        prepare(registry, made)

    # An answer that a busy machine is late with would be asked for again, and that one is no lie.
    patience = QUICK if "too long" in text else Patience(connect=5, chunk=30, backoff=0.001)
    with pytest.raises(error, match=text.format(layer=made.layers[0], config=made.config)) as caught:
        _pull(store, lying, patience=patience)
    assert "127.0.0.1:" in str(caught.value) and "/app" in str(caught.value), "registry and repository are named"
    assert _files(store) == []
    assert store.list() == []
    registry, image_id = _pull(store, lambda registry: registry.serve(made))
    assert store.resolve(image_id).names == (f"{registry.host}/app:latest",)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ((BASE, archive(file("../evil"))), "leads out of the layer"),
        ((BASE, archive(hardlink("a", "nowhere"))), "in no layer"),
        ((b"no archive at all" * 100,), "not an octal|checksum"),
        ((BASE[:5000],), "truncated"),
    ],
)
def test_hostile_layers(store: ImageStore, layers: tuple[bytes, ...], text: str) -> None:
    made = archives.image(*layers)
    with pytest.raises(InvalidArgument, match=text):
        _pull(store, lambda registry: registry.serve(made))
    assert _files(store) == []
    assert store.list() == []


def test_a_layer_that_is_not_what_the_configuration_says(store: ImageStore) -> None:
    honest, other = archives.image(BASE), archives.image(UPPER)
    manifest = honest.blobs[honest.manifest].replace(
        honest.layers[0].encode() + b'", "size": %d' % len(honest.blobs[honest.layers[0]]),
        other.layers[0].encode() + b'", "size": %d' % len(other.blobs[other.layers[0]]),
    )
    assert other.layers[0].encode() in manifest

    def prepare(registry: LyingRegistry) -> None:
        registry.blobs |= honest.blobs | other.blobs
        registry.serve_manifest(manifest, honest.types[honest.manifest], "latest")

    with pytest.raises(Unavailable, match=f"the image says {archives.digest(BASE)}"):
        _pull(store, prepare)
    assert _files(store) == []


def test_ten_pulls_at_once_download_and_unpack_once(store: ImageStore) -> None:
    made = archives.image(BASE, UPPER)

    async def main() -> None:
        async with LyingRegistry() as registry:
            registry.serve(made)
            pulls = [pull(ImageStore(store.root), f"{registry.host}/app:t", patience=QUICK) for _ in range(10)]
            registry.serve(made, "t")
            images = await asyncio.gather(*pulls)
            assert {image.id for image in images} == {made.config}
            assert registry.log.count(f"GET /v2/app/blobs/{made.layers[0]}") == 1

    asyncio.run(main())
    assert len(store.list()) == 1


def test_a_cancelled_pull_leaves_nothing(store: ImageStore) -> None:
    made = archives.image(BASE, UPPER)

    async def main() -> None:
        async with LyingRegistry() as registry:
            registry.serve(made)
            registry.lie(made.layers[0], stalled(50_000))
            begun = asyncio.Event()
            task = asyncio.ensure_future(
                pull(
                    store,
                    f"{registry.host}/app",
                    progress=lambda event: begun.set() if event.kind == "downloading" else None,
                    patience=Patience(chunk=60),
                )
            )
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert _files(store) == []
