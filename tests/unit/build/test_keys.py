"""Agents that are made for the keys of files."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from utsuwa.build.agents import parse
from utsuwa.build.keys import KeyAgent
from utsuwa.errors import InvalidArgument, NotFound

pytestmark = pytest.mark.skipif(not shutil.which("ssh-agent"), reason="no ssh-agent")


def key(path: Path, passphrase: str = "") -> str:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "mine", "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return str(path)


def identities(path: str) -> int:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(path)
        asking.sendall(b"\0\0\0\1\x0b")
        answer = asking.recv(4096)
    return int.from_bytes(answer[5:9], "big") if answer[4] == 12 else -1


def test_an_agent_with_two_keys(tmp_path: Path) -> None:
    first, second = key(tmp_path / "first"), key(tmp_path / "second")
    os.chmod(first, 0o644)  # Docker does not mind either
    (tmp_path / "agent.d").mkdir()
    made: list[KeyAgent] = []

    def agent_of(name: str, files: list[str]) -> str:
        made.append(KeyAgent(name, files, str(tmp_path / "agent.d")))
        return made[0].path

    try:
        found = parse([f"mine={first},{second}"], agent_of)
        assert identities(found["mine"]) == 2
    finally:
        made[0].close()
    with pytest.raises(ConnectionRefusedError if os.path.exists(found["mine"]) else FileNotFoundError):
        identities(found["mine"])


@pytest.mark.parametrize("passphrase", [None, "secret"])
def test_what_is_no_key_of_use(tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "file"
    if passphrase is None:
        path.write_text("no key")
    else:
        key(path, passphrase)
    with pytest.raises(InvalidArgument, match=r"ssh mine: .*/file: .*ssh-add, --ssh mine"):
        KeyAgent("mine", [str(path)], str(tmp_path))


def test_without_openssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("utsuwa.build.keys._ENVIRONMENT", {"PATH": str(tmp_path)})
    with pytest.raises(NotFound, match="install openssh-client"):
        KeyAgent("mine", ["/nosuch"], str(tmp_path))
