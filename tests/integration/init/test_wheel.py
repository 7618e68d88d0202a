"""What pip makes of setup.py: a wheel for the platform, and commands that work where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.needs import needs

pytestmark = needs("cc", "make")
TOP = Path(__file__).resolve().parents[3]


def pip(*arguments: object, cwd: Path | None = None) -> None:
    command = [sys.executable, "-m", "pip", *map(str, arguments), "-q", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(command, cwd=cwd, check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md"):
        shutil.copy(TOP / name, tree)
    shutil.copytree(TOP / "tools", tree / "tools")
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", "utsuwa-init", "modules.frozen")
    shutil.copytree(TOP / "src", tree / "src", ignore=skipped)
    pip("wheel", "--no-build-isolation", "-w", tree / "out", ".", cwd=tree)
    (made,) = (tree / "out").iterdir()
    return made


def test_wheel_is_for_the_platform_and_any_python(wheel):
    version, python, abi, platform = wheel.stem.split("-")[1:]
    assert (python, abi) == ("py3", "none") and platform.startswith("linux_") and version
    with zipfile.ZipFile(wheel) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    scripts = f"utsuwa-{version}.data/scripts"
    for name in ("utsuwa/init/utsuwa-init", f"{scripts}/urun", f"{scripts}/utsuwa"):
        assert modes[name] & 0o111 == 0o111, name
    assert not [name for name in modes if name.endswith((".c", ".h", ".def"))]


def test_installed_commands_run(wheel, tmp_path):
    venv.create(tmp_path / "venv", symlinks=True)
    pip("--python", tmp_path / "venv" / "bin" / "python", "install", "--no-index", wheel)
    done = subprocess.run([tmp_path / "venv" / "bin" / "urun", "--version"], env={}, capture_output=True, check=True)
    assert done.stdout.startswith(b"urun version ") and not done.stderr
    # pip has compiled it: a read-only installation must not pay for that at every start
    assert list((tmp_path / "venv").glob("lib/python*/site-packages/utsuwa/init/__pycache__/spawn.*.pyc"))
