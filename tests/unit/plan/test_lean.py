"""Planning is on the way of every container start: nothing heavy may be loaded by it, not even at the first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import utsuwa

SOURCE = Path(utsuwa.__file__).parent.parent

HEAVY = {
    "argparse", "ast", "asyncio", "collections", "contextlib", "dataclasses", "enum", "functools", "inspect", "json",
    "logging", "pathlib", "re", "shutil", "signal", "socket", "subprocess", "tempfile", "typing",
}  # fmt: skip

SCRIPT = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
from utsuwa.linux.host import probe
from utsuwa.plan.create import create
from utsuwa.plan.exec import execute
from utsuwa.plan.options import CreateOptions, ExecOptions
from utsuwa.spec.default import default_spec
spec, host = default_spec(), probe()
plan = create(spec.replace(mounts=spec.mounts[:6]), host, CreateOptions(bundle="/b", root="/b/rootfs"))
execute(spec.process, spec, host, ExecOptions())
print("utsuwa.plan.words" in sys.modules)
plan.describe()
print(" ".join(sys.modules))
"""


def test_planning_and_describing_load_no_heavy_module() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", "-c", SCRIPT], capture_output=True, text=True, check=True)
    words, loaded = done.stdout.splitlines()
    assert words == "False", "words are for failures and explain only"
    assert not HEAVY.intersection(loaded.split())
    assert not {name for name in loaded.split() if name.startswith("utsuwa.seccomp")}, "plans take programs as values"
