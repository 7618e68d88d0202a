"""Classes of service: which directories are made, what is written to them, and what is left when a container goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.played_resctrl import Kernel
from utsuwa.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from utsuwa.linux import resctrl
from utsuwa.spec.seldom import IntelRdt
from utsuwa.spec.validate_seldom import schemata


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path / "resctrl", monkeypatch)


def test_a_class_of_its_own_comes_and_goes_with_a_container(kernel: Kernel) -> None:
    group = resctrl.group(None, "web", False)
    group.make(("L3:0=f;1=ff", "MB:0=20"))
    assert kernel.schemata("web") == "L3:0=f;1=ff\nMB:0=20\n"
    assert group.directories() == (f"{kernel.root}/web",)
    group.remove()
    assert not (kernel.root / "web").exists()
    group.remove()


def test_without_schemata_nothing_is_written(kernel: Kernel) -> None:
    resctrl.group(None, "web", False).make(())
    assert "fffff" in kernel.schemata("web")


def test_a_class_with_a_name_is_left_for_others(kernel: Kernel) -> None:
    group = resctrl.group("gold", "web", True)
    group.make(("L3:0=f",))
    assert group.directories() == (f"{kernel.root}/gold", f"{kernel.root}/gold/mon_groups/web")
    group.remove()
    assert (kernel.root / "gold").exists() and not (kernel.root / "gold/mon_groups/web").exists()


def test_a_class_with_a_name_and_nothing_to_share_must_be_there(kernel: Kernel) -> None:
    with pytest.raises(NotFound, match="there is no class "):
        resctrl.group("gold", "web", False).make(())
    assert not (kernel.root / "gold").exists()
    (kernel.root / "gold").mkdir()
    resctrl.group("gold", "web", False).make(())


def test_a_class_that_is_there_must_share_out_the_same(kernel: Kernel) -> None:
    resctrl.group("gold", "one", False).make(("L3:0=f;1=0ff", "MB:0=20"))
    resctrl.group("gold", "two", False).make(("L3:1=FF;0=00f",))
    with pytest.raises(Conflict, match="shares L3:0 out differently"):
        resctrl.group("gold", "two", False).make(("L3:0=ff",))
    with pytest.raises(Conflict, match="shares MB:1 out differently"):
        resctrl.group("gold", "two", False).make(("MB:1=20",))


def test_the_default_class_is_the_root(kernel: Kernel) -> None:
    group = resctrl.group("/", "web", True)
    group.make(())
    assert group.directories() == (str(kernel.root), f"{kernel.root}/mon_groups/web")
    group.remove()
    assert kernel.root.is_dir() and not (kernel.root / "mon_groups/web").exists()


def test_what_the_kernel_has_against_it_is_said(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    (kernel.root / "info/last_cmd_status").write_text("mask 5 has non-consecutive 1-bits\n")

    def refuse(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    group = resctrl.group(None, "web", False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        with pytest.raises(InvalidArgument) as caught:
            group.make(("L3:0=5",))
    assert str(caught.value) == (
        f'linux.intelRdt: write "L3:0=5" to {kernel.root}/web/schemata: invalid argument, '
        "last_cmd_status: mask 5 has non-consecutive 1-bits"
    )


def test_a_host_without_it_says_what_to_do() -> None:
    with open("/proc/self/mountinfo") as mounts:
        if " - resctrl " in mounts.read():
            pytest.skip("this host has resctrl")
    with pytest.raises(FailedPrecondition, match="mount -t resctrl"):
        resctrl.group(None, "web", False)


def test_bandwidth_among_caches_gives_way() -> None:
    wanted = IntelRdt(l3CacheSchema="L3:0=f\nMB:0=5\nL2:0=1", memBwSchema="MB:0=20", schemata=("L3CODE:0=1",))
    assert schemata(wanted) == ("L3:0=f", "L2:0=1", "MB:0=20", "L3CODE:0=1")
    assert schemata(IntelRdt(l3CacheSchema="MB:0=5")) == ("MB:0=5",)
    assert schemata(IntelRdt()) == ()
