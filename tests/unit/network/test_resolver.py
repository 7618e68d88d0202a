"""What the resolver passes on: to which servers, how long it waits for them, and whom it believes."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.unit.network.test_dns import question
from utsuwa.network import dns, files, resolver
from utsuwa.network.state import Places

Reply = Callable[[bytes, bool], list[bytes]]
"""What a server says to a question, which came by TCP or not."""


class Server:
    """A name server at an address of the loopback network, for UDP and TCP."""

    def __init__(self, address: str, port: int, reply: Reply) -> None:
        self.asked: list[bool] = []
        self._reply = reply
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind((address, port))
        self._streams = socket.create_server((address, self._datagrams.getsockname()[1]))
        self.port: int = self._datagrams.getsockname()[1]
        self._threads = [threading.Thread(target=serve) for serve in (self._by_datagram, self._by_stream)]
        for each in self._threads:
            each.start()

    def _by_datagram(self) -> None:
        with suppress(OSError):
            while True:
                data, client = self._datagrams.recvfrom(4096)
                if client is None:  # shut down
                    return
                self.asked.append(False)
                for answer in self._reply(data, False):
                    self._datagrams.sendto(answer, client)

    def _by_stream(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._streams.accept()
                data = connection.recv(4096)
                self.asked.append(True)
                for answer in self._reply(data[2:], True):
                    for at in range(0, len(answer) + 2, 700):  # in pieces
                        connection.sendall((len(answer).to_bytes(2, "big") + answer)[at : at + 700])
                connection.close()

    def close(self) -> None:
        for each in (self._datagrams, self._streams):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in (self._datagrams, self._streams):
            each.close()


class Around:
    """Instead of the directory: nothing is known here, and everybody asks the same servers."""

    def __init__(self, place: tuple[str, int]) -> None:
        self.places, self.servers = {place}, list[str]()

    def refresh(self) -> None:
        pass

    def listeners(self) -> set[tuple[str, int]]:
        return self.places

    def answer(self, _source: str, _question: dns.Question, _room: int) -> None:
        return None

    def admits(self, _source: str, _gateway: str) -> bool:
        return True

    def upstream(self, _source: str, _gateway: str) -> list[str]:
        return self.servers


class House:
    """A resolver that runs, and servers."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self._patch, self._servers, self._port = patch, list[Server](), 0
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.bind(str(path / "control"))
        control.listen()
        self.place = ("127.0.0.1", _free_port())
        self.around = Around(self.place)
        running = resolver.Resolver(Places(str(path), str(path)), control)
        running._directory = self.around  # type: ignore[assignment]
        self._control, self._path = control, path / "control"
        self._thread = threading.Thread(target=running.serve)
        self._thread.start()
        self.tell()

    def tell(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(self._path))
            assert connection.recv(100) == b"!"

    def server(self, address: str, reply: Reply) -> Server:
        made = Server(address, self._port, reply)
        self._port = made.port
        self._patch.setattr(dns, "PORT", made.port)
        self._servers.append(made)
        self.around.servers.append(address)
        return made

    def ask(self, name: str = "example.org", stream: bool = False) -> bytes:
        kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as client:
            client.settimeout(10)
            client.connect(self.place)
            asked = question(name)
            client.sendall(len(asked).to_bytes(2, "big") + asked if stream else asked)
            if not stream:
                return client.recv(65535)
            said = b""
            while piece := client.recv(65535):
                said += piece
            return said[2:]

    def end(self) -> None:
        self.around.places = set()
        self.tell()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._control.close()
        for server in self._servers:
            server.close()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(resolver, "_PATIENCE", 0.15)
    made = House(tmp_path, monkeypatch)
    yield made
    made.end()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(data: bytes, code: int = 0, records: int = 1, flags: int = 0x8180) -> bytes:
    """A server's answer; ``records`` addresses."""
    body = b"\xc0\x0c" + struct.pack(">HHIH", dns.A, 1, 60, 4) + bytes((192, 0, 2, 1))
    return data[:2] + struct.pack(">HHHHH", flags | code, 1, records, 0, 0) + data[12:] + body * records


def code(said: bytes) -> int:
    return said[3] & 0xF


def test_an_answer_comes_back_as_it_is_and_no_number_is_the_clients(house: House) -> None:
    seen = []
    house.server("127.0.0.1", lambda data, _: [seen.append(data), answer(data)][1:])  # type: ignore[func-returns-value, list-item]
    assert house.ask() == answer(question("example.org"))
    house.ask()
    assert len({data[:2] for data in seen} | {question("example.org")[:2]}) == 3


def test_that_there_is_no_such_name_is_an_answer(house: House) -> None:
    house.server("127.0.0.1", lambda data, _: [answer(data, dns.NO_SUCH_NAME, 0)])
    second = house.server("127.0.0.2", lambda data, _: [answer(data)])
    assert code(house.ask()) == dns.NO_SUCH_NAME
    assert second.asked == []


def test_what_was_cut_is_asked_again_by_tcp(house: House) -> None:
    many = house.server(
        "127.0.0.1", lambda data, stream: [answer(data, 0, 200) if stream else answer(data, 0, 0, 0x8380)]
    )
    assert house.ask()[2] & 0x02  # the client is told so
    assert house.ask(stream=True) == answer(question("example.org"), 0, 200)
    assert many.asked == [False, True]


def test_servers_that_say_nothing_or_will_not_are_followed_by_others(house: House) -> None:
    silent = house.server("127.0.0.1", lambda _data, _stream: [])
    refuses = house.server("127.0.0.2", lambda data, _: [answer(data, dns.REFUSED, 0)])
    house.server("127.0.0.3", lambda data, _: [answer(data)])
    for stream in (False, True):
        assert house.ask(stream=stream) == answer(question("example.org"))
    assert (silent.asked, refuses.asked) == ([False, True], [False, True])


def test_the_last_servers_unwillingness_is_told(house: House) -> None:
    house.server("127.0.0.1", lambda data, _: [answer(data, dns.REFUSED, 0)])
    assert code(house.ask()) == dns.REFUSED


def test_when_nobody_answers_it_is_a_failure_in_time(house: House) -> None:
    for number in range(1, 6):
        house.server(f"127.0.0.{number}", lambda _data, _stream: [])
    began = time.monotonic()
    assert code(house.ask()) == dns.SERVER_FAILURE
    assert time.monotonic() - began < 0.15 * 3 + 1  # three are asked, and no more


def test_without_a_server_there_is_no_such_name(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "host_servers", list)
    assert code(house.ask()) == dns.NO_SUCH_NAME
    server = house.server("127.0.0.1", lambda data, _: [answer(data)])
    house.around.servers = []
    monkeypatch.setattr(files, "host_servers", lambda: ["not an address", "127.0.0.1"])
    assert house.ask() == answer(question("example.org"))  # the host's, and what is none is passed over
    assert server.asked == [False]


def test_lies_are_not_believed(house: House) -> None:
    def lie(data: bytes, stream: bool) -> list[bytes]:
        other = bytes((data[0] ^ 1, *data[1:]))
        elsewhere = data[:12] + question("example.com")[12:]
        lies = [b"", b"\0", data[:2], data, answer(other), answer(elsewhere), answer(data, flags=0x0180)]
        return [*lies, answer(data)] if not stream else lies[-1:]

    house.server("127.0.0.1", lie)
    assert house.ask() == answer(question("example.org"))
    assert code(house.ask(stream=True)) == dns.SERVER_FAILURE


def test_clients_that_say_nothing_or_noise_are_no_harm(house: House) -> None:
    house.server("127.0.0.1", lambda data, _: [answer(data)])
    with socket.create_connection(house.place) as idle, socket.create_connection(house.place) as liar:
        liar.sendall(b"\0\3abc")
        assert house.ask(stream=True) == answer(question("example.org"))
        idle.settimeout(10)
        liar.settimeout(10)
        assert idle.recv(1) == b""  # its time is over
        assert liar.recv(1) == b""
