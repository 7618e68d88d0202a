"""A seccomp agent for tests: it takes listeners from a socket and answers what they ask (seccomp_unotify(2))."""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
_CONTINUE = 1

Policy = Callable[[int], int | None]
"""System call number -> the errno to fail it with, 0 to have it succeed without being done, None to let it be done."""


class Agent:
    """Answers in a thread until it is left; ``documents`` are what came with the listeners, in order."""

    def __init__(self, address: str, policy: Policy, *, deaf: bool = False) -> None:
        """``deaf``: close every listener at once, as an agent that is killed does."""
        self.documents: list[dict[str, Any]] = []
        self.asked: list[int] = []
        self._policy, self._deaf = policy, deaf
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(address)
        self._server.listen()
        self._server.settimeout(20)
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Agent:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end.close()
        self._thread.join()
        self._server.close()
        self._ended.close()

    def _serve(self) -> None:
        waiting = select.poll()
        waiting.register(self._server, select.POLLIN)
        waiting.register(self._ended, select.POLLIN)
        listeners: set[int] = set()
        while True:
            for descriptor, events in waiting.poll():
                if descriptor == self._ended.fileno():
                    for listener in listeners:
                        os.close(listener)
                    return
                if descriptor == self._server.fileno():
                    for listener in self._accept():
                        listeners.add(listener)
                        waiting.register(listener, select.POLLIN)
                elif events & select.POLLIN:
                    self._answer(descriptor)
                else:  # nobody has the filter any more
                    waiting.unregister(descriptor)
                    listeners.discard(descriptor)
                    os.close(descriptor)

    def _accept(self) -> list[int]:
        connection, _ = self._server.accept()
        with connection:
            data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(16))
            while not _complete(data):  # crun keeps the connection: there is no end to wait for
                data += connection.recv(65536)
        found = array.array("i")
        for level, kind, rights in ancillary:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            found.frombytes(rights)
        if self._deaf:
            for listener in found:
                os.close(listener)
            found = array.array("i")
        self.documents.append(json.loads(data))
        return list(found)

    def _answer(self, listener: int) -> None:
        notification = bytearray(80)
        try:
            fcntl.ioctl(listener, _RECEIVE, notification)
        except OSError as error:
            assert error.errno in (errno.ENOENT, errno.EINTR)  # who asked is gone
            return
        identifier, _pid, _flags, number = struct.unpack_from("<QIIi", notification)
        self.asked.append(number)
        verdict = self._policy(number)
        reply = struct.pack("<Qqii", identifier, 0, -(verdict or 0), _CONTINUE if verdict is None else 0)
        try:
            fcntl.ioctl(listener, _SEND, reply)
        except OSError as error:
            assert error.errno == errno.ENOENT


def _complete(document: bytes) -> bool:
    try:
        json.loads(document)
    except ValueError:
        return False
    return True
