"""Build what pip can't guess: the executor and the guard beside their Python sides, and the launchers as scripts.

All else is in pyproject.toml. The programs are static C without a C library, so a wheel fits every Linux of its
architecture; the launchers have the interpreter's path baked in, and an editable installation's the source directory.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools < 70.1
    from wheel.bdist_wheel import bdist_wheel

from distutils.command.build_scripts import build_scripts

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src" / "utsuwa" / "init" / "c"
LAUNCHERS = ("urun", "utsuwa")


def freeze(package: Path, target: Path, *options: str) -> None:
    """All modules in one file for a quick start, see tools/freeze.py."""
    subprocess.run([sys.executable, str(HERE / "tools" / "freeze.py"), str(package), str(target), *options], check=True)


def make(*arguments: str) -> None:
    """Run the Makefile of the C programs."""
    subprocess.run(["make", "-s", "-B", "-C", str(SOURCES), *arguments], check=True)


class BuildPackage(build_py):
    """The package, with its programs in it; byte code at once for an editable installation, as pip does for others."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            make()
            make("guard")
            package = HERE / "src" / "utsuwa"
            compileall.compile_dir(str(package), quiet=1, legacy=False)
            freeze(package, package / "cli" / "modules.frozen", "--stamped")
        else:
            package = Path(self.build_lib).resolve() / "utsuwa"
            make(f"OUT={package / 'init' / 'utsuwa-init'}")
            make("guard", f"GUARD={package / 'monitor' / 'utsuwa-guard'}")
            freeze(package, package / "cli" / "modules.frozen")


class BuildLaunchers(build_scripts):
    """The launchers in place of scripts (the base class would read them as text to adjust their first line)."""

    def run(self) -> None:
        directory = Path(self.build_dir).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        editable = self.get_finalized_command("build_py").editable_mode
        values = {
            "PYTHON": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
            "VERSION": f"{sys.version_info.major}.{sys.version_info.minor}",
            "PACKAGE": str(HERE / "src") if editable else "",
        }
        for name in LAUNCHERS:
            if not self.embed(directory / name, values, editable):
                defines = " ".join(f"'-D{name}=\"{value}\"'" for name, value in values.items())
                make("launcher", f"OUT={directory / name}", f"DEFINES={defines}")

    def embed(self, target: Path, values: dict[str, str], editable: bool) -> bool:
        """A command with its interpreter inside, where this machine can build that (decision 0004)."""
        package = Path(self.get_finalized_command("build_py").build_lib).resolve() / "utsuwa"
        home = f"/usr/lib/python{values['VERSION']}/site-packages"  # replaced at the start by where it really is
        if editable:
            package, home = HERE / "src" / "utsuwa", str(HERE / "src")
        options = ["--stamped"] if editable else []
        defines = [f'-D{name}="{value}"' for name, value in values.items()]
        command = [sys.executable, str(HERE / "tools" / "image.py"), str(package), str(target), home]
        done = subprocess.run([*command, *options, *defines], check=False)
        if done.returncode not in (0, 3):
            raise SystemExit(f"setup: tools/image.py ended with {done.returncode}")
        return done.returncode == 0


class PlatformWheel(bdist_wheel):
    """Tagged for the platform, but for every Python 3 and every ABI: there is no extension module in it."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


class PlatformDistribution(Distribution):
    """Has compiled programs in it, so it goes where platform-specific packages go."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    distclass=PlatformDistribution,
    scripts=["src/utsuwa/cli/launcher.c"],  # what the launchers are made of
    cmdclass={"build_py": BuildPackage, "build_scripts": BuildLaunchers, "bdist_wheel": PlatformWheel},
)
