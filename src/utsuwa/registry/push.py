"""To a registry: blobs by mounting, at once or in chunks, then the manifest (distribution-spec, "Push").

A chunk that gets lost is sent again from where the registry says it stands; an upload that the registry has forgotten
begins anew.
"""

from __future__ import annotations

import asyncio
import os
import ssl

import aiohttp
from yarl import URL

from utsuwa.errors import Error, NotFound, Unavailable
from utsuwa.registry.client import ATTEMPTS, Broken, RegistryClient, said
from utsuwa.registry.endpoint import redirected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from utsuwa.spec.image import Descriptor

    Progress = Callable[[int], None]

CHUNK = 16 << 20
"""Bytes of one request's body; smaller blobs go at once, with the request that ends the upload."""
_SLICE = 1 << 18
_ACTIONS = "push,pull"
_TRANSIENT = (Broken, aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError)


class Uploads:
    """What one image's push does at a registry."""

    def __init__(self, client: RegistryClient, repository: str) -> None:
        self._client, self._repository = client, repository

    async def has(self, digest: str) -> bool:
        """Whether the repository has the blob. Raises PermissionDenied, Unavailable."""
        url = self._client.url(self._repository, "blobs", digest)
        return await self._again(digest, lambda: self._head(url))

    async def _head(self, url: URL) -> bool:
        try:
            async with await self._ask("HEAD", url):
                return True
        except NotFound:
            return False

    async def mount(self, digest: str, source: str) -> bool:
        """Have the blob taken over from another repository of the registry; False when it does not do that."""
        url = self._client.url(self._repository, "blobs", "uploads/").update_query({"mount": digest, "from": source})
        try:
            async with await self._ask("POST", url, {"Content-Length": "0"}) as answer:
                if answer.status == 201:
                    return True
                location = redirected(answer.url, answer.headers.get("Location", ""))
            async with await self._ask("DELETE", location):  # it has begun an upload instead
                pass
        except (Error, *_TRANSIENT):
            pass
        return False

    async def upload(self, blob: Descriptor, fd: int, progress: Progress) -> None:
        """Send a blob from the open file ``fd``; ``progress`` gets the bytes sent so far. Raises PermissionDenied,
        Unavailable.
        """
        attempt, best = 0, 0
        while True:
            place = _Place()
            try:
                await self._upload(blob, fd, place, progress)
                return
            except _TRANSIENT as error:
                attempt = 1 if place.offset > best else attempt + 1  # progress earns new patience
                best = max(best, place.offset)
                if attempt >= ATTEMPTS:
                    raise Unavailable(f"{self._what(blob.digest)}: {said(error)}, given up") from None
                await asyncio.sleep(self._client.pause(attempt, error))
            except Error as error:
                raise error.within(self._what(blob.digest)) from None

    async def _upload(self, blob: Descriptor, fd: int, place: _Place, progress: Progress) -> None:
        start = self._client.url(self._repository, "blobs", "uploads/")
        async with await self._ask("POST", start, {"Content-Length": "0"}) as answer:
            location = redirected(answer.url, answer.headers.get("Location", ""))
            least = answer.headers.get("OCI-Chunk-Min-Length", "0")
        size = max(CHUNK, int(least) if least.isdigit() and len(least) < 12 else 0)
        while blob.size - place.offset > size:
            location = await self._chunk(location, fd, place, size, progress)
        data = await asyncio.to_thread(os.pread, fd, blob.size - place.offset, place.offset)
        if len(data) != blob.size - place.offset:
            raise Unavailable(f"the blob here has not the {blob.size} bytes that it should have")
        target = location.update_query(digest=blob.digest)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(data))}
        async with await self._ask("PUT", target, headers, lambda: _slices(data, place.offset, progress)):
            progress(blob.size)

    async def _chunk(self, location: URL, fd: int, place: _Place, size: int, progress: Progress) -> URL:
        """Send the next chunk; where the one after it goes."""
        data = await asyncio.to_thread(os.pread, fd, size, place.offset)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(data)),
            "Content-Range": f"{place.offset}-{place.offset + len(data) - 1}",
        }
        try:
            async with await self._ask(
                "PATCH", location, headers, lambda: _slices(data, place.offset, progress)
            ) as answer:
                place.offset += len(data)
                return redirected(answer.url, answer.headers.get("Location", ""))
        except _TRANSIENT:
            async with await self._ask("GET", location) as answer:
                end = answer.headers.get("Range", "").rpartition("-")[2]
                known = int(end) + 1 if end.isdigit() and len(end) < 16 and end != "0" else 0
                if not place.offset <= known <= place.offset + len(data):
                    raise
                place.offset = known
                place.retries += 1
                if place.retries > ATTEMPTS:
                    raise
                return redirected(answer.url, answer.headers.get("Location", "") or str(location))

    async def manifest(self, target: str, data: bytes, media_type: str) -> None:
        """Give the image its name there."""
        url = self._client.url(self._repository, "manifests", target)
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}

        async def put() -> bool:
            async with await self._ask("PUT", url, headers, lambda: data):
                return True

        await self._again(target, put)

    async def _again(self, name: str, request: Callable[[], object]) -> bool:
        attempt = 0
        while True:
            try:
                return bool(await request())  # type: ignore[misc]
            except _TRANSIENT as error:
                attempt += 1
                if attempt >= ATTEMPTS:
                    raise Unavailable(f"{self._what(name)}: {said(error)}, given up after {attempt} attempts") from None
                await asyncio.sleep(self._client.pause(attempt, error))
            except Error as error:
                raise error.within(self._what(name)) from None

    async def _ask(
        self, method: str, url: URL, headers: dict[str, str] | None = None, body: Callable[[], object] | None = None
    ) -> aiohttp.ClientResponse:
        return await self._client.request(method, url, self._repository, headers or {}, _ACTIONS, body)

    def _what(self, name: str) -> str:
        return f"{self._client.domain}/{self._repository}{'@' if ':' in name else ':'}{name}"


class _Place:
    """How far an upload has come."""

    def __init__(self) -> None:
        self.offset = self.retries = 0


async def _slices(data: bytes, offset: int, progress: Progress) -> AsyncIterator[bytes]:
    view = memoryview(data)
    for at in range(0, len(data), _SLICE):
        yield bytes(view[at : at + _SLICE])
        progress(offset + min(at + _SLICE, len(data)))
