"""A process that ``summons.py`` has started: how it begins, and how it is told of changes.

Runs as ``python3 -I -S``; descriptor 3 listens for who tells.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_SEQPACKET, socket

from utsuwa.network.state import Places
from utsuwa.network.summons import LISTENER, RESOLVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def main(name: str, root: str, run: str) -> None:
    """Be the resolver, or the gate, until nobody needs it any more."""
    os.set_inheritable(LISTENER, False)
    os.chdir("/")
    with open("/proc/self/comm", "wb", buffering=0) as file:
        file.write(b"utsuwa-names" if name == RESOLVER else b"utsuwa-gate")
    places, control = Places(root, run), socket(AF_UNIX, SOCK_SEQPACKET, 0, LISTENER)
    if name == RESOLVER:
        from utsuwa.network.resolver import Resolver

        Resolver(places, control).serve()
    else:
        from utsuwa.network.gate import Gate

        Gate(places, control).serve()


def hear(control: socket, do: Callable[[], str]) -> None:
    """Somebody says that something has changed: do what that asks for, and answer that it is done, or what is in the
    way.
    """
    connection = socket(AF_UNIX, SOCK_SEQPACKET, 0, control._accept()[0])  # type: ignore[attr-defined]
    try:
        connection.send(do().encode() or b"!")
    except OSError:  # it did not wait
        pass
    finally:
        connection.close()
