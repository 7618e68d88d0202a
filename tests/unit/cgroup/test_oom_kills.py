"""The kernel's count of processes that it killed for want of memory."""

from __future__ import annotations

from pathlib import Path

from utsuwa.cgroup.v1 import V1Manager
from utsuwa.cgroup.v2 import V2Manager


def test_v1(tmp_path: Path) -> None:
    manager = V1Manager({"memory": str(tmp_path)}, {"memory": str(tmp_path / "box")})
    assert manager.oom_kills() == 0
    (tmp_path / "box").mkdir()
    assert manager.oom_kills() == 0
    (tmp_path / "box/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert manager.oom_kills() == 2


def test_v2(tmp_path: Path) -> None:
    manager = V2Manager(str(tmp_path), str(tmp_path / "box"))
    assert manager.oom_kills() == 0
    (tmp_path / "box").mkdir()
    (tmp_path / "box/memory.events").write_text("low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\n")
    assert manager.oom_kills() == 1
    assert V2Manager(str(tmp_path), "", absent=True).oom_kills() == 0
