"""How long a forkserver stays: until nobody has come for a while, and none of its monitors is left."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import Household, until
from utsuwa.init import spawn
from utsuwa.monitor import forkserver, frames


@pytest.fixture(params=[0.2])
def house(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Household]:
    """A run directory with a forkserver that has so many seconds of patience."""
    household = Household(tmp_path)
    household.run_directory.mkdir(0o700)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(household.run_directory / "s"))
    listener.listen()
    if os.fork() == 0:
        try:
            log = os.open(household.run_directory / "forks.log", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 2)
            os.close(log)
            os.dup2(listener.fileno(), forkserver.LISTENER)
            os.closerange(forkserver.LISTENER + 1, 1 << 10)
            os.set_inheritable(forkserver.LISTENER, False)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            spawn._sealed = -1  # of a test before
            forkserver.serve(forkserver.LISTENER, str(household.run_directory / "s"), ["/bin/false"], request.param)
        finally:
            os._exit(0)
    listener.close()
    yield household
    household.end()


def enter(house: Household) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(house.run_directory / "s"))
    return client


def test_nobody_comes(house: Household) -> None:
    os.wait()
    until(lambda: house._family() == [])
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
        client.connect(str(house.run_directory / "s"))


@pytest.mark.parametrize("house", [3.0], indirect=True)
def test_a_client_that_has_come_is_served(house: Household) -> None:
    """Until it leaves, however long that takes; and others are let in meanwhile."""
    until(lambda: bool(house._family()))
    first, second = enter(house), enter(house)
    first.sendall(frames.header(frames.START, 2))
    second.sendall(frames.header(frames.START, frames.LIMIT + 1))
    assert second.recv(10) == b""  # turned away
    third = enter(house)
    first.sendall(b"{}")
    assert first.recv(8) == frames.pack(frames.ACCEPTED)
    for each in (first, second, third):
        each.close()
    os.wait()
    until(lambda: house._family() == [])
