"""How a client comes in, and when the forkserver is told of it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from utsuwa.errors import Unsupported
from utsuwa.monitor import creator, door, frames
from utsuwa.monitor.door import Door, Notice

REQUEST = frames.pack(frames.START, b"{}")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A door, a connected client, the worker's end of what the door watches besides, and the forkserver's pipe."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    client = socket.socket(socket.AF_UNIX)
    ours, theirs = socket.socketpair()
    told, tell = os.pipe()
    closed, close = os.pipe()
    yield SimpleNamespace(
        door=Door(listener.detach(), closed, Notice(tell)),
        close=close,
        client=client,
        enter=lambda: client.connect(str(tmp_path / "s")),
        worker=ours,
        control=theirs,
        told=told,
    )
    for each in (client, ours, theirs):
        each.close()
    os.close(told)
    with contextlib.suppress(OSError):  # a test may have done so
        os.close(close)


def test_a_request_and_what_comes_with_it(scene: SimpleNamespace) -> None:
    scene.enter()
    socket.send_fds(scene.client, [REQUEST], [0])
    kind, payload, (connection, other) = scene.door.request(scene.control.fileno())
    assert (kind, payload) == (frames.START, b"{}")
    assert os.fstat(other).st_ino == os.fstat(0).st_ino
    os.write(connection, b"yes")
    assert scene.client.recv(10) == b"yes"
    assert os.read(scene.told, 10) == b""  # our end of the pipe is closed, and nothing was said
    os.close(connection)
    os.close(other)


def test_a_client_that_takes_its_time_keeps_nobody_waiting(scene: SimpleNamespace) -> None:
    scene.enter()
    scene.client.sendall(REQUEST[:9])

    def finish() -> None:
        assert os.read(scene.told, 10) == b"!"  # somebody else can be served from here on
        scene.client.sendall(REQUEST[9:])

    rest = threading.Thread(target=finish)
    rest.start()
    _kind, payload, (connection,) = scene.door.request(scene.control.fileno())
    rest.join()
    assert payload == b"{}"
    os.close(connection)


def test_without_a_worker_nobody_is_let_in(scene: SimpleNamespace) -> None:
    scene.worker.close()
    scene.enter()
    with pytest.raises(EOFError):
        scene.door.request(scene.control.fileno())


def test_a_closed_door(scene: SimpleNamespace) -> None:
    os.close(scene.close)
    scene.enter()
    with pytest.raises(EOFError):
        scene.door.request(scene.control.fileno())


def test_who_knocks(scene: SimpleNamespace) -> None:
    assert not scene.door.is_knocked_at()
    scene.enter()
    assert scene.door.is_knocked_at()


@pytest.mark.parametrize("sent", [b"", REQUEST[:4], frames.header(frames.START, frames.LIMIT + 1)])
def test_what_is_no_request(scene: SimpleNamespace, sent: bytes) -> None:
    scene.enter()
    scene.client.sendall(sent)
    scene.client.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        scene.door.request(scene.control.fileno())


def test_a_creator_that_could_not_prepare_itself_says_so(
    scene: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proven: its answer was taken for the request, of which there was more to come."""

    def fail(_hurry: bool, _run: str) -> None:
        raise Unsupported("the executor is missing")

    monkeypatch.setattr(creator, "_prepared", fail)
    scene.enter()
    scene.client.sendall(REQUEST)
    made = creator.Creator((), hurry=False, door=scene.door)
    scene.door.leave()
    kind, _payload, (connection,) = made.request()
    assert kind == frames.START
    made.begin()
    with pytest.raises(creator.Failed, match="the executor is missing") as caught:
        made.outcome()
    assert caught.value.kind == "Unsupported"
    os.close(connection)
    scene.door.notice.close()
    os.wait()


def test_the_forkserver_is_told_each_thing_once() -> None:
    told, tell = os.pipe()
    notice = door.Notice(tell)
    for _ in range(2):
        notice.taken()
    for _ in range(2):
        notice.started()
    assert os.read(told, 10) == b"!"
    assert os.read(told, 10) == b""
    os.close(told)


def test_the_forkserver_is_gone() -> None:
    told, tell = os.pipe()
    os.close(told)
    Notice(tell).started()
