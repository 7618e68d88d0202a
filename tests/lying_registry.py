"""A registry on a loopback port that serves images from memory, and lies in whatever way a test asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web

from tests.archives import Made, digest

Lie = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]
"""What to answer instead of the truth, which is given."""


class LyingRegistry:
    """``async with LyingRegistry() as registry``: :attr:`host` is ``127.0.0.1:port``; :attr:`log` has every request."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.lies: dict[str, list[Lie]] = {}
        self.log: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.guard: Callable[[web.Request], web.StreamResponse | None] = lambda _request: None
        self.host = ""

    def serve(self, made: Made, tag: str = "latest") -> None:
        """Have an image, by tag and digest."""
        self.blobs |= made.blobs
        self.serve_manifest(made.blobs[made.manifest], made.types[made.manifest], tag)

    def serve_manifest(self, data: bytes, kind: str, tag: str) -> None:
        """Have a manifest or index, by tag and digest."""
        self.manifests[tag] = self.manifests[digest(data)] = (data, kind)

    def lie(self, target: str, *lies: Lie, times: int = 1) -> None:
        """Answer the next requests for a digest, tag or path by ``lies``, in turn."""
        self.lies.setdefault(target, []).extend(list(lies) * times)

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        target = request.path.rsplit("/", 1)[-1]
        self.log.append(f"{request.method} {request.path}")
        self.headers.append(dict(request.headers))
        refused = self.guard(request)
        if refused is not None:
            return refused
        if "/manifests/" in request.path and target in self.manifests:
            truth, kind = self.manifests[target]
        elif "/blobs/" in request.path and target in self.blobs:
            truth, kind = self.blobs[target], "application/octet-stream"
        else:
            truth, kind = b"", ""
        waiting = self.lies.get(target) or self.lies.get(request.path)
        if waiting:
            return await waiting.pop(0)(request, truth)
        if not kind:
            return web.json_response({"errors": [{"code": "UNKNOWN", "message": "no such \x1b thing"}]}, status=404)
        return self.truth(request, truth, kind)

    @staticmethod
    def truth(request: web.Request, data: bytes, kind: str = "application/octet-stream") -> web.Response:
        """What an honest registry says, ranges included."""
        headers = {"Docker-Content-Digest": digest(data), "Content-Type": kind}
        wanted = request.headers.get("Range", "")
        if not wanted:
            return web.Response(body=data, headers=headers)
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return web.Response(status=206, body=data[start:], headers=headers)


def status(code: int, **headers: str) -> Lie:
    """Answer with a bare status."""

    async def answer(_request: web.Request, _truth: bytes) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return answer


def body(data: bytes, kind: str = "application/octet-stream", **headers: str) -> Lie:
    """Answer with other bytes."""

    async def answer(_request: web.Request, _truth: bytes) -> web.StreamResponse:
        return web.Response(body=data, headers={"Content-Type": kind, **headers})

    return answer


def cut(keep: int) -> Lie:
    """Promise everything, send some bytes (counted from where the request asked to begin), and hang up."""

    async def answer(request: web.Request, truth: bytes) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(truth) - start
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(truth) - 1}/{len(truth)}"
        await response.prepare(request)
        await response.write(truth[start : start + keep])
        assert request.transport
        request.transport.close()
        return response

    return answer


def deaf_to_ranges() -> Lie:
    """Always send the whole."""

    async def answer(_request: web.Request, truth: bytes) -> web.StreamResponse:
        return web.Response(body=truth)

    return answer


def endless(piece: bytes = b"x" * 65536) -> Lie:
    """Send without end, as chunks."""

    async def answer(request: web.Request, truth: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(truth)
        while True:
            await response.write(piece)

    return answer


def stalled(keep: int) -> Lie:
    """Send some bytes, then nothing, and do not hang up."""

    async def answer(request: web.Request, truth: bytes) -> web.StreamResponse:
        import asyncio

        response = web.StreamResponse()
        response.content_length = len(truth)
        await response.prepare(request)
        await response.write(truth[:keep])
        await asyncio.Event().wait()
        return response

    return answer


def redirect(location: str, code: int = 307) -> Lie:
    """Send somewhere else."""
    return status(code, Location=location)
