"""What confines a program, where a container would like it to be applied to something else, or by somebody else."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import SOURCE, Bundle, Runtime, eventually
from tests.integration.init.conftest import PROC, Runner, plan_of, prelude, root, run, shell  # noqa: F401
from tests.needs import needs
from tests.security.attack import Decoy
from utsuwa.init.failure import OpFailed
from utsuwa.init.spawn import spawn
from utsuwa.plan import ops
from utsuwa.runtime.exec import open_init
from utsuwa.runtime.features import UNSAFE_ANNOTATIONS
from utsuwa.runtime.record import Store

pytestmark = needs("root", "busybox")

# No security module takes this one, here or elsewhere; what matters is where it has been written to.
LABEL = ops.Label(("exec",), "utsuwa-test-no-such-label")
ROUNDS = 60
MOUNTS_AND_PROCESSES = 0x20000 | 0x20000000


def _fake_proc(directory: Path) -> Path:
    """A directory that looks like procfs to whoever writes a label; the file that then has it."""
    file = directory / "thread-self/attr/exec"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


@pytest.mark.parametrize("where", ["/proc/1/task/1/attr/exec", "/proc", "instead of /proc"])
def test_labels_reach_the_kernel(run: Runner, root: Path, tmp_path: Path, where: str) -> None:  # noqa: F811
    """CVE-2019-16884, CVE-2025-52881: a label is written to a file that stands for the kernel's, and has no effect.

    Proven: with the label written to /proc/thread-self by its path, the file has it.
    """
    file = _fake_proc(tmp_path / "fake")
    source, target = (file, where) if where.endswith("exec") else (tmp_path / "fake", "/proc")
    mounts = (ops.Bind(str(source), target),) if where.startswith("i") else (PROC, ops.Bind(str(source), target))
    with pytest.raises(OpFailed, match="write /proc/thread-self/attr/exec: "):
        run(*prelude(root, *mounts), ops.Pivot(), LABEL, shell("exit 0"))
    assert file.read_text() == ""
    naive = shell("echo label > /proc/thread-self/attr/exec")
    run(*prelude(root, *mounts), ops.Pivot(), naive)
    assert file.read_text() == "label\n"


def test_labels_reach_the_kernel_while_proc_is_swapped(oci: Runtime, bundle: Bundle) -> None:
    """CVE-2025-52881, CVE-2019-19921: a process of the container mounts a fake over /proc, and takes it away, while
    another one joins and writes its label.

    Proven: written by its path, the label ends in the fake, in no more rounds than that.
    """
    bundle.process["capabilities"] = {key: ["CAP_SYS_ADMIN"] for key in ("bounding", "effective", "permitted")}
    file = _fake_proc(bundle.rootfs / "fake")
    oci.create(bundle.shell("echo ready; while mount -o bind /fake /proc; do umount /proc; done"))
    oci.ok("start", oci.id)
    eventually(lambda: "ready" in oci.output(), "the racer")
    for _ in range(ROUNDS):
        _label_one_that_joins(oci)
    assert file.read_text() == ""
    pid = str(oci.state()["pid"])
    naive = ["nsenter", "-t", pid, "-m", "-p", "sh", "-c", "echo label > /proc/thread-self/attr/exec"]
    for _ in range(ROUNDS):
        subprocess.run(naive, capture_output=True, check=False)
    assert file.read_text() == "label\n"


def _label_one_that_joins(oci: Runtime) -> None:
    pidfd = open_init(Store(str(oci.root)).open(oci.id))
    steps = (ops.NotDumpable(), ops.Enter(ops.PIDFD, MOUNTS_AND_PROCESSES), ops.Clone(0), LABEL)
    child = spawn(plan_of(*steps, shell("exit 0")), {ops.PIDFD: pidfd})
    os.close(pidfd)
    try:
        with pytest.raises(OpFailed, match="write /proc/thread-self/attr/exec: "):
            while child.next() is not None:
                pass
    finally:
        child.close()
        os.waitpid(child.pid, 0)


@pytest.mark.parametrize("link", ["run", "run/notify"])
def test_the_socket_for_readiness_stays_inside(oci: Runtime, bundle: Bundle, decoy: Decoy, link: str) -> None:
    """CVE-2019-18837 and kin: /run of the image is a link to the host, where the socket's directory would be made.

    Proven: the same directory made by hand through the link changes the decoy.
    """
    path = bundle.rootfs / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(decoy.path)
    oci.run(bundle.shell("ls /run/notify"), env=os.environ | {"NOTIFY_SOCKET": "/nowhere"})
    assert not decoy.touched
    (path / "notify").mkdir()
    assert decoy.touched


def test_annotations_with_an_effect_are_told_of() -> None:
    """CVE-2024-3154: whoever may set annotations of a pod gives orders to the runtime, unless its engine knows which
    ones to keep back.

    Proven: it failed for two of them until they were listed.
    """
    found = set()
    for path in (SOURCE / "utsuwa").rglob("*.py"):
        if path.name != "features.py":
            found |= set(re.findall(r"[\"'](run\.oci\.[\w.]+|org\.(?:systemd|criu)\.[\w.]+)[\"']", path.read_text()))
    assert {"run.oci.seccomp.receiver", "run.oci.mount_context_type"} <= found
    assert [name for name in sorted(found) if not name.startswith(UNSAFE_ANNOTATIONS)] == []
