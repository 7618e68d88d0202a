"""Groups by name, from hostile layers; and limits held against the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utsuwa.engine.groups import resolve_groups
from utsuwa.engine.limits import check_limits, stop_signal
from utsuwa.errors import InvalidArgument, NotFound
from utsuwa.spec.request import RunRequest


def layer(directory: Path, group: str) -> str:
    (directory / "etc").mkdir(parents=True)
    (directory / "etc/group").write_text(group)
    return str(directory)


def test_groups(tmp_path: Path) -> None:
    top = layer(tmp_path / "top", "tty:x:5:\nstaff:x:50:a,b\nodd\nstaff:x:51:\nbad:x:y:\n")
    base = layer(tmp_path / "base", "old:x:9:\n")
    assert resolve_groups(("tty", "7", "staff"), [top, base]) == (5, 7, 50)
    for unknown in ("old", "bad", "odd", ""):
        with pytest.raises(NotFound, match=f"Unable to find group {unknown}"):
            resolve_groups((unknown,), [top, base])
    for too_large in ("2147483648", "0" * 20 + "1"):  # cut off, the second one would be group 0
        with pytest.raises(InvalidArgument, match="is not from 0 to"):
            resolve_groups((too_large,), [])
    with pytest.raises(NotFound):
        resolve_groups(("tty",), [])


def test_no_link_of_an_image_leads_to_the_host(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret:x:1:\n")
    tree = Path(layer(tmp_path / "tree", ""))
    (tree / "etc/group").unlink()
    for target in (str(tmp_path / "outside"), "../../outside", "/etc/group"):
        (tree / "etc/group").symlink_to(target)
        with pytest.raises(NotFound):
            resolve_groups(("secret",), [str(tree)])
        (tree / "etc/group").unlink()
    os.mkfifo(tree / "etc/group")
    with pytest.raises(NotFound):
        resolve_groups(("secret",), [str(tree)])
    (tree / "etc/group").unlink()
    (tree / "usr").mkdir()
    (tree / "usr/group").write_text("moved:x:3:\n")
    (tree / "etc/group").symlink_to("../usr/group")
    assert resolve_groups(("moved",), [str(tree)]) == (3,)


def test_limits() -> None:
    cpus = os.cpu_count() or 1
    check_limits(RunRequest(image="x", nano_cpus=cpus * 10**9, cpuset_cpus="0", stop_signal="RTMIN+1"))
    for wrong in (
        {"nano_cpus": cpus * 10**9 + 1},
        {"nano_cpus": 1},
        {"cpuset_cpus": "0,9999"},
        {"cpuset_cpus": "1-0"},
        {"cpuset_cpus": "a"},
        {"cpuset_cpus": "0-99999999999"},
        {"stop_signal": "BOGUS"},
    ):
        with pytest.raises(InvalidArgument):
            check_limits(RunRequest(image="x", **wrong))


def test_stop_signals() -> None:
    assert stop_signal("int") == 2
    for text in ("0", "SIGWHAT", "", "65"):
        with pytest.raises(InvalidArgument, match=f"Invalid signal: {text}$"):
            stop_signal(text)
