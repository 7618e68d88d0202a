"""Seccomp agents: they decide about the system calls that a filter leaves to user space (SCMP_ACT_NOTIFY).

A filter with such rules has a listener. Its descriptor goes to the agent at ``listenerPath`` together with one JSON
document that says whose it is (config-linux.md, "The Container Process State").
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_STREAM, SOL_SOCKET, socket

from utsuwa.errors import from_oserror
from utsuwa.spec.codec import dumps
from utsuwa.spec.validate_linux import RECEIVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.runtime.record import Document
    from utsuwa.spec.runtime import Spec


def introduce(listener: int, spec: Spec, document: Document, status: str, pid: int) -> None:
    """Send ``listener``, of process ``pid``, to the agent that ``spec`` names, and close it.

    ``document`` and ``status`` are the container's. Raises of the kind of the errno when there is no such agent.
    """
    state = {
        "ociVersion": document.ociVersion,
        "id": document.id,
        "status": status,
        "pid": document.pid,
        "bundle": document.bundle,
        "annotations": document.annotations,
    }
    seccomp = spec.linux and spec.linux.seccomp
    message = {
        "ociVersion": document.ociVersion,
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": seccomp and seccomp.listenerMetadata,
        "state": {key: value for key, value in state.items() if value is not None},
    }
    data = dumps({key: value for key, value in message.items() if value is not None}).encode()
    path = (seccomp and seccomp.listenerPath) or (spec.annotations or {}).get(RECEIVER, "")
    try:
        agent = _connect(path)
        try:
            sent = agent.sendmsg([data], [(SOL_SOCKET, SCM_RIGHTS, listener.to_bytes(4, "little"))])
            if data[sent:]:  # even an empty write tells that the agent has hung up, who may have all that it wants
                agent.sendall(data[sent:])
        finally:
            agent.close()
    except OSError as error:
        raise from_oserror(error, f"failed to connect with seccomp agent at {path}") from error
    finally:
        os.close(listener)


def _connect(path: str) -> socket:
    """A stream to the agent; ``@name`` is an abstract address, as everywhere in Go (unix(7))."""
    from utsuwa.runtime.console import through_directory

    connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        if path[:1] == "@":
            connection.connect("\0" + path[1:])
        else:
            through_directory(path, connection.connect)
    except OSError:
        connection.close()
        raise
    return connection
