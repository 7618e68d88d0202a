"""`urun explain`: plans for people and programs, and what two bundles differ in, wherever they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from utsuwa.cli import oci

Change = Callable[[dict[str, Any]], None]


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = oci.invoke(["explain", *words])
    out, err = capfd.readouterr()
    return code, out, err


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., str]:
    """A bundle of the default configuration, with changes."""

    def make(name: str, *changes: Change) -> str:
        directory = tmp_path / name
        (directory / "rootfs").mkdir(parents=True)
        oci.invoke(["spec", "--bundle", str(directory)])
        config = json.loads((directory / "config.json").read_text())
        for change in changes:
            change(config)
        (directory / "config.json").write_text(json.dumps(config))
        return str(directory)

    return make


def test_a_plan_in_words_and_for_programs_is_the_same(capfd: pytest.CaptureFixture[str], bundle: Any) -> None:
    path = bundle("one")
    code, out, _ = run(capfd, "--bundle", path)
    assert code == 0
    told, text, _ = run(capfd, "-b", path, "--format", "json")
    found = json.loads(text)["operations"]
    assert told == 0
    assert out.splitlines() == [f"{each['description']}  [{each['section']}]" for each in found]
    names = [each["op"] for each in found]
    assert names[-1] == "EXEC" and "ROOT_BIND" in names and found[-1]["fields"]["args"] == ["sh"]


def test_the_same_in_two_places_is_no_difference(capfd: pytest.CaptureFixture[str], bundle: Any) -> None:
    def mount(config: dict[str, Any]) -> None:
        config["mounts"].append({"destination": "/f", "source": "f", "options": ["bind"]})

    assert run(capfd, "--diff", bundle("one", mount), bundle("other/place", mount)) == (0, "", "")


def test_what_differs_is_told_and_nothing_else(capfd: pytest.CaptureFixture[str], bundle: Any) -> None:
    def change(config: dict[str, Any]) -> None:
        config["hostname"] = "other"
        config["process"]["noNewPrivileges"] = False

    one, other = bundle("one"), bundle("other", change)
    code, out, _ = run(capfd, "--diff", one, other)
    lines = out.splitlines()
    assert code == 1
    assert lines[:2] == [f"--- {one}", f"+++ {other}"]
    changed = [line.split(None, 2) for line in lines[2:] if line[0] in "+-"]
    assert [(each[0], each[2].partition("  [")[0]) for each in changed] == [
        ("-", "set the host name to urun"),
        ("+", "set the host name to other"),
        ("-", "give up gaining privileges by exec (no_new_privs)"),
    ]
    code, out, _ = run(capfd, "--diff", one, other, "--format", "json")
    found = json.loads(out)
    assert code == 1
    assert [(each["op"], bool(each["before"]), bool(each["after"])) for each in found] == [
        ("HOSTNAME", True, False),
        ("HOSTNAME", False, True),
        ("NO_NEW_PRIVS", True, False),
    ]


def test_a_field_that_words_do_not_show_is_named(capfd: pytest.CaptureFixture[str], bundle: Any) -> None:
    def filtered(name: str) -> Change:
        def change(config: dict[str, Any]) -> None:
            rule = {"names": [name], "action": "SCMP_ACT_ERRNO"}
            config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}

        return change

    code, out, _ = run(capfd, "--diff", bundle("one", filtered("mkdir")), bundle("other", filtered("rmdir")))
    assert code == 1
    assert out.count("(program differs)") == 2, out


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--diff", "one"], "needs two bundles"),
        (["--diff"], "needs two bundles"),
        (["one"], "unexpected argument"),
        (["--diff", "one", "/nowhere"], "/nowhere: no such file"),
        (["--format", "table"], "use text or json"),
    ],
)
def test_trouble_is_2(
    capfd: pytest.CaptureFixture[str], bundle: Any, words: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(bundle("one")).parent)
    code, out, err = run(capfd, *words)
    assert (code, out) == (2, "")
    assert problem in err
