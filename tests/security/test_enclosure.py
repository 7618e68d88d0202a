"""The engine's directory on the host, where others live, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs
from utsuwa.engine.enclosure import enclose


@pytest.fixture(params=[0, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def _open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)


def test_it_is_closed(tmp_path: Path, umask: None) -> None:
    """CVE-2021-41091: what containers leave in volumes (programs that run as root, devices) is not for others.

    Proven: the directory was open to all, with the umask of 0 for writing, and nobody ran such a program.
    """
    enclose(str(tmp_path / "new" / "root"))
    assert not _open_to_others(tmp_path / "new" / "root")
    for old, content, closed in (("old", "volumes", True), ("shared", "others", False)):
        for name in (content, "volumes", "images"):
            (tmp_path / old / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / old / name).chmod(0o755)
        (tmp_path / old).chmod(0o755)
        enclose(str(tmp_path / old))
        assert _open_to_others(tmp_path / old) is not closed
    assert _open_to_others(tmp_path / "shared" / "others")
    assert not any(_open_to_others(tmp_path / "shared" / name) for name in ("volumes", "images"))
    (tmp_path / "file").touch()
    enclose(str(tmp_path / "file" / "below"))  # whoever needs it says so


@needs("root")
def test_every_verb_closes_it(tmp_path: Path, umask: None) -> None:
    house = Household(tmp_path)
    house.ok("volume", "create", "one")
    assert not _open_to_others(house.root) and not _open_to_others(house.run_directory)


@needs("root", "overlay", "busybox")
def test_a_tight_umask_is_not_the_containers(tmp_path: Path) -> None:
    """Proven: with root's umask of 077 nobody but root could do anything in a container, not even see its root."""
    house = Household(tmp_path)
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nWORKDIR /made\nUSER 1000\nRUN cat /etc/hosts && ls / /made\n")
    before = os.umask(0o077)
    try:
        house.load(tmp_path)
        script = "cat /etc/hosts /etc/resolv.conf /etc/hostname; ls / /v && mkdir /tmp/mine && echo fine"
        for words in ((), ("--read-only", "--tmpfs", "/tmp")):
            said = house.ok("run", "--rm", "-u", "1000", "-v", "/v", *words, IMAGE, "sh", "-c", script)
            assert said.endswith("fine\n")
        house.ok("build", "-q", str(context))
    finally:
        os.umask(before)
        house.end()


@needs("root", "overlay", "busybox")
def test_sockets_are_their_owners_alone(tmp_path: Path) -> None:
    """In a run directory that somebody else made, as systemd does (RuntimeDirectory=): who may write to the forkserver
    is root. Proven: its socket was open to those who got there.
    """
    house = Household(tmp_path)
    house.run_directory.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        house.load(tmp_path)
        house.ok("run", "-d", IMAGE, "sleep", "1000")
        sockets: list[Path] = []

        def are_there() -> bool:
            sockets[:] = [path for path in house.run_directory.rglob("*") if path.is_socket()]
            return len(sockets) >= 2

        until(are_there)  # a container's own comes a moment after its start
        assert not any(map(_open_to_others, sockets))
    finally:
        os.umask(before)
        house.end()
