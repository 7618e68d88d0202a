"""Relays of published ports: bytes of streams both ways with their ends, datagrams with their senders."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from select import epoll

import pytest

from utsuwa.network import relay
from utsuwa.network.relay import Datagrams, Stream, Watch


class Turning:
    """A relay's loop, in a thread."""

    def __init__(self) -> None:
        self.watch = Watch(epoll())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()

    def _turn(self) -> None:
        while not self._stop.is_set():
            for descriptor, events in self.watch.poll.poll(0 if self.watch.eager else 0.01):
                act = self.watch.acts.get(descriptor)
                if act:
                    act(events)
            eager, self.watch.eager = self.watch.eager, []
            for connection in eager:
                connection.go_on()

    def pause(self) -> None:
        self._stop.set()
        self._thread.join()

    def end(self) -> None:
        self.pause()
        self.watch.poll.close()


@pytest.fixture
def turning() -> Iterator[Turning]:
    made = Turning()
    yield made
    made.end()


def connect(family: int, kind: int) -> socket.socket:
    made = socket.socket(family, kind)
    made.setblocking(False)
    return made


def bound(kind: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made


def test_streams_with_their_ends(turning: Turning) -> None:
    """Megabytes there, then the end of that half, and only then as much back."""
    with bound(socket.SOCK_STREAM) as server, bound(socket.SOCK_STREAM) as door:
        door.setblocking(False)
        stream = Stream(turning.watch, door, server.getsockname(), connect)
        data = bytes(range(256)) * 20000
        received = []

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                said = b"".join(iter(lambda: connection.recv(65536), b""))
                received.append(said)
                connection.sendall(said[::-1])

        serving = threading.Thread(target=serve)
        serving.start()
        with socket.create_connection(door.getsockname(), timeout=20) as client:
            sending = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
            sending.start()
            answer = b"".join(iter(lambda: client.recv(65536), b""))
            sending.join()
        serving.join()
        assert received == [data]
        assert answer == data[::-1]
        stream.close()
    assert turning.watch.flows == 0


def test_nobody_behind_the_port(turning: Turning) -> None:
    with bound(socket.SOCK_STREAM) as gone:
        target = gone.getsockname()
    with bound(socket.SOCK_STREAM) as door:
        door.setblocking(False)
        with (
            closing(Stream(turning.watch, door, target, connect)),
            socket.create_connection(door.getsockname(), timeout=20) as client,
            suppress(ConnectionResetError),
        ):
            assert client.recv(1) == b""
    assert turning.watch.flows == 0


def test_datagrams_find_back_and_silent_senders_are_forgotten(turning: Turning) -> None:
    with bound(socket.SOCK_DGRAM) as server, bound(socket.SOCK_DGRAM) as door:
        door.setblocking(False)
        server.settimeout(20)
        datagrams = Datagrams(turning.watch, door, server.getsockname(), connect)
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for number, client in enumerate(clients):
            client.settimeout(20)
            client.sendto(b"%d" % number, door.getsockname())
        for _ in clients:
            said, sender = server.recvfrom(100)
            server.sendto(said * 2, sender)
        assert [client.recv(100) for client in clients] == [b"00", b"11"]
        assert turning.watch.flows == 2
        turning.pause()
        now = max(last for _, last in datagrams._senders.values())
        datagrams.expire(now + relay.IDLE - 1)
        assert turning.watch.flows == 2
        datagrams.expire(now + relay.IDLE + 1)
        assert turning.watch.flows == 0
        for client in clients:
            client.close()


def test_there_are_no_more_flows_than_files(turning: Turning) -> None:
    """Proven: with the 1024 files that most processes may have, 170 clients that said nothing stopped all ports."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024))
        fits = relay.room() == (1024 - 100) // 6 and resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1024
        os._exit(0 if fits else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    turning.watch.most = 0
    with bound(socket.SOCK_STREAM) as server, bound(socket.SOCK_STREAM) as door:
        Stream(turning.watch, door, server.getsockname(), connect)
        with socket.create_connection(door.getsockname(), 10) as client:
            assert client.recv(1) == b""
        turning.pause()
