"""The same commands to utsuwa and to Debian's podman, which speaks Docker's: output and exit codes are equal.

What differs by design is left out: error texts, podman's own capabilities, its further variables and mounts.
"""

from __future__ import annotations

import os
import re
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

# Each line is a command; those of one case follow each other. IMAGE, DIR and NAME stand for the engine's own.
CASES = {
    "output and status": "run --rm IMAGE sh -c 'echo out; exit 3'",
    "image's command": "run --rm IMAGE",
    "not found": "run --rm IMAGE nonexistent",
    "a path not found": "run --rm IMAGE /nonexistent/x",
    "a directory": "run --rm IMAGE /etc",
    "not executable": "run --rm IMAGE /etc/passwd",
    "killed": "run --rm IMAGE sh -c \"sh -c 'kill -9 \\$\\$'\"",
    "unknown flag": "run --nosuch IMAGE",
    "no such image": "run --pull never nosuch:image true",
    "bad memory": "run --rm -m xx IMAGE true",
    "environment": "run --rm -e A=1 -e B --env-file DIR/env IMAGE sh -c 'echo $A,$B,$C,$FROM_IMAGE'",
    "directory": "run --rm -w /tmp IMAGE pwd",
    "user by name": "run --rm -u nobody IMAGE id",
    "user and group": "run --rm -u 1000:1001 IMAGE sh -c 'id -u; id -g'",
    "name and group": "run --rm -u nobody:tty IMAGE id",
    "home": "run --rm -u nobody IMAGE sh -c 'echo $HOME'",
    "groups": "run --rm --group-add 99 IMAGE id -G",
    "entrypoint": "run --rm --entrypoint echo IMAGE a b",
    "no entrypoint": "run --rm --entrypoint '' IMAGE echo x",
    "host name": "run --rm -h box IMAGE sh -c 'hostname; echo $HOSTNAME'",
    "bind": "run --rm -v DIR:/m IMAGE cat /m/file",
    "read-only bind": "run --rm -v DIR:/m:ro IMAGE sh -c 'touch /m/x 2>/dev/null || echo no'",
    "volume": "run --rm -v shared:/m IMAGE sh -c 'echo kept > /m/x'\nrun --rm -v shared:/m:ro IMAGE cat /m/x",
    "volume with copy": "run --rm -v filled:/etc IMAGE grep -c nobody /etc/passwd",
    "tmpfs": "run --rm --tmpfs /t:size=1m,mode=700 IMAGE sh -c 'stat -c %a /t; df -k /t | tail -n 1 | wc -w'",
    "read-only root": "run --rm --read-only IMAGE sh -c 'touch /x 2>/dev/null || echo no; touch /dev/shm/x'",
    "no capabilities": "run --rm --cap-drop ALL IMAGE grep Cap /proc/self/status",
    "one capability": "run --rm --cap-drop all --cap-add kill IMAGE grep CapBnd /proc/self/status",
    "no new privileges": "run --rm --security-opt no-new-privileges IMAGE grep NoNewPrivs /proc/self/status",
    "unconfined": "run --rm --security-opt seccomp=unconfined IMAGE grep Seccomp: /proc/self/status",
    "profile": "run --rm --security-opt seccomp=DIR/profile.json IMAGE sh -c 'mkdir /q 2>&1 || echo refused'",
    "ulimit": "run --rm --ulimit core=0:0 IMAGE sh -c 'ulimit -c'",
    "terminal": "run --rm -t IMAGE sh -c 'test -t 0 && test -t 1 && echo $TERM'",
    "stdin": "run --rm -i IMAGE wc -c",
    "one stream": "run --rm -a stderr IMAGE sh -c 'echo out; echo err >&2'",
    "start again": (
        "create --name NAME IMAGE sh -c 'cat /f 2>/dev/null; echo 1 >> /f; exit 7'\n"
        "start NAME\nwait NAME\nstart NAME\nwait NAME\n"
        "inspect -f '{{.State.ExitCode}} {{.State.Status}}' NAME\nps -a --format {{.Names}}\nlogs NAME\nrm NAME"
    ),
    "detached": (
        "run -d --name NAME -l a=b IMAGE sh -c 'echo up; exec sleep 1000'\nexec NAME sh -c 'exit 5'\n"
        "exec -u nobody -w /tmp -e A=1 NAME sh -c 'id -u; pwd; echo $A'\nexec NAME nonexistent\n"
        "exec -i NAME wc -c\nps -q -f name=NAME\nps --format {{.Names}} -f label=a=b\n"
        "inspect -f '{{.State.Running}} {{index .Config.Labels \"a\"}} {{json .Config.Cmd}}' NAME\n"
        "inspect -f '{{range .Config.Cmd}}{{.}};{{end}}{{len .Config.Cmd}}' NAME\n"
        "stop -t 0 NAME\nwait NAME\nrm NAME"
    ),
    "stop signal": (
        "run -d --name NAME --stop-signal USR1 IMAGE sh -c 'trap \"exit 3\" USR1; while :; do sleep 0.01; done'\n"
        "exec NAME sleep 0.1\nstop NAME\nwait NAME\nrm NAME"
    ),
}


class Engine:
    """A command line with an image and a directory."""

    def __init__(self, command: list[str], run_options: list[str], image: str, environment: dict[str, str]) -> None:
        self._command, self._run_options, self._image, self._environment = command, run_options, image, environment

    def __call__(self, line: str, directory: Path) -> tuple[int, str]:
        """Exit code and output, with ids made alike."""
        known = {"IMAGE": self._image, "NAME": "subject"}
        words = [known.get(word, word.replace("DIR", str(directory))) for word in shlex.split(line)]
        words = [word.replace("name=NAME", "name=subject") for word in words]
        if words[0] in ("run", "create"):
            words[1:1] = self._run_options
        done = subprocess.run(
            [*self._command, *words],
            input=b"typed",
            capture_output=True,
            env=self._environment,
            timeout=60,
            check=False,
        )
        print(line, done.returncode, done.stderr.decode(), sep="\n")  # for whoever reads a failure
        text = re.sub(r"\b[0-9a-f]{64}\b", "ID", done.stdout.decode())
        return done.returncode, re.sub(r"\b[0-9a-f]{12}\b", "id", text)


@pytest.fixture(scope="module")
def utsuwa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("utsuwa")
    household = Household(directory)
    household.load(directory)
    yield Engine(household.command(), ["--network", "none"], IMAGE, household.environment)
    household.end()


@pytest.fixture(scope="module")
def podman(utsuwa: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    archive = next(tmp_path_factory.getbasetemp().glob("utsuwa*/image.tar"))
    group = f"utsuwa-test-commands-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="utsuwa-", dir="/tmp") as directory:
        command = ["podman", "--root", f"{directory}/root", "--runroot", f"{directory}/run"]
        command += ["--tmpdir", f"{directory}/tmp", "--volumepath", f"{directory}/volumes", "--storage-driver", "vfs"]
        command += ["--events-backend", "file", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        subprocess.run([*command, "load", "-q", "-i", str(archive)], check=True, capture_output=True)
        options = [
            "--network",
            "none",
            "--pull",
            "never",
            "--cgroup-parent",
            f"/{group}",
            "--cgroups",
            "no-conmon",
            *LIMITS,
        ]
        yield Engine(command, options, f"docker.io/{IMAGE}", dict(os.environ))
        subprocess.run([*command, "rm", "--all", "--force", "--time", "0"], check=False, capture_output=True)
    eventually(lambda: removed(group), f"the removal of the cgroups {group}")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """What the commands take from the host."""
    (tmp_path / "file").write_text("of the host\n")
    (tmp_path / "env").write_text("# a comment\nC=of a file\n")
    (tmp_path / "profile.json").write_text(
        '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}'
    )
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_both_say_the_same(utsuwa: Engine, podman: Engine, files: Path, name: str) -> None:
    try:
        for line in CASES[name].split("\n"):
            assert utsuwa(line, files) == podman(line, files), line
    except AssertionError:  # the other cases are not to suffer from what this one leaves
        utsuwa("rm -f NAME", files), podman("rm -f -t 0 NAME", files)
        raise
