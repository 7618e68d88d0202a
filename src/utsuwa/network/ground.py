"""Where bridges stand: in the host's network namespace, or, for an ordinary user's engine, in one of its own.

That one is kept by a bind mount, RUN/networks/ground/net, in the engine's mount namespace. Who has entered it can't
come back to the host's, so what is done there is done by a thread that ends with it. A socket stays one of the
namespace that it was made in.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread
from errno import EINVAL, ENOENT

from utsuwa.errors import from_oserror
from utsuwa.linux.host import in_user_namespace
from utsuwa.linux.rtnetlink import Route, set_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from utsuwa.network.state import Places

    T = TypeVar("T")

_NEWNET = 0x40000000
_PIN = "net"


def is_own() -> bool:
    """Bridges do not stand in the host's namespace: this engine is an ordinary user's."""
    return in_user_namespace()


def pin(places: Places) -> str:
    """The file that keeps the namespace."""
    return f"{places.run}/ground/{_PIN}"


def on(places: Places, act: Callable[..., T], *arguments: object) -> T:
    """What ``act`` returns, or raises, where bridges stand."""
    if not is_own():
        return act(*arguments)
    return _elsewhere(lambda: _enter(places), lambda: act(*arguments))


def route(places: Places) -> Route:
    """A conversation with the kernel about interfaces there."""
    return on(places, Route)


def _elsewhere(go: Callable[[], None], act: Callable[[], T]) -> T:
    """Do both in a thread of their own."""
    done, results, problems = allocate_lock(), [], []

    def run() -> None:
        try:
            go()
            results.append(act())
        except BaseException as problem:
            problems.append(problem)
        finally:
            done.release()

    done.acquire()
    start_new_thread(run, ())
    done.acquire()
    if problems:
        raise problems[0]
    return results[0]


def _enter(places: Places) -> None:
    """Move this thread there; the namespace is made if need be."""
    if _join(pin(places)):
        return
    lock = places.lock("ground")
    try:
        if not _join(pin(places)):
            _make(pin(places))
    except OSError as error:
        raise from_oserror(error, "make the network namespace of the engine") from error
    finally:
        os.close(lock)


def _join(path: str) -> bool:
    """False where there is none: nobody has made it, or what has held its mount is gone."""
    from utsuwa.linux.mounting import setns

    try:
        namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        setns(namespace, _NEWNET)
    except OSError as error:
        if error.errno in (EINVAL, ENOENT):
            return False
        raise
    finally:
        os.close(namespace)
    return True


def _make(path: str) -> None:
    from utsuwa.linux.mounting import MS_BIND, mount, unshare

    unshare(_NEWNET)
    with Route() as inside:
        loopback = inside.link("lo")
        assert loopback is not None
        inside.do(set_up(loopback.index))
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    mount("/proc/thread-self/ns/net", path, "", MS_BIND)
