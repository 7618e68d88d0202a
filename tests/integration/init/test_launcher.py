"""The launcher: which interpreter, which package, whatever the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[3] / "src" / "utsuwa" / "init" / "c"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PROGRAM = """
import os, sys
def main():
    flags = sys.flags.isolated, sys.flags.no_site, sys.flags.utf8_mode
    print(__name__, sys.argv[0], sys.argv[1:], *flags, "ctypes" in sys.modules)
    print(sys.path[0], sys.path[-1], os.environ.get("KEPT"))
    return 7
"""


PYTHON = os.path.realpath(sys.executable)


def build(path: Path, *, package: str = "", python: str = PYTHON, version: str = VERSION) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"PYTHON": python, "VERSION": version, "PACKAGE": package}
    defines = " ".join(f"'-D{name}=\"{value}\"'" for name, value in values.items())
    subprocess.run(["make", "-s", "-B", "-C", SOURCES, "launcher", f"OUT={path}", f"DEFINES={defines}"], check=True)
    return path


def package(directory: Path) -> Path:
    """A dummy of the package."""
    (directory / "utsuwa" / "cli").mkdir(parents=True)
    for name in ("__init__", "cli/__init__"):
        (directory / "utsuwa" / f"{name}.py").write_text("")
    for name in ("oci", "main"):
        (directory / "utsuwa" / "cli" / f"{name}.py").write_text(PROGRAM)
    return directory


def call(program: Path, *arguments: str, argv0: str | None = None) -> subprocess.CompletedProcess[str]:
    hostile = {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere", "LC_ALL": "C", "KEPT": "yes", "PATH": ""}
    command = [argv0 or str(program), *arguments]
    return subprocess.run(command, executable=program, env=hostile, capture_output=True, text=True, check=False)


def test_installed_in_an_environment(tmp_path):
    site = package(tmp_path / "lib" / f"python{VERSION}" / "site-packages")
    result = call(build(tmp_path / "bin" / "urun"), "state", "ä b", "")
    assert (result.returncode, result.stderr) == (7, "")
    first, second = result.stdout.splitlines()
    assert first == f"utsuwa.cli.oci {tmp_path}/bin/urun ['state', 'ä b', ''] 1 1 1 False"
    assert second.split()[0] == str(site) and second.split()[1] != str(site) and second.endswith("yes")


def test_the_people_s_command_sees_the_other_packages(tmp_path):
    source = package(tmp_path / "src")
    site = tmp_path / "lib" / f"python{VERSION}" / "site-packages"
    site.mkdir(parents=True)
    result = call(build(tmp_path / "bin" / "utsuwa", package=str(source)), "ps")
    first, second = result.stdout.splitlines()
    assert first.startswith(f"utsuwa.cli.main {tmp_path}/bin/utsuwa ['ps'] 1 1 1")
    assert second.split()[:2] == [str(source), str(site)]


def test_link_of_another_name_is_followed(tmp_path):
    source = package(tmp_path / "src")
    build(tmp_path / "bin" / "urun", package=str(source))
    (tmp_path / "runc").symlink_to("bin/urun")
    assert call(tmp_path / "runc", argv0="runc").stdout.startswith("utsuwa.cli.oci runc []")


def test_interpreter_that_has_moved(tmp_path):
    """The one of the environment takes its place."""
    package(tmp_path / "lib" / f"python{VERSION}" / "site-packages")
    program = build(tmp_path / "bin" / "urun", python="/nowhere/python3")
    (tmp_path / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
    assert call(program).stdout.startswith(f"utsuwa.cli.oci {program} []")


def test_package_that_is_missing(tmp_path):
    result = call(build(tmp_path / "bin" / "urun"))
    assert result.returncode == 1
    assert result.stderr == (
        "urun: the Python package utsuwa is not where this program was installed: install it again\n"
    )


def test_package_of_another_version_of_python(tmp_path):
    """A wheel built by one version and installed by another: the environment's interpreter is asked."""
    venv.create(tmp_path, symlinks=True)
    program = build(tmp_path / "bin" / "urun", version="2.7")
    result = call(program)
    assert (result.returncode, result.stderr) == (1, "No module named 'utsuwa': install utsuwa again\n")
    package(tmp_path / "lib" / f"python{VERSION}" / "site-packages")
    result = call(program, "state", "x")
    assert (result.returncode, result.stderr) == (7, "")
    assert result.stdout.startswith(f"utsuwa.cli.oci {program} ['state', 'x'] 1 0 1")


@pytest.mark.parametrize("name", ["utsuwa-init", "urun"])
def test_programs_are_static_small_and_without_relocations(tmp_path, name):
    if name == "urun":
        path = build(tmp_path / "urun")
    else:
        path = tmp_path / name
        subprocess.run(["make", "-s", "-B", "-C", SOURCES, f"OUT={path}"], check=True)
    assert path.stat().st_size < 100_000
    listing = subprocess.run(["readelf", "-Wlrd", path], capture_output=True, text=True, check=True).stdout
    assert "INTERP" not in listing and "NEEDED" not in listing
    assert "no relocations" in listing and "RWE" not in listing and "GNU_RELRO" in listing
