"""The conversation with CRIU, against one that says what it is told to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.criu.fake import install
from utsuwa.criu import messages, service
from utsuwa.criu.messages import Response
from utsuwa.criu.wire import field, fields
from utsuwa.errors import Unavailable, Unsupported


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(service, "_USUAL_PATH", "/nonexistent")


def answer(kind: int, *more: bytes, success: bool = True) -> bytes:
    return field(1, kind) + field(2, success) + b"".join(more)


def of_version(major: int, minor: int, sublevel: int) -> bytes:
    version = field(1, major) + field(2, minor) + field(4, sublevel)
    return answer(messages.VERSION, field(10, version))


def test_criu_may_be_missing() -> None:
    with pytest.raises(Unsupported, match=r"criu is not installed.*install criu 3\.15 or newer"):
        service.version()


def test_a_version(tmp_path: Path) -> None:
    asked = install(tmp_path, [of_version(3, 17, 1)])
    assert service.version() == 31701
    assert fields(bytes.fromhex(asked.read_text())) == {1: [messages.VERSION]}


def test_an_old_version_is_refused(tmp_path: Path) -> None:
    install(tmp_path, [of_version(3, 11, 0)])
    with pytest.raises(Unsupported, match=r"criu 3\.11 is too old: install 3\.15 or newer"):
        service.version()


def test_a_feature_that_is_missing(tmp_path: Path) -> None:
    asked = install(tmp_path, [answer(messages.FEATURE_CHECK, field(8, field(messages.LAZY_PAGES, 1)))])
    with pytest.raises(Unsupported, match="criu is missing features on this kernel: MemTrack"):
        service.require(messages.MEM_TRACK)
    request = fields(bytes.fromhex(asked.read_text()))
    assert request == {1: [messages.FEATURE_CHECK], 5: [field(messages.MEM_TRACK, 1)]}


def test_a_feature_that_is_there(tmp_path: Path) -> None:
    install(tmp_path, [answer(messages.FEATURE_CHECK, field(8, field(messages.MEM_TRACK, 1)))])
    service.require(messages.MEM_TRACK)


def test_notifications_are_answered_in_their_order(tmp_path: Path) -> None:
    def notification(script: str, pid: int = 0) -> bytes:
        return answer(messages.NOTIFY, field(5, field(1, script) + (field(2, pid) if pid else b"")))

    asked = install(
        tmp_path,
        [notification("setup-namespaces", 77)],
        [notification("post-restore", 77)],
        [answer(messages.RESTORE, field(4, field(1, 77)))],
    )
    seen = []
    criu = service.Service.start()
    response = criu.ask(messages.request(messages.RESTORE), lambda told, _: seen.append((told.script, told.pid)))
    assert (response.kind, response.success, response.pid) == (messages.RESTORE, True, 77)
    assert seen == [("setup-namespaces", 77), ("post-restore", 77)]
    assert [line == messages.reply().hex() for line in asked.read_text().split()] == [False, True, True]
    assert criu.close() == 0


def test_a_failure_is_an_answer(tmp_path: Path) -> None:
    install(tmp_path, [answer(messages.DUMP, field(7, 17), field(9, "Error: too much\n"), success=False)])
    criu = service.Service.start()
    response = criu.ask(messages.request(messages.DUMP))
    assert (response.success, response.errno, response.message) == (False, 17, "Error: too much")
    criu.close()


def test_criu_may_end_without_an_answer(tmp_path: Path) -> None:
    install(tmp_path, [], status=3)
    criu = service.Service.start()
    with pytest.raises(Unavailable, match="criu ended in the middle of its work: exit status 3"):
        criu.ask(messages.request(messages.DUMP))


def test_nothing_stays_open(tmp_path: Path) -> None:
    install(tmp_path, [of_version(4, 0, 0)])
    before = set(os.listdir("/proc/self/fd"))
    service.version()
    assert set(os.listdir("/proc/self/fd")) == before


def test_options_that_are_not_set_are_not_sent() -> None:
    assert messages.options(shell_job=False, log_file="", ext_mnt=[]) == b""
    assert fields(messages.options(manage_cgroups_mode=0, pid=12, shell_job=True)) == {34: [0], 2: [12], 7: [1]}
    several = messages.options(external=["net[1]:a", "pid[2]:b"])
    assert fields(several) == {37: [b"net[1]:a", b"pid[2]:b"]}


def test_the_errors_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "dump.log"
    log.write_text(
        "(00.1) Running\n(00.1) Error (criu/util.c:1): rlimit: Can't setup RLIMIT_NOFILE for self: no\n"
        + "".join(f"(00.2) Error (criu/mount.c:2): mnt: no way {number}\n" for number in range(5))
        + "(00.3) Error (criu/cr-dump.c:3): Dumping FAILED.\n"
    )
    assert service.errors(str(log)) == "mnt: no way 2; mnt: no way 3; mnt: no way 4"
    assert service.errors(str(tmp_path / "none")) == ""


def test_a_response_of_nothing() -> None:
    response = Response(b"")
    assert (response.kind, response.success, response.pid, response.features) == (0, False, 0, set())
