"""The parent's end of the channel, against records that are written by hand."""

from __future__ import annotations

import socket
import struct

import pytest

from utsuwa.errors import FailedPrecondition
from utsuwa.init.channel import EXECUTING, REQUEST, Channel
from utsuwa.plan.plan import Plan


@pytest.fixture
def ends() -> tuple[Channel, socket.socket]:
    """The channel, and the child's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ours, lambda: Plan(())), theirs


def say(child: socket.socket, kind: int, value: int = 0) -> None:
    child.send(struct.pack("<IIiIqQ", kind, 0, 0, 0, value, 0))


def test_the_last_word_counts_of_a_child_that_left_a_reply_unread(ends: tuple[Channel, socket.socket]) -> None:
    channel, child = ends
    say(child, REQUEST, 3)
    channel.reply()  # before it asked, and because it asked: the child needs one
    assert channel.next() is not None
    say(child, EXECUTING)
    child.close()
    last = channel.next()
    assert last is not None and last.kind == EXECUTING
    assert channel.next() is None


def test_a_child_that_goes_without_a_word_is_told_of(ends: tuple[Channel, socket.socket]) -> None:
    channel, child = ends
    say(child, REQUEST, 3)
    assert channel.next() is not None
    child.close()
    with pytest.raises(FailedPrecondition, match="ended before it could run its program"):
        channel.next()
