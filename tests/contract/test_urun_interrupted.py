"""urun killed or interrupted at every step of create: nothing is left, or the next verb removes it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import SOURCE, Bundle, Runtime, cgroups_of, eventually
from tests.needs import needs

pytestmark = needs("root")

# Runs `create` after putting a signal to itself in front of one function, or behind it.
PROGRAM = """
import os, sys
sys.path.insert(0, {source!r})
import importlib
owner, _, name = {step!r}.rpartition(".")
module, _, cls = owner.partition(":")
place = importlib.import_module(module)
place = getattr(place, cls) if cls else place
original = getattr(place, name)
def interrupted(*arguments, **options):
    if {behind!r}:
        result = original(*arguments, **options)
        os.kill(os.getpid(), {number})
        return result
    os.kill(os.getpid(), {number})
    return original(*arguments, **options)
setattr(place, name, interrupted)
from utsuwa.runtime import kept
kept._EPOCH = b"one program"
from utsuwa.cli.oci import main
main(sys.argv[1:])
"""

STEPS = (
    "utsuwa.runtime.bundle.load",
    "utsuwa.runtime.record:Store.create",
    "utsuwa.runtime.record:Container.announce",
    "utsuwa.runtime.record:Container.keep_config",
    "utsuwa.cgroup.v1:V1Manager.create",
    "utsuwa.runtime.draft.create",
    "utsuwa.runtime.create.listen",
    "utsuwa.runtime.draft.spawn",
    "utsuwa.cgroup.v1:V1Manager.apply",
    "utsuwa.runtime.record:Container.save_process",
    "utsuwa.init.spawn:Child.reply",
    "utsuwa.runtime.record:Container.complete",
    "utsuwa.runtime.create.write_pid_file",
)

RUN_STEPS = (
    "utsuwa.init.spare.spawn",
    "utsuwa.cgroup.v1:V1Manager.begin",
    "utsuwa.runtime.draft:Draft.start_first",
    "utsuwa.cgroup.v1:V1Manager.create",
    "utsuwa.runtime.record:Container.keep_config",
    "utsuwa.init.spawn:Child.reply",
)
"""Those of `run`, whose process starts before its cgroups are made."""


@pytest.fixture
def oci(tmp_path: Path) -> Runtime:
    """urun alone: the steps are its own."""
    return Runtime("urun", tmp_path, f"utsuwa-test-{os.getpid()}-interrupted")


def _create(
    oci: Runtime, bundle: Bundle, step: str, behind: bool, number: int, verb: tuple[str, ...] = ("create",)
) -> subprocess.Popen[bytes]:
    program = PROGRAM.format(source=str(SOURCE), step=step, behind=behind, number=int(number))
    words = ["--root", str(oci.root), *verb, "--bundle", str(bundle.sleep().write()), "--pid-file"]
    return subprocess.Popen(
        ["/usr/bin/python3", "-I", "-S", "-c", program, *words, str(oci.directory / "pid"), oci.id],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _make_known(oci: Runtime, bundle: Bundle) -> None:
    """So that the next run of it goes by a draft that is kept."""
    for _ in range(2):
        assert _create(oci, bundle, "utsuwa.runtime.kept:Kept.keep", True, 0, ("run", "--detach")).wait(30) == 0
        oci.ok("delete", "--force", oci.id)
    (entry,) = (oci.root / ".drafts").iterdir()
    assert entry.stat().st_size > 1000


def _processes(oci: Runtime) -> list[str]:
    """Processes in a cgroup of the container."""
    return [pid for directory in cgroups_of(oci.id) for pid in Path(directory, "cgroup.procs").read_text().split()]


@needs("cgroup1")
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("step", STEPS)
def test_killed(oci: Runtime, bundle: Bundle, step: str, behind: bool) -> None:
    assert _create(oci, bundle, step, behind, signal.SIGKILL).wait(30) == -signal.SIGKILL
    if step.endswith(("complete", "write_pid_file")) and (behind or not step.endswith("complete")):
        assert oci.status() == "created"  # it was complete: as if create had succeeded
    if step.endswith("spawn"):
        assert cgroups_of(oci.id) != []  # there is something to remove
    oci.ok("delete", "--force", oci.id)
    assert cgroups_of(oci.id) == []
    assert not (oci.root / oci.id).exists()


@needs("cgroup1")
@pytest.mark.parametrize("step", [step for step in STEPS if not step.endswith(("complete", "write_pid_file"))])
def test_the_id_of_one_that_was_killed_can_be_used_again(oci: Runtime, bundle: Bundle, step: str) -> None:
    assert _create(oci, bundle, step, True, signal.SIGKILL).wait(30) == -signal.SIGKILL
    try:
        oci.create(bundle)
        assert oci.status() == "created"
    finally:
        oci.clean()
    assert cgroups_of(oci.id) == []


@needs("cgroup1")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [step for step in STEPS if not step.endswith(("bundle.load", "write_pid_file"))])
def test_interrupted(oci: Runtime, bundle: Bundle, step: str, number: int) -> None:
    assert _create(oci, bundle, step, False, number).wait(30) == 128 + number
    assert not (oci.root / oci.id).exists()
    assert cgroups_of(oci.id) == []
    assert _processes(oci) == []


@needs("cgroup1")
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("step", RUN_STEPS)
def test_run_killed(oci: Runtime, bundle: Bundle, step: str, behind: bool, known: bool) -> None:
    if known:
        _make_known(oci, bundle)
    assert _create(oci, bundle, step, behind, signal.SIGKILL, ("run", "--detach")).wait(30) == -signal.SIGKILL
    if oci.root.exists() and oci.id in os.listdir(oci.root):
        oci.ok("delete", "--force", oci.id)
    assert cgroups_of(oci.id) == []
    oci.create(bundle)  # the id is free
    oci.clean()


@needs("cgroup1")
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("step", RUN_STEPS)
def test_run_interrupted(oci: Runtime, bundle: Bundle, step: str, known: bool) -> None:
    if known:
        _make_known(oci, bundle)
    assert _create(oci, bundle, step, False, signal.SIGTERM, ("run", "--detach")).wait(30) == 128 + signal.SIGTERM
    assert not (oci.root / oci.id).exists()
    assert cgroups_of(oci.id) == []
    assert _processes(oci) == []


def test_a_runtime_killed_in_the_foreground_leaves_what_delete_removes(oci: Runtime, bundle: Bundle) -> None:
    words = [*oci.argv, "run", "--bundle", str(bundle.sleep().write()), oci.id]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as runtime:
        assert runtime.stdout is not None
        assert runtime.stdout.readline() == b"ready\n"
        runtime.kill()
        runtime.wait(20)
    assert oci.status() == "running"
    oci.ok("delete", "--force", oci.id)
    assert cgroups_of(oci.id) == []


def test_a_second_delete_waits_and_finds_nothing(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    words = [*oci.argv, "delete", "--force", oci.id]
    both = [subprocess.Popen(words, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
    assert not oci.exists()


def _ended(pid: int) -> bool:
    """Gone, or killed and not reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_delete_ends_a_creation_that_hangs_in_a_hook(oci: Runtime, bundle: Bundle) -> None:
    flag, gate = oci.directory / "in-hook", oci.directory / "gate"
    os.mkfifo(gate)
    bundle.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"touch {flag}; exec cat {gate}"]}]
    }
    words = [*oci.argv, "create", "--bundle", str(bundle.sleep().write()), oci.id]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as creator:
        eventually(flag.exists)
        assert oci.status() == "creating"
        assert "that is not stopped: creating" in oci.fails("delete", oci.id)
        oci.ok("delete", "--force", oci.id)
        creator.wait(30)
        assert creator.returncode == 1
    assert cgroups_of(oci.id) == []


@needs("cgroup1")
def test_one_that_was_killed_early_has_no_right_over_somebody_elses_cgroup(oci: Runtime, bundle: Bundle) -> None:
    """Its record names a cgroup that it has not looked into yet: `delete` must not kill who lives there."""
    path = f"/utsuwa-test-{os.getpid()}-inhabited"
    directory = Path("/sys/fs/cgroup/devices" + path)
    directory.mkdir()
    with subprocess.Popen(["sleep", "1000"]) as inhabitant:
        (directory / "cgroup.procs").write_text(str(inhabitant.pid))
        bundle.config["linux"]["cgroupsPath"] = path
        assert _create(oci, bundle, "utsuwa.cgroup.v1:V1Manager.create", False, signal.SIGKILL).wait(30) == -9
        oci.ok("delete", "--force", oci.id)
        assert inhabitant.poll() is None
        inhabitant.kill()
    eventually(lambda: not (directory / "cgroup.procs").read_text())
    for hierarchy in Path("/sys/fs/cgroup").glob("*" + path):
        hierarchy.rmdir()
    assert not (oci.root / oci.id).exists()
