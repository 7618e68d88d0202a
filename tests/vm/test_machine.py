"""The machine's exit status arrives, whatever becomes of the machine. The machines here are shell scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vm import initramfs, machine


@pytest.fixture
def status(tmp_path: Path) -> Path:
    """An empty status disk."""
    path = tmp_path / "status"
    path.write_bytes(bytes(512))
    return path


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("printf 'status 0\\n' >{}", 0),
        ("printf 'status 7\\n' >{}; exit 3", 7),
        ("printf 'running\\n' >{}", 125),
        ("true", 125),
    ],
)
def test_the_status_is_what_the_disk_says(status: Path, script: str, expected: int) -> None:
    assert machine.boot(["sh", "-c", script.format(status)], status) == expected


def test_a_machine_that_does_not_come_up_is_started_again(status: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = f"echo started >>{log}; [ $(wc -l <{log}) = 1 ] || printf 'status 0\\n' >{status}"
    assert machine.boot(["sh", "-c", script], status) == 0
    assert log.read_text() == "started\nstarted\n"


def test_a_machine_that_takes_too_long_is_stopped(status: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UTSUWA_VM_TIMEOUT", "0")
    script = f"printf 'running\\n' >{status}; exec sleep 1000"
    assert machine.boot(["sh", "-c", script], status) == 124


def test_modules_come_after_what_they_need(tmp_path: Path) -> None:
    for name, needed in (("a", "b_c,d"), ("b-c", "d"), ("d", "")):
        (tmp_path / f"{name}.ko").write_bytes(b"ELF\0license=GPL\0depends=" + needed.encode() + b"\0name=x\0")
    assert [path.name for path in initramfs.load_order(tmp_path, ("a", "d"))] == ["d.ko", "b-c.ko", "a.ko"]


def test_arguments_reach_pytest_as_they_were_given() -> None:
    assert machine.command(["-k", "a or b"]).endswith("-p no:cacheprovider -k 'a or b'\n")
    assert machine.command(["--shell", "echo hi; exit 3"]) == "echo hi; exit 3\n"
