"""A connection to a message bus, or to systemd itself: authentication, calls and their answers, one signal."""

from __future__ import annotations

import os
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from utsuwa import errors
from utsuwa.cgroup.systemd import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from utsuwa.cgroup.systemd.wire import Message

SYSTEM_BUS = "/run/dbus/system_bus_socket"
PRIVATE = "/run/systemd/private"
"""systemd's own socket, for root alone: what systemctl falls back on, too."""
PATIENCE = 30.0
"""Seconds that an answer may take."""

_BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_CHUNK = 65536
_LONGEST_LINE = 16384


class Refusal(Exception):
    """An answer of kind error: its D-Bus ``name``, and what the other side says."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message or name)
        self.name = name

    def error(self, context: str) -> errors.Error:
        """The kind of error of ours that it amounts to."""
        kind = _KINDS.get(self.name.rpartition(".")[2], errors.FailedPrecondition)
        return kind(f"{context}: {str(self).rstrip('.')}")


_KINDS: dict[str, type[errors.Error]] = {
    "NoSuchUnit": errors.NotFound,
    "UnitExists": errors.Conflict,
    "AccessDenied": errors.PermissionDenied,
    "AuthFailed": errors.PermissionDenied,
    "InteractiveAuthorizationRequired": errors.PermissionDenied,
    "InvalidArgs": errors.InvalidArgument,
    "PropertyReadOnly": errors.InvalidArgument,
    "UnknownProperty": errors.InvalidArgument,
    "ServiceUnknown": errors.Unavailable,
    "NoReply": errors.Unavailable,
}


class Bus:
    """An authenticated connection; a context manager. ``broker``: a message bus is between us and the service.

    Raises Unavailable when the other side does not speak D-Bus, goes away or takes longer than PATIENCE.
    """

    def __init__(self, connection: socket, *, broker: bool = True) -> None:
        self._connection = connection
        self._patience = PATIENCE
        self._serial = 0
        self._received = b""
        self._signals: list[Message] = []
        self._deadline = time.monotonic() + self._patience
        self._broker = broker
        self._authenticate()
        if broker:
            self.call(*_BUS, "Hello")

    def __enter__(self) -> Bus:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *values: Any
    ) -> tuple[Any, ...]:
        """Call a method and give the values that it returns. Raises Refusal."""
        serial = self._send(0, destination, path, interface, member, signature, values)
        self._deadline = time.monotonic() + self._patience
        while True:
            message = self._next()
            if message.kind == wire.SIGNAL:
                self._signals.append(message)
            elif message.reply_to == serial and message.kind == wire.ERROR:
                text = message.body[0] if message.signature[:1] == "s" else ""
                raise Refusal(message.error, text)
            elif message.reply_to == serial and message.kind == wire.REPLY:
                return message.body

    def tell(self, destination: str, path: str, interface: str, member: str, signature: str = "", *values: Any) -> None:
        """Call a method whose answer nobody waits for."""
        self._send(wire.NO_REPLY_EXPECTED, destination, path, interface, member, signature, values)

    def listen(self, rule: str) -> None:
        """Ask the bus for the signals that match ``rule`` (D-Bus Specification, "Match Rules")."""
        if self._broker:
            self.tell(*_BUS, "AddMatch", "s", rule)

    def await_signal(self, member: str, wanted: Callable[[tuple[Any, ...]], bool]) -> tuple[Any, ...]:
        """Wait for a signal of that name whose values are ``wanted``, one that has come since the first call too."""
        self._deadline = time.monotonic() + self._patience
        while True:
            waiting, self._signals = self._signals, []
            for message in waiting:
                if message.member == member and wanted(message.body):
                    return message.body
            message = self._next()
            if message.kind == wire.SIGNAL:
                self._signals.append(message)

    def _authenticate(self) -> None:
        """EXTERNAL with an empty identity: the socket's credentials decide, which are right in a user namespace too."""
        self._write(b"\0AUTH EXTERNAL\r\nDATA\r\n")
        while not (line := self._line()).startswith("OK "):
            if line != "DATA":
                raise errors.PermissionDenied(f"D-Bus: authentication was answered with {line!r}")
        self._write(b"BEGIN\r\n")

    def _line(self) -> str:
        while b"\r\n" not in self._received:
            if len(self._received) > _LONGEST_LINE:
                raise errors.Unavailable("D-Bus: the other side does not speak it")
            self._fill()
        line, _, self._received = self._received.partition(b"\r\n")
        return line.decode("ascii", "replace")

    def _send(
        self, flags: int, destination: str, path: str, interface: str, member: str, signature: str, values: Any
    ) -> int:
        self._serial += 1
        names = {"destination": destination, "path": path, "interface": interface, "member": member}
        self._write(wire.call(self._serial, flags, signature, values, **names))
        return self._serial

    def _next(self) -> Message:
        while len(self._received) < wire.FIXED_HEADER:
            self._fill()
        size = wire.size(self._received[: wire.FIXED_HEADER])
        while len(self._received) < size:
            self._fill()
        data, self._received = self._received[:size], self._received[size:]
        return wire.parse(data)

    def _fill(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise errors.Unavailable(f"D-Bus: no answer in {self._patience:g} s")
        self._connection.settimeout(left)
        try:
            data = self._connection.recv(_CHUNK)
        except TimeoutError:
            raise errors.Unavailable(f"D-Bus: no answer in {self._patience:g} s") from None
        except OSError as error:
            raise errors.Unavailable(f"D-Bus: {(error.strerror or 'broken').lower()}") from error
        if not data:
            raise errors.Unavailable("D-Bus: the other side hung up")
        self._received += data

    def _write(self, data: bytes) -> None:
        self._connection.settimeout(self._patience)
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise errors.Unavailable(f"D-Bus: {(error.strerror or 'broken').lower()}") from error


def connect_system() -> Bus:
    """systemd as the host's manager: by the system bus, or where there is none, by its own socket.

    Raises FailedPrecondition with what to do when neither is there.
    """
    places = [(path, True) for path in paths(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or f"unix:path={SYSTEM_BUS}")]
    return _connect([*places, (PRIVATE, False)], "systemd")


def connect_user() -> Bus:
    """systemd as the manager of a user: by the user's bus, or where there is none, by its own socket.

    Root of a user namespace without such an environment is root of a container that has a systemd of its own.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if not runtime and "DBUS_SESSION_BUS_ADDRESS" not in os.environ:
        if os.geteuid() == 0:
            return connect_system()
        runtime = f"/run/user/{os.geteuid()}"
    places = [(path, True) for path in paths(os.environ.get("DBUS_SESSION_BUS_ADDRESS") or f"unix:path={runtime}/bus")]
    return _connect([*places, (f"{runtime}/systemd/private", False)], "the user's systemd")


def _connect(places: list[tuple[str, bool]], what: str) -> Bus:
    tried = []
    for path, broker in places:
        connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            connection.connect(path)
            return Bus(connection, broker=broker)
        except OSError as error:
            connection.close()
            shown = path.replace("\0", "@", 1)
            tried.append(f"{shown}: {(error.strerror or str(error)).lower()}")
        except BaseException:
            connection.close()
            raise
    raise errors.FailedPrecondition(
        f"systemd not running on this host, cannot use systemd cgroups manager: {what} can't be reached "
        f"({'; '.join(tried)}), leave --systemd-cgroup out where systemd does not manage the cgroups"
    )


def paths(address: str) -> list[str]:
    """The sockets of a D-Bus address (``unix:path=/x;unix:abstract=/y``), abstract ones with a NUL in front."""
    found = []
    for entry in address.split(";"):
        transport, _, rest = entry.partition(":")
        keys = dict(pair.split("=", 1) for pair in rest.split(",") if "=" in pair)
        if transport == "unix" and "path" in keys:
            found.append(_unescaped(keys["path"]))
        elif transport == "unix" and "abstract" in keys:
            found.append("\0" + _unescaped(keys["abstract"]))
    return found


def _unescaped(value: str) -> str:
    parts = value.encode().split(b"%")
    try:
        return os.fsdecode(parts[0] + b"".join([bytes([int(part[:2], 16)]) + part[2:] for part in parts[1:]]))
    except ValueError as error:
        raise errors.InvalidArgument(f'D-Bus address "{value}": a broken escape sequence') from error
