"""A script of ordinary Docker commands says the same with utsuwa as with Debian's podman."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import removed
from tests.conformance.engines import LIMITS
from tests.contract.oci import eventually
from tests.integration.household import IMAGE, Household
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "podman", "conmon", "runc")]
SCRIPT = Path(__file__).with_name("ordinary.sh")
_DOCKER = """#!/bin/sh
verb=$1
shift
case $verb in
run | create) exec {before} "$verb" {options} "$@" ;;
build) exec {before} "$verb" {building} "$@" ;;
*) exec {before} "$verb" "$@" ;;
esac
"""


def play(
    directory: Path, before: list[str], options: list[str], building: list[str], environment: dict[str, str]
) -> str:
    """What the script prints, every line of it, where ``docker`` is the engine."""
    (directory / "bin").mkdir()
    (directory / "here").mkdir()
    docker = directory / "bin" / "docker"
    docker.write_text(
        _DOCKER.format(before=shlex.join(before), options=shlex.join(options), building=shlex.join(building))
    )
    docker.chmod(0o755)
    # Each line goes before what it prints: a difference names its command.
    text = "".join(
        line if line.startswith("#") else f"echo {shlex.quote('$ ' + line.rstrip())}\n{line}"
        for line in SCRIPT.read_text().splitlines(keepends=True)
    )
    done = subprocess.run(
        ["sh"],
        input=text,
        capture_output=True,
        text=True,
        cwd=directory / "here",
        env={**environment, "IMAGE": IMAGE, "PATH": f"{directory / 'bin'}:{os.environ['PATH']}"},
        timeout=100,
        check=False,
    )
    print(done.stderr)  # for whoever reads a failure
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """An image's archive, and what the script printed with utsuwa."""
    directory = tmp_path_factory.mktemp("utsuwa")
    household = Household(directory)
    household.load(directory)
    said = play(directory, household.command(), ["--network", "none"], ["--network", "none"], household.environment)
    left = household.ok("ps", "-aq")
    household.end()
    assert left == ""
    yield directory / "image.tar", said


def test_the_script_says_what_it_says_with_podman(archive: tuple[Path, str], tmp_path: Path) -> None:
    group = f"utsuwa-test-ordinary-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="utsuwa-", dir="/tmp") as directory:
        command = ["podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run"]
        command += ["--tmpdir", f"{directory}/tmp", "--volumepath", f"{directory}/volumes", "--storage-driver", "vfs"]
        command += ["--events-backend", "file", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        subprocess.run([*command, "load", "-q", "-i", str(archive[0])], check=True, capture_output=True)
        parent = ["--cgroup-parent", f"/{group}"]
        options = ["--network", "none", "--pull", "never", *parent, "--cgroups", "no-conmon", *LIMITS]
        said = play(tmp_path, command, options, ["--network", "none", "--pull-never", *parent], dict(os.environ))
        subprocess.run([*command, "rm", "--all", "--force", "--time", "0"], check=False, capture_output=True)
    eventually(lambda: removed(group), f"the removal of the cgroups {group}")
    assert archive[1].splitlines() == said.splitlines()
