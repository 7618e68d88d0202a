"""Plugins of the CNI as processes: which they are, what they may say, how long they may take."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from utsuwa.errors import FailedPrecondition, InvalidArgument, Unavailable, Unsupported
from utsuwa.network.cni import plugins


def plugin(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def listed(*types: str, **more: Any) -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": each} for each in types], **more}


def call(directory: Path) -> plugins.Call:
    return plugins.Call("c" * 64, "eth0", "/proc/1/ns/net", f"/nowhere:{directory}", {})


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('{"cniVersion": "0.3.1", "name": "n", "type": "x"}', "0.3.1"),
        ('{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "x"}]}', "1.0.0"),
        ('{"cniVersions": ["1.0.0", "1.1.0", "2.0.0"], "name": "n", "plugins": [{"type": "x"}]}', "1.1.0"),
    ],
)
def test_the_version_is_the_last_that_both_speak(text: str, version: str) -> None:
    found = plugins.read(text.encode(), "it")
    assert found["cniVersion"] == version
    assert [each["type"] for each in found["plugins"]] == ["x"]


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "{}",
        '{"name": "n", "plugins": []}',
        '{"name": "n", "plugins": [1]}',
        '{"name": 1, "plugins": [{"type": "x"}]}',
    ]
    + ['{"name": "n", "plugins": [{"type": "a/b"}]}', "\\"],
)
def test_what_is_no_configuration(text: str) -> None:
    with pytest.raises(InvalidArgument):
        plugins.read(text.encode(), "it")


def test_versions_that_nobody_speaks() -> None:
    with pytest.raises(Unsupported, match=r"is of CNI version 0\.1\.0"):
        plugins.read(b'{"name": "n", "plugins": [{"type": "x"}]}', "it")


def test_results_are_handed_on_and_taken_back_in_reverse(tmp_path: Path) -> None:
    plugin(tmp_path, "one", f'echo "$CNI_COMMAND one $(cat)" >>{tmp_path}/log; echo \'{{"ips": []}}\'')
    plugin(tmp_path, "two", f'echo "$CNI_COMMAND two $(cat)" >>{tmp_path}/log; echo \'{{"ips": [1]}}\'')
    result = plugins.add(listed("one", "two"), call(tmp_path))
    assert result == {"ips": [1]}
    plugins.check(listed("one", "two"), call(tmp_path), result)
    plugins.check(listed("one", "two", disableCheck=True), call(tmp_path), result)
    plugins.delete(listed("one", "two"), call(tmp_path), result)
    said = [line.split()[:2] for line in (tmp_path / "log").read_text().splitlines()]
    assert said == [["ADD", "one"], ["ADD", "two"], ["CHECK", "one"], ["CHECK", "two"], ["DEL", "two"], ["DEL", "one"]]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('echo \'{"code": 7, "msg": "no", "details": "more"}\'; exit 1', r"plugin bad \(ADD\) failed: no: more"),
        ('echo \'{"code": 7, "msg": "no"}\'', r"failed: no"),
        ("echo oops >&2; exit 3", r"failed: oops"),
        ("exit 3", r"failed: it ended with status 3"),
        ("kill -9 $$", r"failed: it ended with status -9"),
        ("printf '\\033[2Jx' >&2; exit 1", r"failed: \\x1b\[2Jx"),
        ("echo '[]'", r"gave no result"),
        ("true", r"gave no result"),
    ],
)
def test_failures_are_told_in_the_plugins_words(tmp_path: Path, script: str, said: str) -> None:
    plugin(tmp_path, "bad", script)
    with pytest.raises(FailedPrecondition, match=said):
        plugins.add(listed("bad"), call(tmp_path))


def test_all_are_asked_to_take_back_though_one_fails(tmp_path: Path) -> None:
    plugin(tmp_path, "good", f"touch {tmp_path}/asked")
    plugin(tmp_path, "bad", "exit 1")
    with pytest.raises(FailedPrecondition, match=r"plugin bad \(DEL\)"):
        plugins.delete(listed("good", "bad"), call(tmp_path), None)
    assert (tmp_path / "asked").exists()
    with pytest.raises(FailedPrecondition, match="plugin missing is not in /nowhere:"):
        plugins.delete(listed("missing"), call(tmp_path), None)


def test_one_that_does_not_end_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_LIMIT", 0.2)
    plugin(tmp_path, "slow", f"sleep 1000 & echo $! >{tmp_path}/child; wait")
    with pytest.raises(Unavailable, match=r"plugin slow \(ADD\) did not end within 0 seconds, and was killed"):
        plugins.add(listed("slow"), call(tmp_path))
    child = int((tmp_path / "child").read_text())
    assert not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes()


def test_its_status_is_heard_where_children_are_ignored(tmp_path: Path) -> None:
    plugin(tmp_path, "bad", "exit 4")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(FailedPrecondition, match="status 4"):
            plugins.delete(listed("bad"), call(tmp_path), None)
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_strays_of_a_container_are_ended(tmp_path: Path) -> None:
    mark = os.urandom(32).hex()
    script = tmp_path / "stray"
    script.write_text("#!/bin/sh\nsleep 1000\n")
    script.chmod(0o755)
    pid = os.posix_spawn(str(script), ["stray"], {"CNI_CONTAINERID": mark, "PATH": "/bin:/usr/bin"}, setpgroup=0)
    plugins.end_strays("0" * 64)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    plugins.end_strays(mark)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
