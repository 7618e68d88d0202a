"""The registry client against a registry that lies in every way."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from tests import archives
from tests.lying_registry import LyingRegistry, body, cut, deaf_to_ranges, endless, redirect, stalled, status
from utsuwa.errors import Error, InvalidArgument, NotFound, PermissionDenied, Unavailable, Unsupported
from utsuwa.registry.client import ATTEMPTS, Patience, RegistryClient
from utsuwa.registry.credentials import Credentials
from utsuwa.spec import digest
from utsuwa.spec import image as images
from utsuwa.spec.image import Descriptor

QUICK = Patience(connect=5, chunk=0.2, backoff=0.001)
DATA = os.urandom(300_000)
BLOB = Descriptor(mediaType="x", digest=archives.digest(DATA), size=len(DATA))
MADE = archives.image(archives.archive(archives.file("a")))

Scenario = Callable[[LyingRegistry, RegistryClient], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def _run(scenario: Scenario, credentials: Credentials | None = None) -> LyingRegistry:
    async def main() -> LyingRegistry:
        async with LyingRegistry() as registry:
            registry.serve(MADE)
            registry.blobs[BLOB.digest] = DATA
            async with RegistryClient(registry.host, credentials, QUICK) as client:
                await scenario(registry, client)
            return registry

    return asyncio.run(main())


class _Sink:
    def __init__(self) -> None:
        self.data = b""
        self._verifier = digest.Verifier(digest.parse(BLOB.digest), BLOB.size)

    @property
    def offset(self) -> int:
        return len(self.data)

    def write(self, chunk: bytes) -> None:
        self._verifier.update(chunk)
        self.data += chunk


async def _fetch(client: RegistryClient) -> bytes:
    sink = _Sink()
    counted = 0
    async for count in client.fetch("app", BLOB, sink):
        counted += count
    assert counted == len(sink.data)
    return sink.data


def test_manifests_by_tag_and_by_digest() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        for target in ("latest", MADE.manifest):
            name, data, kind = await client.manifest("some/app", target)
            assert (name, data, kind) == (MADE.manifest, MADE.blobs[MADE.manifest], images.OCI_MANIFEST)
        assert await client.head("some/app", "latest") == MADE.manifest
        assert await client.head("some/app", "missing") is None
        with pytest.raises(NotFound, match=r"127\.0\.0\.1:\d+/some/app:missing: not found \(no such   thing\)"):
            await client.manifest("some/app", "missing")

    registry = _run(scenario)
    accepted = registry.headers[0]["Accept"]
    assert all(kind in accepted for kind in (*images.MANIFESTS, *images.INDEXES))
    assert registry.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("by", ["latest", MADE.manifest])
def test_a_manifest_that_is_not_what_was_promised(by: str) -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        promised = {} if ":" in by else {"Docker-Content-Digest": MADE.manifest}
        registry.lie(by, body(b"{}", images.OCI_MANIFEST, **promised))
        with pytest.raises(Unavailable, match=f"app.*{MADE.manifest}.*another digest"):
            await client.manifest("app", by)
        registry.lie("latest", body(b"{}", images.OCI_MANIFEST, **{"Docker-Content-Digest": "sha256:nonsense"}))
        with pytest.raises(Unavailable, match="is not a digest"):
            await client.manifest("app", "latest")

    _run(scenario)


def test_endless_and_oversized_manifests() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie("latest", endless(), body(bytes((4 << 20) + 1)))
        for _ in range(2):
            with pytest.raises(Unavailable, match="longer than the limit of 4194304 bytes"):
                await client.manifest("app", "latest")
        with pytest.raises(InvalidArgument, match="the limit is"):
            await client.manifest("app", MADE.manifest, 5 << 20)

    _run(scenario)


def test_pages_of_tags_without_any_tags_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proven: there was always another page."""
    monkeypatch.setattr("utsuwa.registry.client._PAGE_LIMIT", 5)

    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie("list", body(b'{"tags": []}', Link='</v2/app/tags/list?n=1>; rel="next"'), times=10)
        assert await client.tags("app") == []
        assert len(registry.log) == 5

    _run(scenario)


def test_errors_of_a_moment_are_tried_again() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie("latest", status(500), status(503), status(429, **{"Retry-After": "0"}), cut(10))
        assert (await client.manifest("app", "latest"))[0] == MADE.manifest
        registry.lie("latest", status(500), times=ATTEMPTS)
        with pytest.raises(Unavailable, match="registry answered 500, given up after 5 attempts"):
            await client.manifest("app", "latest")
        registry.lie("latest", status(403), status(400))
        with pytest.raises(PermissionDenied, match="answered 403"):
            await client.manifest("app", "latest")
        with pytest.raises(Unavailable, match="answered 400"):
            await client.manifest("app", "latest")

    _run(scenario)


def test_a_broken_transfer_goes_on_where_it_stopped() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie(BLOB.digest, cut(100_000), status(502), stalled(0), cut(50_000))
        assert await _fetch(client) == DATA

    ranges = [headers.get("Range") for headers in _run(scenario).headers]
    assert ranges[0] is None
    assert ranges[-1] == "bytes=150000-"


def test_a_registry_without_ranges_starts_over_and_nothing_is_taken_twice() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie(BLOB.digest, cut(100_000), deaf_to_ranges())
        assert await _fetch(client) == DATA

    _run(scenario)


def test_progress_earns_patience_but_standing_still_does_not() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie(BLOB.digest, cut(20_000), times=10)
        assert await _fetch(client) == DATA
        registry.lie(BLOB.digest, cut(1000), *[cut(0)] * ATTEMPTS)
        with pytest.raises(Unavailable, match=rf"app@{BLOB.digest}: .*given up after 1000 of 300000 bytes"):
            await _fetch(client)
        registry.lie(BLOB.digest, stalled(1000), times=ATTEMPTS + 1)
        with pytest.raises(Unavailable, match="no data for too long"):
            await _fetch(client)

    _run(scenario)


@pytest.mark.parametrize(
    ("lies", "text"),
    [
        ([endless()], "more than the 300000 bytes"),
        ([body(DATA + b"x")], "more than the 300000 bytes"),
        ([body(DATA[:-1])] + [body(DATA[:10])] * ATTEMPTS, "ended after 299999 of 300000"),
        ([cut(1000), status(206, **{"Content-Range": "bytes 2000-299999/300000"})], "answered with bytes from '2000'"),
        ([cut(1000), status(416)], "registry answered 416"),
        ([status(404)], "not found"),
    ],
)
def test_blobs_that_are_not_what_was_promised(lies: list[object], text: str) -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie(BLOB.digest, *lies)  # type: ignore[arg-type]
        with pytest.raises(Error, match=text) as caught:
            await _fetch(client)
        assert f"{registry.host}/app@{BLOB.digest}" in str(caught.value)

    _run(scenario)


def test_a_small_blob_is_verified() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        assert await client.blob("app", BLOB) == DATA
        registry.lie(BLOB.digest, body(DATA[::-1]))
        with pytest.raises(Unavailable, match="another digest"):
            await client.blob("app", BLOB)

    _run(scenario)


def test_redirects_lose_the_authorization_of_another_host() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        async with LyingRegistry() as elsewhere:
            elsewhere.blobs[BLOB.digest] = DATA
            registry.guard = lambda request: (
                None if "Authorization" in request.headers else _challenge('Basic realm="r"')
            )
            registry.lie(
                BLOB.digest,
                redirect(f"http://{elsewhere.host}/cdn/blobs/{BLOB.digest}"),
                redirect(f"/v2/other/blobs/{BLOB.digest}"),
            )
            assert await _fetch(client) == DATA
            assert len(elsewhere.headers) == 1
            assert "Authorization" not in elsewhere.headers[0]
            assert await _fetch(client) == DATA
            assert registry.log[-1] == f"GET /v2/other/blobs/{BLOB.digest}"
            assert "Authorization" in registry.headers[-1]

    _run(scenario, Credentials(username="me", password="secret"))


def _challenge(text: str):  # type: ignore[no-untyped-def]
    from aiohttp import web

    return web.Response(status=401, headers={"WWW-Authenticate": text})


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("", "without a usable location"),
        ("file:///etc/passwd", "not followed"),
        ("ftp://127.0.0.1/x", "not followed"),
        ("http://192.0.2.1/x", "not followed"),
        ("http://[bad", "no URL"),
        ("/" + "x" * 9000, "usable location|got more than"),
    ],
)
def test_redirects_that_are_not_followed(location: str, text: str) -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie(BLOB.digest, redirect(location), times=ATTEMPTS)
        with pytest.raises(Unavailable, match=text):
            await _fetch(client)

    _run(scenario)


def test_redirects_in_circles_end() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie(BLOB.digest, redirect(f"/v2/app/blobs/{BLOB.digest}"), times=100)
        with pytest.raises(Unavailable, match="more than 5 redirects"):
            await _fetch(client)
        assert len(registry.log) < 10

    _run(scenario)


def test_headers_without_end_are_refused() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.lie("latest", status(200, **{"X-Long": "x" * 100_000}), times=ATTEMPTS)
        with pytest.raises(Unavailable, match="given up"):
            await client.manifest("app", "latest")

    _run(scenario)


def test_a_registry_that_is_not_there() -> None:
    async def main() -> None:
        async with RegistryClient("127.0.0.1:9", None, QUICK) as client:
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/app:latest: cannot connect"):
                await client.manifest("app", "latest")

    asyncio.run(main())


def test_schema_1_is_named() -> None:
    async def scenario(registry: LyingRegistry, client: RegistryClient) -> None:
        registry.serve_manifest(b'{"schemaVersion":1,"fsLayers":[]}', images.SCHEMA_1[1], "old")
        _, data, kind = await client.manifest("app", "old")
        with pytest.raises(Unsupported, match="schema 1 is not supported"):
            images.kind(kind, data)

    _run(scenario)
