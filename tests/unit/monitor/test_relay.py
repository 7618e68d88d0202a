"""The relay: output to everybody, input to the process, and nobody waits for anybody."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from utsuwa.monitor import frames
from utsuwa.monitor.jsonlog import JsonLog
from utsuwa.monitor.logfile import LogFile
from utsuwa.monitor.relay import Relay


class Setting:
    """A relay with one output pipe, one input pipe, a log, and the signals that it was asked to send."""

    def __init__(self, directory: Path) -> None:
        self.log_path = directory / "log"
        self.directory = os.open(directory, os.O_RDONLY)
        self.log = JsonLog(LogFile(self.directory, "log"))
        self.signals: list[int] = []
        self.ends: list[socket.socket] = []
        self.relay = Relay(self.log, self.directory, self.signals.append)
        out, self.process_out = os.pipe()
        self.process_in, feed = os.pipe()
        self.relay.add_output(out, frames.STDOUT)
        self.relay.set_input(feed, once=True)

    def client(self, owner: bool = False) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.ends.append(ours)
        self.relay.attach(theirs.detach(), owner)
        return ours

    def turn(self, until: Callable[[], bool] = lambda: False) -> None:
        """Some steps, enough for everything that is ready."""
        for _ in range(2000):
            self.relay.step(0)
            if until():
                return


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    for client in made.relay.clients:
        client.close()
    for end in made.ends:
        end.close()
    os.close(made.directory)


def received(connection: socket.socket) -> list[tuple[int, bytes]]:
    connection.setblocking(False)
    decoder, found = frames.Decoder(), []
    try:
        while data := connection.recv(1 << 20):
            found += decoder.feed(data)
    except BlockingIOError:
        pass
    return found


def test_output_reaches_the_log_and_every_client(setting: Setting) -> None:
    first, second = setting.client(), setting.client()
    os.write(setting.process_out, b"hello\n")
    setting.turn()
    assert received(first) == received(second) == [(frames.STDOUT, b"hello\n")]
    assert b'"hello\\n"' in setting.log_path.read_bytes()


def test_a_client_that_does_not_read_misses_nothing_and_stops_nobody(setting: Setting) -> None:
    slow, quick = setting.client(), setting.client()
    total = 0
    for number in range(300):
        chunk = bytes([65 + number % 26]) * 10_000
        os.write(setting.process_out, chunk)
        setting.turn(lambda: True)
        total += len(chunk)
        assert sum(len(data) for _kind, data in received(quick)) <= len(chunk)
    assert setting.relay.clients[0].backlog > 1_000_000
    got = b""
    decoder = frames.Decoder()
    slow.setblocking(False)
    while len(got) < total:
        try:
            for _kind, data in decoder.feed(slow.recv(1 << 16)):
                got += data
        except BlockingIOError:
            setting.relay.step(0)
    assert got == b"".join(bytes([65 + number % 26]) * 10_000 for number in range(300))
    assert setting.relay.clients[0].backlog == 0


def test_input_is_held_back_until_it_is_taken(setting: Setting) -> None:
    client = setting.client()
    client.setblocking(False)
    data = os.urandom(1 << 20)
    stream = b"".join(frames.pack(frames.STDIN, data[at : at + 30_000]) for at in range(0, len(data), 30_000))
    stream += frames.pack(frames.CLOSE_STDIN)
    os.set_blocking(setting.process_in, False)
    got, sent = b"", 0
    while True:
        try:
            sent += client.send(stream[sent : sent + 65536])
        except BlockingIOError:
            pass
        setting.relay.step(0)
        assert len(setting.relay._pending) < 400_000
        try:
            piece = os.read(setting.process_in, 65536)
        except BlockingIOError:
            continue
        if not piece:
            break
        got += piece
    assert got == data


def test_the_feeding_client_takes_the_input_with_it(setting: Setting) -> None:
    client = setting.client(owner=True)
    client.close()
    setting.turn()
    assert os.read(setting.process_in, 1) == b""


def test_signals_and_nonsense(setting: Setting) -> None:
    client, bad = setting.client(), setting.client()
    client.sendall(frames.pack(frames.SIGNAL, bytes([15])))
    bad.sendall(frames.pack(99))
    setting.turn()
    assert setting.signals == [15]
    assert bad.recv(10) == b""
    assert len(setting.relay.clients) == 1


def test_the_last_frame_comes_after_everything(setting: Setting) -> None:
    client = setting.client()
    os.write(setting.process_out, b"tail")
    os.close(setting.process_out)
    setting.relay.drain()
    setting.relay.finish(frames.EXITED, b"{}")
    assert received(client) == [(frames.STDOUT, b"tail"), (frames.EXITED, b"{}")]
