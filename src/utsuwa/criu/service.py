"""One `criu swrk` process: a service for one client, whose requests come through a socket that it inherits."""

from __future__ import annotations

import os
from _socket import AF_UNIX, CMSG_SPACE, SCM_RIGHTS, SOCK_CLOEXEC, SOCK_SEQPACKET, SOL_SOCKET, socket, socketpair

from utsuwa.criu.messages import FEATURES, NOTIFY, VERSION, Response, feature_request, reply, request
from utsuwa.errors import Unavailable, Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Notified = Callable[[Response, "tuple[int, ...]"], None]

OLDEST = 31500
"""CRIU 3.15: external pid namespaces, and the notification that lazy pages are ready."""

_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LARGEST = 1 << 18
_ERRORS_SHOWN = 3
_SAY_NOTHING = (
    b"rlimit: Can't setup RLIMIT_NOFILE for self",  # who may not raise it lives with fewer descriptors
    b"Dumping FAILED.",
    b"Restoring FAILED.",
)
_DESCRIPTORS = 8


def find() -> str:
    """The path of criu; Unsupported when it is not installed."""
    for directory in f"{os.environ.get('PATH', '')}:{_USUAL_PATH}".split(":"):
        path = f"{directory}/criu"
        if directory.startswith("/") and os.access(path, os.X_OK):
            return path
    raise Unsupported("criu is not installed, and checkpoint and restore are its work: install criu 3.15 or newer")


def environment() -> dict[str, str]:
    """What criu is started with: its helpers (tar, ip, iptables-restore) are looked for in PATH."""
    found = dict(os.environ)
    path = found.get("PATH")
    found["PATH"] = f"{path}:{_USUAL_PATH}" if path else _USUAL_PATH
    return found


def channel() -> tuple[socket, socket]:
    """Our end and criu's of a new connection."""
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)


class Service:
    """The conversation with one criu process, which is a child of ours; ``close`` it to be rid of it.

    CRIU takes descriptors (of directories) as numbers of ours, and looks them up in our /proc entry.
    """

    def __init__(self, connection: socket, pid: int) -> None:
        self._connection = connection
        self._pid = pid

    @classmethod
    def start(cls) -> Service:
        """Start criu for requests that need no place in a container. Raises Unsupported when there is none."""
        path = find()
        ours, theirs = channel()
        number = theirs.fileno()
        nothing = [(os.POSIX_SPAWN_OPEN, stream, "/dev/null", os.O_RDWR, 0) for stream in range(3)]
        actions = [*nothing, (os.POSIX_SPAWN_DUP2, number, number)]
        try:
            pid = os.posix_spawn(path, ("criu", "swrk", str(number)), environment(), file_actions=actions)
        except OSError as error:
            ours.close()
            raise Unavailable(f"start {path}: {(error.strerror or str(error)).lower()}") from error
        finally:
            theirs.close()
        return cls(ours, pid)

    def ask(self, message: bytes, notified: Notified | None = None) -> Response:
        """Send one request, answer its notifications by calling ``notified``, and give the last word on it.

        Raises Unavailable when criu ends without one; the response may tell of a failure.
        """
        self._send(message)
        while True:
            response, descriptors = self._receive()
            try:
                if response.kind != NOTIFY or not response.success:
                    return response
                if notified is not None:
                    notified(response, descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            self._send(reply())

    def _send(self, message: bytes) -> None:
        try:
            self._connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise self._ended() from None

    def _receive(self) -> tuple[Response, tuple[int, ...]]:
        try:
            message, ancillary, _, _ = self._connection.recvmsg(_LARGEST, CMSG_SPACE(4 * _DESCRIPTORS))
        except ConnectionResetError:
            raise self._ended() from None
        if not message:
            raise self._ended()
        descriptors = []
        for level, kind, numbers in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS:
                descriptors += [int.from_bytes(numbers[at : at + 4], "little") for at in range(0, len(numbers) - 3, 4)]
        return Response(message), tuple(descriptors)

    def _ended(self) -> Unavailable:
        from utsuwa.linux.signals import killed_by

        status = self.close()
        how = killed_by(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else f"exit status {os.WEXITSTATUS(status)}"
        return Unavailable(f"criu ended in the middle of its work: {how}")

    def close(self) -> int:
        """Hang up and collect criu; its wait status, 0 when that was done before."""
        self._connection.close()
        pid, self._pid = self._pid, 0
        return os.waitpid(pid, 0)[1] if pid else 0


def version() -> int:
    """The version of the installed CRIU, 31701 for 3.17.1. Raises Unsupported when it is missing or too old."""
    found = _once(request(VERSION)).version
    if found < OLDEST:
        raise Unsupported(f"criu {_dotted(found)} is too old: install {_dotted(OLDEST)} or newer")
    return found


def require(feature: int) -> None:
    """Raise Unsupported unless CRIU and this kernel have the feature."""
    if feature not in _once(feature_request(feature)).features:
        raise Unsupported(f"criu is missing features on this kernel: {FEATURES[feature]}")


def _once(message: bytes) -> Response:
    service = Service.start()
    try:
        return service.ask(message)
    finally:
        service.close()


def _dotted(version: int) -> str:
    return f"{version // 10000}.{version // 100 % 100}" + (f".{version % 100}" if version % 100 else "")


def errors(path: str) -> str:
    """What went wrong by criu's log: its last words before it gave up; "" when the log does not tell."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    told: list[str] = []
    rest = b""
    try:
        while part := os.read(descriptor, 1 << 16):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                _, found, error = line.partition(b"Error (")
                if found and not any(words in error for words in _SAY_NOTHING):
                    told.append(error.partition(b"): ")[2].decode(errors="replace").strip())
    finally:
        os.close(descriptor)
    return "; ".join(told[-_ERRORS_SHOWN:])
