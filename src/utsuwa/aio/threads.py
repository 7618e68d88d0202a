"""Engine calls out of the way of the event loop: they are short, and can't be given up half-way."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")
    E = TypeVar("E")

_THREADS = 64
"""At most; made when there is work, and shared by all engines."""
_POOL = ThreadPoolExecutor(_THREADS, "utsuwa")


async def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a blocking function gives. When the caller is cancelled, the function goes on to its end."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, lambda: function(*args, **kwargs))


async def reporting(work: Callable[[Callable[[E], None]], T], report: Callable[[E], None] | None) -> T:
    """As ``call``, for what tells of its progress, in the event loop then: a caller who is cancelled stops it at its
    next word.
    """
    loop, over = asyncio.get_running_loop(), False

    def tell(event: E) -> None:
        if over:
            raise asyncio.CancelledError
        if report:
            loop.call_soon_threadsafe(report, event)

    try:
        return await call(work, tell)
    finally:
        over = True


async def made(function: Callable[[], T], unmake: Callable[[T], Awaitable[None]]) -> T:
    """As ``call``, for what has to be undone when the caller is cancelled before having it."""
    work = asyncio.get_running_loop().run_in_executor(_POOL, function)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait((work,))
        if not work.cancelled() and work.exception() is None:
            await asyncio.shield(unmake(work.result()))
        raise
