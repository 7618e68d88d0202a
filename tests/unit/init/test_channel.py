"""The parent's end of the channel, against records that are written by hand."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest

from utsuwa.errors import FailedPrecondition
from utsuwa.init.channel import CLONED, EXECUTING, FAILED, REQUEST, Channel
from utsuwa.init.spawn import Child
from utsuwa.plan.plan import Plan


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """The channel, and the child's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield Channel(ours, lambda: Plan(())), theirs


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


def test_a_signal_between_the_end_of_stage_1_and_our_note_of_it_loses_nothing(
    ends: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the handler of a signal raises comes as soon as waitpid(2) is done."""
    channel, said = ends
    child = Child(os.posix_spawn("/bin/true", ["true"], {}), channel)
    collect = os.waitpid

    def interrupted(pid: int, options: int) -> None:
        collect(pid, options)
        raise InterruptedError

    say(said, CLONED, 17)
    say(said, EXECUTING)
    assert child.next()
    with monkeypatch.context() as patch:
        patch.setattr(os, "waitpid", interrupted)
        with pytest.raises(InterruptedError):
            child.next()
    assert child.executes() is False  # the report went with it ...
    said.close()
    assert child.executes() is True  # ... as the end of the channel tells
    assert child.next() is None
    child.close()


def test_a_child_that_goes_without_a_word_is_told_of(ends: tuple[Channel, socket.socket]) -> None:
    channel, child = ends
    say(child, REQUEST, 3)
    assert channel.next() is not None
    child.close()
    with pytest.raises(FailedPrecondition, match="ended before it could run its program"):
        channel.next()


def test_a_program_runs_though_an_answered_question_was_not_heard_yet(ends: tuple[Channel, socket.socket]) -> None:
    channel, child = ends
    say(child, REQUEST, 3)
    assert not channel.executes()
    say(child, EXECUTING)
    assert channel.executes()
    child.close()
    assert channel.executes()
    heard = [channel.next(), channel.next(), channel.next()]
    assert [report and report.kind for report in heard] == [REQUEST, EXECUTING, None]


def test_a_lost_word_leaves_the_end_to_tell_of_the_program(ends: tuple[Channel, socket.socket]) -> None:
    channel, child = ends
    child.close()
    assert channel.executes()
    assert channel.next() is None


def test_a_child_that_failed_runs_no_program(ends: tuple[Channel, socket.socket]) -> None:
    channel, child = ends
    say(child, FAILED)
    child.close()
    assert not channel.executes()
