"""What travels between a program and its envoy: values, descriptors, calls back, chunks; and errors that can't."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from utsuwa.errors import Error, Internal, NotFound
from utsuwa.library import parcels
from utsuwa.library.parcels import Chunks, Wire
from utsuwa.library.residence import portable
from utsuwa.library.services import Services
from utsuwa.monitor import frames
from utsuwa.monitor.client import Connection


class Ends(NamedTuple):
    program: Wire
    envoy: Wire
    services: Services


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    services = Services("/there/root", "/there/run")
    ends = Ends(Wire(ours, Services("/here/root", "/here/run")), Wire(theirs, services), services)
    yield ends
    ends.program.close()
    ends.envoy.close()


def test_services_are_those_of_who_receives(ends: Ends) -> None:
    ends.program.send(parcels.CALL, {"of": Services()})
    assert ends.envoy.receive() == (parcels.CALL, {"of": ends.services})


def test_a_connection_brings_what_nobody_has_read(ends: Ends) -> None:
    out, into = os.pipe()
    whole = frames.pack(frames.STDOUT, b"whole")
    lent = Connection(out, whole + whole[:10])
    ends.envoy.send(parcels.RESULT, (lent, 7))
    (_kind, (had, number)) = ends.program.receive()
    assert ends.envoy.lent == [lent]
    lent.close()
    assert number == 7
    assert had.next() == (frames.STDOUT, b"whole")
    os.write(into, whole[10:])
    os.close(into)
    assert had.next() == (frames.STDOUT, b"whole")
    had.close()


def test_functions_are_called_where_they_are_and_chunks_come_later(ends: Ends) -> None:
    told: list[str] = []
    ends.program.functions = [told.append]
    given = Chunks([b"one", b"two"])
    ends.program.send(parcels.CALL, (ends.program.functions[0], given))
    _kind, (tell, coming) = ends.envoy.receive()
    assert ends.program.chunks is given
    for chunk in (*given, b""):
        ends.program.send_chunk(chunk)
    assert list(coming) == [b"one", b"two"]
    tell("word")
    assert ends.program.receive() == (parcels.TELL, (0, ("word",)))


def test_who_has_gone_is_missed(ends: Ends) -> None:
    ends.program.send(parcels.CALL, "x" * 100)
    ends.program.close()
    assert ends.envoy.receive() == (parcels.CALL, "x" * 100)
    assert not ends.envoy.is_thanked()
    with pytest.raises(BrokenPipeError):
        ends.envoy.send(parcels.RESULT)


def test_errors_keep_their_kind() -> None:
    simple = NotFound("no such thing")
    simple.code = 127  # type: ignore[attr-defined]
    assert portable(simple) is simple
    special = type("Special", (NotFound,), {})("gone")  # as what an operation of a plan raises: nobody can import it
    special.code, special.op = 126, open
    found = portable(special)
    assert (type(found), str(found), vars(found)) == (NotFound, "gone", {"code": 126})
    assert type(portable(type("Other", (Error,), {})("x"))) is Error
    assert (type(portable(KeyboardInterrupt())), type(portable(_Odd(1, 2)))) == (KeyboardInterrupt, Internal)


class _Odd(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one + two)
