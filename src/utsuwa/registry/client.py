"""A client of one registry: manifests whole, blobs as verified streams that survive a broken line.

The registry may lie: every body has a limit or a promised size, every digest is checked, redirects are few and looked
at, and the time between two chunks is limited rather than the whole, so that a large layer on a slow line arrives and a
stalled one does not hang.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl

import aiohttp
from yarl import URL

from utsuwa.errors import Error, InvalidArgument, NotFound, PermissionDenied, Unavailable, Unsupported
from utsuwa.registry import credentials as logins
from utsuwa.registry.auth import Authenticator
from utsuwa.registry.endpoint import Place, base_url, is_loopback, redirected, same_origin
from utsuwa.registry.proxy import proxy_for
from utsuwa.spec import codec, digest, image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Protocol

    from utsuwa.registry.credentials import Credentials
    from utsuwa.spec.image import Descriptor

    class Sink(Protocol):
        """Who takes a blob in: checks digest and size itself (content.store.Ingest does)."""

        @property
        def offset(self) -> int: ...

        def write(self, chunk: bytes, /) -> None: ...


ACCEPT = ", ".join((*image.MANIFESTS, *image.INDEXES))
ATTEMPTS = 5
_REDIRECTS = 5
_ERROR_LIMIT = 64 << 10
_TOKEN_LIMIT = 1 << 20
_CHUNK = 1 << 18
_TAGS_SIZE = 4 << 20
_TAG_LIMIT, _PAGE_LIMIT = 100_000, 10_000
_FINE = (200, 201, 202, 204, 206)
_RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))


class Patience:
    """How long to wait, in seconds: for a connection, between two chunks, and before the first retry (then twice as
    long each).
    """

    def __init__(self, connect: float = 30.0, chunk: float = 60.0, backoff: float = 0.5, longest: float = 30.0) -> None:
        self.connect = connect
        self.chunk = chunk
        self.backoff = backoff
        self.longest = longest


class Broken(Exception):
    """A request that may well succeed when tried again; ``after`` seconds if the registry said so."""

    def __init__(self, problem: str, after: float = 0.0) -> None:
        super().__init__(problem)
        self.after = after


class RegistryClient:
    """``async with RegistryClient("docker.io") as registry``: errors name the registry and what was asked of it."""

    def __init__(
        self,
        domain: str,
        credentials: Credentials | None = None,
        patience: Patience | None = None,
        place: Place | None = None,
    ) -> None:
        self.domain = domain
        self.place = place or Place(base_url(domain))
        self.base = self.place.url
        self._credentials = credentials
        self._patience = patience or Patience()
        self._session: aiohttp.ClientSession
        self._auth: Authenticator

    async def __aenter__(self) -> RegistryClient:
        # A mirror is somebody else: it is not shown what is for the registry.
        name = self.base.authority if self.place.mirror else self.domain
        credentials = self._credentials or await logins.find(name)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._patience.connect, sock_read=self._patience.chunk)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self.place.tls()),
            timeout=timeout,
            auto_decompress=False,  # a digest is of the bytes as they come, and a Content-Encoding could be a bomb
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "utsuwa", "Accept-Encoding": "identity"},
            read_bufsize=_CHUNK,
            max_line_size=8190,
            max_field_size=16380,  # tokens with many scopes are long
        )
        if self.place.insecure and not await self._speaks():
            self.base = self.base.with_scheme("http").with_port(self.base.explicit_port)
        self._auth = Authenticator(self.base, credentials, self._ask)
        return self

    async def _speaks(self) -> bool:
        """Whether something answers by HTTPS, whatever it says."""
        try:
            async with await self._send("GET", self.base / "v2/", {}):
                return True
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def __aexit__(self, *_failure: object) -> None:
        await self._session.close()

    # -- what the registry has ------------------------------------------------------------------------------------

    async def head(self, repository: str, target: str) -> str | None:
        """The digest of a manifest by tag, without its content (which Docker Hub would count); None when it does not
        tell.
        """
        url = self.url(repository, "manifests", target)
        try:
            async with await self.request("HEAD", url, repository, {"Accept": ACCEPT}) as response:
                text = response.headers.get("Docker-Content-Digest", "") if response.status == 200 else ""
            return digest.parse(text) if text else None
        except (Error, Broken, aiohttp.ClientError, TimeoutError, OSError):
            return None  # GET will say what is wrong, if anything is

    async def manifest(self, repository: str, target: str, size: int | None = None) -> tuple[str, bytes, str]:
        """A manifest or index by tag or digest: (digest of the bytes, the bytes, the media type it was served as).

        Raises NotFound, PermissionDenied, Unavailable; checks the digest asked for, and for a tag the one in the
        header.
        """
        what = f"{self.domain}/{repository}{'@' if ':' in target else ':'}{target}"
        if size is not None and size > image.MANIFEST_LIMIT:
            raise InvalidArgument(f"{what}: a manifest of {size} bytes, the limit is {image.MANIFEST_LIMIT}")
        url = self.url(repository, "manifests", target)
        headers = {"Accept": ACCEPT}
        data, answer = await self._retried(
            what, lambda: self._get_small(url, repository, headers, image.MANIFEST_LIMIT)
        )
        media_type = answer.get("Content-Type", "").partition(";")[0].strip().lower()
        promised = target if ":" in target else answer.get("Docker-Content-Digest", "")
        try:
            if not promised:
                return digest.of(data), data, media_type
            name = digest.parse(promised)
            digest.verify(name, data, size)
        except Error as error:
            raise Unavailable(f"{what}: {error}") from None
        return name, data, media_type

    async def blob(self, repository: str, descriptor: Descriptor) -> bytes:
        """A small blob whole, verified (an image configuration)."""
        taken = _Memory(descriptor)
        async for _ in self.fetch(repository, descriptor, taken):
            pass
        try:
            return taken.data()
        except Unavailable as error:
            raise error.within(f"{self.domain}/{repository}@{descriptor.digest}") from None

    async def fetch(self, repository: str, descriptor: Descriptor, sink: Sink) -> AsyncIterator[int]:
        """Write a blob into ``sink``, going on where a broken transfer stopped; yields how many bytes each chunk
        brought.

        The sink refuses more bytes than promised and knows the digest; when this ends, the promised size was written.
        """
        what = f"{self.domain}/{repository}@{descriptor.digest}"
        url = self.url(repository, "blobs", descriptor.digest)
        attempt = 0
        while True:
            start = sink.offset
            try:
                async for count in self._transfer(url, repository, descriptor, sink):
                    yield count
                return
            except (Broken, aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
                attempt = 1 if sink.offset > start else attempt + 1  # progress earns new patience
                if attempt >= ATTEMPTS:
                    raise Unavailable(
                        f"{what}: {said(error)}, given up after {sink.offset} of {descriptor.size} bytes"
                    ) from None
                await asyncio.sleep(self.pause(attempt, error))
            except Error as error:
                raise type(error)(f"{what}: {error}") from None

    async def _transfer(self, url: URL, repository: str, descriptor: Descriptor, sink: Sink) -> AsyncIterator[int]:
        headers = {"Range": f"bytes={sink.offset}-"} if sink.offset else {}
        async with await self.request("GET", url, repository, headers) as response:
            skip = self._resumed_at(response, sink.offset)
            async for chunk in response.content.iter_chunked(_CHUNK):
                if skip:
                    dropped = min(skip, len(chunk))
                    skip -= dropped
                    chunk = chunk[dropped:]
                if chunk:
                    sink.write(chunk)
                    yield len(chunk)
        if sink.offset < descriptor.size:
            raise Broken(f"the transfer ended after {sink.offset} of {descriptor.size} bytes")

    @staticmethod
    def _resumed_at(response: aiohttp.ClientResponse, offset: int) -> int:
        """How many bytes of the answer we have already: a registry need not know Range."""
        if response.status != 206:
            return offset
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0].strip()
        if not start.isdigit() or len(start) > 19 or int(start) > offset:
            raise Unavailable(f"asked for bytes from {offset} on, answered with bytes from {start[:20]!r}")
        return offset - int(start)

    async def tags(self, repository: str) -> list[str]:
        """Every tag of a repository, in the registry's order. Raises NotFound, PermissionDenied, Unavailable."""
        what = f"{self.domain}/{repository}"
        url: URL | None = self.base / "v2" / repository / "tags/list"
        found: list[str] = []
        pages = 0
        while url is not None and len(found) < _TAG_LIMIT and pages < _PAGE_LIMIT:
            pages += 1
            data, headers = await self._retried(what, lambda url=url: self._get_small(url, repository, {}, _TAGS_SIZE))
            try:
                found += [str(tag) for tag in codec.parse(data)["tags"] or ()]
            except (Error, KeyError, TypeError):
                raise Unavailable(f"{what}: a list of tags that is not understood") from None
            link = headers.get("Link", "")
            url = redirected(url, link[1:].partition(">")[0]) if 'rel="next"' in link else None
        return found

    async def log_in(self) -> None:
        """Find out whether the registry takes the credentials. Raises PermissionDenied, Unavailable."""
        what = f"login to {self.domain}"
        await self._retried(what, lambda: self._get_small(self.base / "v2/", "", {}, _TOKEN_LIMIT))

    async def search(self, term: str, limit: int) -> list[dict[str, object]]:
        """What the registry finds by the first version of its interface. Raises Unsupported when it has none."""
        what = f"search for {term} at {self.domain}"
        url = (self.base / "v1/search").update_query(q=term, n=str(limit))
        try:
            data, _ = await self._retried(what, lambda: self._get_small(url, "", {}, _TAGS_SIZE))
        except NotFound:
            raise Unsupported(f"registry {self.domain} can't be searched, it has no /v1/search") from None
        try:
            results = codec.parse(data)["results"]
            return [result for result in results if isinstance(result, dict)][:limit]
        except (Error, KeyError, TypeError):
            raise Unavailable(f"{what}: an answer that is not understood") from None

    # -- requests -------------------------------------------------------------------------------------------------

    def url(self, repository: str, kind: str, target: str) -> URL:
        """Where something of a repository is; a mirror is told whose it is, since it may have several registries'."""
        url = self.base / "v2" / repository / kind / target
        return url.update_query(ns=self.domain) if self.place.mirror else url

    async def _retried(self, what: str, request) -> tuple[bytes, dict[str, str]]:  # type: ignore[no-untyped-def]
        attempt = 0
        while True:
            try:
                result: tuple[bytes, dict[str, str]] = await request()
                return result
            except (Broken, aiohttp.ClientError, TimeoutError, OSError) as error:
                attempt += 1
                if _is_unknown_host(error):
                    raise Unavailable(f"{what}: {said(error)}") from None
                if attempt >= ATTEMPTS:
                    raise Unavailable(f"{what}: {said(error)}, given up after {attempt} attempts") from None
                await asyncio.sleep(self.pause(attempt, error))
            except Error as error:
                raise type(error)(f"{what}: {error}") from None

    def pause(self, attempt: int, error: Exception) -> float:
        """Seconds to wait before the next try."""
        asked = error.after if isinstance(error, Broken) else 0.0
        wanted = max(self._patience.backoff * (1 << (attempt - 1)), asked)
        return min(wanted, self._patience.longest) * random.uniform(0.75, 1.0)  # not all clients at once

    async def _get_small(
        self, url: URL, repository: str, headers: dict[str, str], limit: int
    ) -> tuple[bytes, dict[str, str]]:
        async with await self.request("GET", url, repository, headers) as response:
            return await _bounded(response, limit), dict(response.headers)

    async def request(
        self,
        method: str,
        url: URL,
        repository: str,
        headers: dict[str, str],
        actions: str = "pull",
        body: Callable[[], object] | None = None,
    ) -> aiohttp.ClientResponse:
        """One answer of 2xx: authenticated, redirects followed. Raises Broken for what is worth another try.

        ``body`` makes what is sent, once for every time that it has to be sent.
        """
        scope = f"repository:{repository}:{actions}" if repository else ""
        target, tried = url, False
        for _ in range(_REDIRECTS + 2):
            sent = dict(headers)
            authorization = self._auth.header(scope)
            if authorization and same_origin(target, self.base):
                sent["Authorization"] = authorization
            response = await self._send(method, target, sent, body() if body else None)
            if response.status in _FINE:
                return response
            async with response:
                if response.status in (301, 302, 303, 307, 308):
                    target = redirected(target, response.headers.get("Location", ""))
                elif response.status == 401 and not tried and same_origin(target, self.base):
                    tried = True
                    await self._auth.answer(scope, response.headers.getall("WWW-Authenticate", []))
                else:
                    raise await _refusal(response, method)
        raise Unavailable(f"more than {_REDIRECTS} redirects")

    async def _send(
        self, method: str, url: URL, headers: dict[str, str], body: object = None
    ) -> aiohttp.ClientResponse:
        proxy = None if is_loopback(url) else proxy_for(url)
        return await self._session.request(method, url, headers=headers, data=body, allow_redirects=False, proxy=proxy)

    async def _ask(
        self, method: str, url: URL, headers: dict[str, str], form: dict[str, str] | None
    ) -> tuple[int, bytes]:
        """A request to a token server."""
        async with await self._send(method, url, headers, form) as response:
            if response.status in _RETRIED:
                raise Broken(f"{url.authority}: token server answered {response.status}", _retry_after(response))
            return response.status, await _bounded(response, _TOKEN_LIMIT)


class _Memory:
    """A sink for small blobs."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._verifier = digest.Verifier(digest.parse(descriptor.digest), descriptor.size)
        self._chunks: list[bytes] = []

    @property
    def offset(self) -> int:
        return self._verifier.seen

    def write(self, chunk: bytes) -> None:
        self._verifier.update(chunk)
        self._chunks.append(chunk)

    def data(self) -> bytes:
        self._verifier.finish()
        return b"".join(self._chunks)


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise Unavailable(f"the answer is longer than the limit of {limit} bytes")
    return bytes(data)


async def _refusal(response: aiohttp.ClientResponse, method: str) -> Exception:
    """What an answer of 3xx (strange), 4xx or 5xx amounts to, with the registry's own words if they are any."""
    text = ""
    if method != "HEAD":
        try:
            text = _words(await _bounded(response, _ERROR_LIMIT))
        except (Error, aiohttp.ClientError, TimeoutError):
            pass
    problem = f"registry answered {response.status}" + (f" ({text})" if text else "")
    if response.status == 404:
        return NotFound(f"not found{f' ({text})' if text else ''}")
    if response.status in (401, 403):
        return PermissionDenied(f"{problem}, log in or check the name")
    if response.status in _RETRIED:
        return Broken(problem, _retry_after(response))
    return Unavailable(problem)


def _words(body: bytes) -> str:
    """The messages of a registry's error document (distribution-spec, "Error Codes"), made harmless for a terminal."""
    try:
        errors = codec.parse(body)["errors"]
        said = "; ".join(str(error.get("message") or error.get("code")) for error in errors[:3])
    except (Error, KeyError, TypeError, AttributeError):
        return ""
    return "".join(c if c.isprintable() else " " for c in said)[:200].strip()


def _retry_after(response: aiohttp.ClientResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() and len(text) < 6 else 0.0


def said(error: BaseException) -> str:
    """An error in the words of a message."""
    if isinstance(error, TimeoutError):
        return "no data for too long"
    text = str(error) or type(error).__name__
    return text[:1].lower() + text[1:300]


def _is_unknown_host(error: Exception) -> bool:
    """There is no such name: a registry misspelt, or a host without a network. Another try would only take time."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    return isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME
