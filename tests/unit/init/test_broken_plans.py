"""The executor's decoder: whatever the bytes are, it says BAD_PLAN (or ends), and runs nothing."""

from __future__ import annotations

import os
import random
import socket
import struct

import pytest

from utsuwa.init import failure
from utsuwa.init.channel import FAILED
from utsuwa.init.encode import encode
from utsuwa.init.spawn import sealed
from utsuwa.plan import ops

BROKEN_STATUS = 2
SAMPLE = (
    ops.Rlimit(7, 1, 2),
    ops.Mount("tmpfs", "tmpfs", "/tmp", ("size=1k",)),
    ops.SetIdentity(1, 2, (3, 4), 18),
    ops.Exec(("/nowhere/a", "b"), ("A=b",)),
)


def execute(plan: bytes, channel: socket.socket) -> int:
    """Run the executor on raw bytes; its exit status, negative for a signal."""
    file = os.memfd_create("plan")
    try:
        os.write(file, plan)
        inherited = {file, channel.fileno()}
        pid = os.posix_spawn(
            f"/proc/self/fd/{sealed()}",
            ("utsuwa-init", str(file)),
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, number, number) for number in inherited],
        )
    finally:
        os.close(file)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def outcome(make) -> tuple[int, bytes]:
    """Exit status and the one report, for the bytes that ``make(channel number)`` gives."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        status = execute(make(theirs.fileno()), theirs)
        ours.setblocking(False)
        try:
            return status, ours.recv(64)
        except BlockingIOError:
            return status, b""


def header(channel: int, count: int, *keep: int, magic: bytes = b"UTUPLAN1") -> bytes:
    return magic + struct.pack(f"<{3 + len(keep)}Q", count, channel, len(keep), *keep)


def one(code: int, fields: bytes, size: int | None = None):
    """Bytes of a plan with one op."""
    return lambda channel: header(channel, 1) + struct.pack("<II", code, len(fields) if size is None else size) + fields


HUGE = struct.pack("<Q", 2**64 - 1)
BROKEN = {
    "no op where one is announced": lambda channel: header(channel, 1),
    "bytes behind the last op": lambda channel: header(channel, 0) + bytes(8),
    "unknown op": one(9999, b""),
    "op zero": one(0, b""),
    "fields missing": one(1, bytes(16)),
    "fields left over": one(11, bytes(8)),
    "size beyond the end": one(1, bytes(24), 4096),
    "size of all ones": one(1, bytes(24), 2**32 - 8),
    "odd size": one(1, bytes(25)),
    "string longer than the op": one(31, struct.pack("<Q", 64) + bytes(8)),
    "string of all ones": one(31, HUGE + bytes(8)),
    "string whose padded size wraps": one(31, struct.pack("<Q", 2**64 - 8) + bytes(8)),
    "string without its terminator": one(31, struct.pack("<Q", 7) + b"abcdefgh"),
    "string with a NUL inside": one(31, struct.pack("<Q", 3) + b"a\0b" + bytes(5)),
    "list count beyond the op": one(7, struct.pack("<Q", 2**60)),
    "list with one missing": one(7, struct.pack("<QQ", 2, 0) + bytes(8)),
    "number count that wraps": one(40, bytes(16) + struct.pack("<Q", 2**61) + bytes(16)),
    "descriptor below -1": one(45, struct.pack("<q", -2)),
    "descriptor too large": one(45, struct.pack("<Q", 2**31)),
    "too many to keep": lambda channel: header(channel, 0, *([9] * 5000)),
    "kept descriptor too large": lambda channel: header(channel, 0, 2**40),
    "keep count beyond the end": lambda channel: header(channel, 0)[:-8] + struct.pack("<Q", 2**61),
}


@pytest.mark.parametrize("make", BROKEN.values(), ids=BROKEN.keys())
def test_broken_plan_is_reported(make):
    status, report = outcome(make)
    assert status == BROKEN_STATUS
    kind, _, _, detail = struct.unpack("<IIiI", report[:16])
    assert (kind, detail) == (FAILED, failure.BAD_PLAN)


@pytest.mark.parametrize(
    "make",
    [
        lambda channel: b"",
        lambda channel: b"UTUPLAN1",
        lambda channel: header(channel, 0, magic=b"UTUPLAN2"),
        lambda channel: header(0, 0),
        lambda channel: header(2**63, 0),
    ],
    ids=["empty", "magic only", "other magic", "channel is stdin", "channel too large"],
)
def test_without_a_channel_it_just_ends(make):
    assert outcome(make) == (BROKEN_STATUS, b"")


def test_every_truncation_is_noticed():
    whole = encode(SAMPLE, {}, 9)
    for size in range(32, len(whole), 8):
        status, _ = outcome(lambda channel, size=size: encode(SAMPLE, {}, channel)[:size])
        assert status == BROKEN_STATUS, size


def test_flipped_words_never_crash_it():
    generator = random.Random(4711)
    plan = (
        ops.Hostname("h"),
        ops.JoinCgroups(("a", "b")),
        ops.JoinNamespaces((), ()),
        ops.FindExecutable("f", "/x:/y"),
    )

    def broken(channel: int) -> bytes:
        # A first op that fails at once: nothing behind it is ever carried out.
        data = bytearray(encode((ops.AwaitStart(""), *plan), {}, channel))
        at = generator.randrange(48, len(data), 8)
        data[at : at + 8] = generator.choice((bytes(8), b"\xff" * 8, generator.randbytes(8)))
        return bytes(data)

    for _ in range(60):
        status, _ = outcome(broken)
        assert status in (0, 1, BROKEN_STATUS)
