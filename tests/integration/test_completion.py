"""Completion in shells: what is offered where, and that bash takes our script."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("completion")
    household = Household(directory)
    household.load(directory)
    household.ok("create", "--name", "idle", IMAGE)
    household.ok("run", "-d", "--name", "busy", IMAGE, "sleep", "1000")
    household.ok("volume", "create", "store")
    yield household
    household.end()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("pau", ["pause"]),
        ("--debug --config dir unp", ["unpause"]),
        ("container pru", ["prune"]),
        ("volume ", ["create", "inspect", "list", "ls", "prune", "remove", "rm"]),
        ("rm ", ["busy", "idle"]),
        ("rm -f i", ["idle"]),
        ("rm idle b", ["busy"]),
        ("stop ", ["busy"]),
        ("start ", ["idle"]),
        ("container start ", ["idle"]),
        ("exec -u nobody -it ", ["busy"]),
        ("exec busy ", []),
        ("cp b", ["busy:"]),
        ("run ut", ["utsuwa/test", "utsuwa/test:latest"]),
        ("run --restart un", ["unless-stopped"]),
        ("run --name ", []),
        ("rename --h", ["--help"]),
        ("ps --no", ["--no-trunc"]),
        ("inspect u", ["utsuwa/test", "utsuwa/test:latest"]),
        ("volume rm ", ["store"]),
        ("completion f", ["fish"]),
        ("nosuch ", []),
    ],
)
def test_what_is_offered(house: Household, line: str, offered: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from utsuwa.cli.completion import candidates

    for name in ("UTSUWA_ROOT", "UTSUWA_RUN"):
        monkeypatch.setenv(name, house.environment[name])
    assert candidates(line.split(" ")) == offered


def test_bash_takes_the_script(house: Household, tmp_path: Path) -> None:
    program = tmp_path / "utsuwa"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(house.command())} "$@"\n')
    program.chmod(0o755)
    script = house.ok("completion", "bash") + 'COMP_WORDS=(utsuwa rm b); COMP_CWORD=2; _utsuwa; echo "${COMPREPLY[@]}"'
    environment = {**house.environment, "PATH": f"{tmp_path}:{house.environment['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("busy\n", "")


def test_scripts_for_all_shells(house: Household) -> None:
    assert house.ok("completion", "zsh").startswith("#compdef utsuwa\n")
    assert "complete -c utsuwa" in house.ok("completion", "fish")
    assert "bash, zsh, fish" in house("completion", "tcsh").stderr.decode()
