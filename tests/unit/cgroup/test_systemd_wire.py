"""Our D-Bus against itself, against broken messages, and against the daemon that everybody uses."""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs
from tests.unit.cgroup.fake_systemd import outgoing
from utsuwa import errors
from utsuwa.cgroup.systemd import bus, wire

DAEMON = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
RANGES = {"y": (0, 255), "n": (-(1 << 15), (1 << 15) - 1), "q": (0, 65535), "i": (-(1 << 31), (1 << 31) - 1)}
RANGES |= {"u": (0, (1 << 32) - 1), "x": (-(1 << 63), (1 << 63) - 1), "t": (0, (1 << 64) - 1)}


def any_type(chance: random.Random, depth: int = 0) -> str:
    """A complete type."""
    kind = chance.choice("ynqiuxtbdsogv" + ("" if depth > 3 else "aaa((("))
    if kind == "a":
        return "a" + (f"{{s{any_type(chance, depth + 1)}}}" if chance.random() < 0.2 else any_type(chance, depth + 1))
    if kind == "(":
        return f"({''.join(any_type(chance, depth + 1) for _ in range(chance.randint(1, 4)))})"
    return kind


def any_value(chance: random.Random, kind: str, depth: int = 0) -> Any:
    """A value of that type."""
    code = kind[0]
    if code in RANGES:
        return chance.choice([*RANGES[code], chance.randint(*RANGES[code])])
    if code == "v":
        inner = any_type(chance, depth + 3)
        return inner, any_value(chance, inner, depth + 3)
    if code == "a":
        values = [any_value(chance, kind[1:], depth + 1) for _ in range(chance.randint(0, 3))]
        return bytes(values) if kind == "ay" else values
    if code in "({":
        return tuple(any_value(chance, part, depth + 1) for part in wire.types(kind[1:-1]))
    simple: dict[str, list[Any]] = {
        "b": [True, False],
        "d": [0.5, -1e300],
        "s": ["", "é\u6f22 x"],
        "o": ["/", "/a/b_1"],
    }
    return chance.choice(simple.get(code, ["", "a{sv}", "ii"]))


@pytest.mark.parametrize("seed", range(50))
def test_what_is_written_is_read_back(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        signature = "".join(any_type(chance) for _ in range(chance.randint(0, 4)))
        values = tuple(any_value(chance, kind) for kind in wire.types(signature))
        data = wire.call(7, 0, signature, values, destination="a.b", path="/p", interface="c.d", member="M")
        assert wire.size(data[: wire.FIXED_HEADER]) == len(data)
        message = wire.parse(data)
        assert (message.signature, message.body, message.serial) == (signature, values, 7)
        assert (message.path, message.interface, message.member) == ("/p", "c.d", "M")


@pytest.mark.parametrize("seed", range(50))
def test_broken_messages_are_one_kind_of_error(seed: int) -> None:
    chance = random.Random(seed)
    whole = outgoing(wire.SIGNAL, "uosa(sv)", (5, "/a", "unit", [("n", ("as", ["x"]))]), member="JobRemoved")
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            if wire.size(bytes(data[: wire.FIXED_HEADER])) == len(data):
                wire.parse(bytes(data))
        except errors.Unavailable:
            continue


def test_values_in_values_without_end_are_refused() -> None:
    value: Any = ("y", 1)
    for _ in range(100):
        value = ("v", value)
    with pytest.raises(errors.Unavailable, match="too deep"):
        wire.parse(outgoing(wire.SIGNAL, "v", (value,), member="Deep"))


def test_messages_of_the_other_byte_order_are_read() -> None:
    body = b"\0\0\0\1"
    fields = b"\5\1u\0\0\0\0\7" + b"\x08\1g\0\1u\0"
    head = b"B\2\1\1" + len(body).to_bytes(4, "big") + b"\0\0\0\1" + len(fields).to_bytes(4, "big")
    data = head + fields + bytes(-len(head + fields) % 8) + body
    assert wire.size(data[: wire.FIXED_HEADER]) == len(data)
    message = wire.parse(data)
    assert (message.kind, message.reply_to, message.body) == (wire.REPLY, 7, (1,))


@pytest.mark.parametrize(
    ("signature", "values"),
    [
        ("u", (-1,)),
        ("s", (5,)),
        ("s", ("a\0b",)),
        ("(su)", (("a",),)),
        ("a", ([],)),
        ("(u", ((1,),)),
        ("ss", ("a",)),
        ("z", (1,)),
    ],
)
def test_values_that_do_not_fit_are_refused(signature: str, values: tuple[Any, ...]) -> None:
    with pytest.raises(errors.InvalidArgument, match="D-Bus"):
        wire.pack(signature, values)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("unix:path=/run/x", ["/run/x"]),
        ("unix:path=/a%20b%c3%a9,guid=12;tcp:host=x;unix:abstract=/c", ["/a bé", "\0/c"]),
        ("unix:tmpdir=/tmp", []),
    ],
)
def test_addresses(address: str, expected: list[str]) -> None:
    assert bus.paths(address) == expected


def test_a_broken_address_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match="escape"):
        bus.paths("unix:path=/a%zz")


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[tuple[bus.Bus, Path]]:
    """A connection to a real bus of our own, and its socket."""
    path = tmp_path / "bus"
    words = ["dbus-daemon", "--session", "--nofork", "--print-address=1", f"--address=unix:path={path}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as daemon:
        try:
            assert daemon.stdout is not None and daemon.stdout.readline()
            with connection(path) as talking:
                yield talking, path
        finally:
            daemon.kill()


def connection(path: Path) -> bus.Bus:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return bus.Bus(client)


@needs("dbus-daemon")
def test_a_real_daemon_answers(connected: tuple[bus.Bus, Path]) -> None:
    talking, _ = connected
    assert talking.call(*DAEMON, "NameHasOwner", "s", "org.freedesktop.DBus") == (True,)
    (names,) = talking.call(*DAEMON, "ListNames")
    assert "org.freedesktop.DBus" in names
    (credentials,) = talking.call(*DAEMON, "GetConnectionCredentials", "s", "org.freedesktop.DBus")
    assert ("ProcessID", ("u", int)) in [(key, (kind, type(value))) for key, (kind, value) in credentials]
    with pytest.raises(bus.Refusal) as refused:
        talking.call(*DAEMON, "GetNameOwner", "s", "com.example.nobody")
    assert refused.value.name == "org.freedesktop.DBus.Error.NameHasNoOwner"


@needs("dbus-daemon")
def test_a_real_daemon_s_signals_come(connected: tuple[bus.Bus, Path]) -> None:
    talking, path = connected
    talking.listen("type='signal',member='NameOwnerChanged'")
    talking.call(*DAEMON, "GetId")
    with connection(path) as other:
        (names,) = other.call(*DAEMON, "ListNames")
        assert len([name for name in names if name.startswith(":")]) == 2
    gone = talking.await_signal("NameOwnerChanged", lambda body: body[2] == "")
    assert gone[0] == gone[1] and gone[0].startswith(":")


@needs("dbus-daemon")
def test_a_real_daemon_finds_our_messages_well_formed(connected: tuple[bus.Bus, Path]) -> None:
    talking, _ = connected
    chance = random.Random(1)
    for _ in range(300):
        signature = "".join(any_type(chance) for _ in range(chance.randint(1, 4)))
        values = tuple(any_value(chance, kind) for kind in wire.types(signature))
        with pytest.raises(bus.Refusal) as refused:  # and no hanging up, which is what a broken message gets
            talking.call(*DAEMON, "NoSuchMethod", signature, *values)
        assert refused.value.name == "org.freedesktop.DBus.Error.UnknownMethod"
