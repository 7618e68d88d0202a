"""What pip makes of setup.py: a wheel for the platform, and commands that work where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.integration.documents import busybox_pulled, examples  # noqa: F401
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


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and nothing else in it, not even pip."""
    directory = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(directory, symlinks=True)
    pip("--python", directory / "bin" / "python", "install", "--no-index", wheel)
    return directory


def test_installed_commands_run(installed):
    done = subprocess.run([installed / "bin" / "urun", "--version"], env={}, capture_output=True, check=True)
    assert done.stdout.startswith(b"urun version ") and not done.stderr
    # pip has compiled it: a read-only installation must not pay for that at every start
    assert list(installed.glob("lib/python*/site-packages/utsuwa/init/__pycache__/spawn.*.pyc"))
    assert list(installed.glob("lib/python*/site-packages/utsuwa/py.typed"))


@needs("root", "overlay", "busybox")
def test_readmes_python_example_runs_as_written(installed, busybox_pulled, tmp_path):  # noqa: F811
    """Without the dependencies: running containers of local images needs Python alone. (They are for registries.)"""
    for example in examples("README.md"):
        (tmp_path / "example.py").write_text(example.code)
        command = [installed / "bin" / "python", tmp_path / "example.py"]
        done = subprocess.run(command, env=busybox_pulled, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == (example.printed, "")
