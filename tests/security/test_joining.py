"""Processes that enter a hostile container, and what they bring along."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.contract.oci import SOURCE, Bundle, Runtime, eventually
from tests.needs import needs
from tests.security.attack import Decoy
from tests.security.joining import Change, held, pid_inside, unchanged, without
from utsuwa.init import spawn as spawning
from utsuwa.plan import ops

pytestmark = needs("root", "busybox")

EXECUTOR = SOURCE / "utsuwa/init/utsuwa-init"


@pytest.mark.parametrize("change", [unchanged, without(ops.NotDumpable)], ids=["as it is", "disarmed"])
@pytest.mark.parametrize(
    "what", ["readlink {0}/fd/1", "readlink {0}/exe", "cat {0}/environ", "ls {0}/root/", "ls {0}/cwd/"]
)
def test_the_joining_process_shows_nothing(oci: Runtime, bundle: Bundle, what: str, change: Change) -> None:
    """CVE-2016-9962: a process of the container looks into (or ptraces) the one that joins, which has more rights.

    Proven: the same plan without NOT_DUMPABLE can be looked into, with the capabilities that it has at that moment.
    """
    everything = [f"CAP_{name}" for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETUID", "SETGID")]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), everything)
    oci.running(bundle.sleep())
    # with no more capabilities than the container has, the kernel's rule about subsets does not help either (ptrace(2))
    weaker: Change = lambda steps: _drop_early(change(steps))  # noqa: E731
    with held(oci, weaker) as child:
        done = oci("exec", oci.id, "sh", "-c", what.format(f"/proc/{pid_inside(child.pid)}"))
    assert (done.returncode == 0) is (change is not unchanged), done.stderr


def _drop_early(steps: list) -> list:  # type: ignore[type-arg]
    """Put the capabilities' op right before the clone."""
    chosen = next(step for step in steps if isinstance(step.op, ops.Capabilities))
    clone = next(index for index, step in enumerate(steps) if isinstance(step.op, ops.Clone))
    return [*steps[:clone], chosen, *steps[clone:]]


@pytest.mark.parametrize("sealed", [True, False], ids=["as it is", "disarmed"])
def test_the_executor_is_not_overwritten(
    oci: Runtime, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    """CVE-2019-5736: the container writes to the program of the joining process through /proc/PID/exe.

    Proven: an executor in a memfd without seals, dumpable, is overwritten. The host's own files must never change.
    """
    before = _hash(EXECUTOR)
    oci.running(bundle.sleep())
    program = os.memfd_create("unsealed")
    os.write(program, EXECUTOR.read_bytes())
    if not sealed:
        monkeypatch.setattr(spawning, "_sealed", program)
    try:
        with held(oci, without(ops.NotDumpable)) as child:
            open_for_writing = os.open(f"/proc/{child.pid}/exe", os.O_RDONLY)
        # the text of a running program is busy: written to as soon as it has ended, by whoever held it open
        writer = os.open(f"/proc/self/fd/{open_for_writing}", os.O_WRONLY)
        assert bool(_written(writer)) is not sealed
        if sealed:  # nobody executes a file that is open for writing: it must not keep us from the next start
            with held(oci):
                pass
        os.close(writer)
        os.close(open_for_writing)
    finally:
        os.close(program)
    assert _hash(EXECUTOR) == before


@pytest.mark.parametrize("script", ["#!/proc/self/exe\n", "#!/proc/self/exe 3\n", "#!/proc/1/exe\n"])
@pytest.mark.parametrize("how", ["run", "exec"])
def test_the_image_runs_what_runs_it(oci: Runtime, bundle: Bundle, script: str, how: str) -> None:
    """CVE-2019-5736: an entry `#!/proc/self/exe` makes the runtime run itself inside, where the container can reach it.

    Proven by test_the_executor_is_not_overwritten; here nothing may hang, and the files of the host stay as they are.
    """
    files = [EXECUTOR, Path("/usr/bin/python3").resolve(), Path(oci.argv[0]).resolve()]
    before = [_hash(file) for file in files]
    entry = bundle.rootfs / "bin/entry"
    entry.write_text(script + "UTUPLAN1")
    entry.chmod(0o755)
    with open(entry) as stdin:
        if how == "run":
            bundle.process["args"] = ["/bin/entry"]
            oci.run(bundle, stdin=stdin)
        else:
            oci.running(bundle.sleep())
            oci("exec", oci.id, "/bin/entry", stdin=stdin)
    assert [_hash(file) for file in files] == before


def _written(descriptor: int) -> int:
    try:
        return os.write(descriptor, b"#!")
    except OSError:
        return 0


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_working_directories_that_leak(oci: Runtime, bundle: Bundle, decoy: Decoy) -> None:
    """CVE-2024-21626: the working directory, or the program's path, goes through a descriptor of the host's.

    Proven by test_a_leaked_descriptor_is_a_way_out.
    """
    outside = f"for up in . .. ../.. ../../.. ../../../..; do test -e $up{decoy.path}/file && echo escaped; done; true"
    for number in range(3, 24):
        bundle.process["cwd"] = f"/proc/self/fd/{number}"
        done = oci.run(bundle.shell(outside))
        assert "escaped" not in done.stdout, number
    bundle.process["cwd"] = "/"
    oci.running(bundle.sleep())
    for number in range(3, 24):
        done = oci("exec", "--cwd", f"/proc/self/fd/{number}", oci.id, "/bin/sh", "-c", outside)
        assert "escaped" not in done.stdout, number
        for up in ("../../..", "../../../../../.."):
            done = oci("exec", oci.id, f"/proc/self/fd/{number}/{up}{bundle.rootfs}/bin/busybox", "echo", "escaped")
            assert "escaped" not in done.stdout, number


def test_a_leaked_descriptor_is_a_way_out(oci: Runtime, bundle: Bundle, decoy: Decoy) -> None:
    """CVE-2024-21626, the defences switched off: with a directory of the host kept open, the container gets there."""
    bundle.shell("cat /proc/self/fd/3/file 2>/dev/null; ls /proc/self/fd")
    oci.argv = ["sh", "-c", f'exec "$@" 3<{decoy.path} 7<{decoy.path} 9</etc/passwd', "-", *oci.argv]
    assert "decoy" in oci.run(bundle, "--preserve-fds", "1").stdout
    oci.clean()
    # handed over by whoever called us, but not to be preserved
    assert oci.run(bundle).stdout.split() == ["0", "1", "2", "3"]  # 3 is the listing's own


@pytest.mark.parametrize("users", ["the host's", "its own"])
def test_a_created_container_holds_nothing_of_the_host(oci: Runtime, bundle: Bundle, decoy: Decoy, users: str) -> None:
    """CVE-2024-21626, runc's own tests (create.bats, idmap.bats): descriptors of a process that waits for start.

    Proven: the list is not empty, and has the socket that it waits on.
    """
    mount = {"destination": "/decoy", "type": "bind", "source": str(decoy.path), "options": ["rbind", "ro"]}
    bundle.config["mounts"] += [mount, {**mount, "destination": "/decoy"}, {**mount, "destination": "/again"}]
    if users == "its own":
        bundle.linux["namespaces"].append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": 100000, "size": 1000}]
        bundle.linux["uidMappings"] = bundle.linux["gidMappings"] = mapping
        for name in ("decoy", "again"):
            (bundle.rootfs / name).mkdir()
        for parent in (bundle.path, *bundle.path.parents):
            if str(parent).startswith("/tmp/pytest-of"):
                parent.chmod(0o755)
    oci.create(bundle.sleep())
    pid = oci.state()["pid"]
    held = {number: os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    assert any(target.startswith("socket:") for target in held.values())
    for number, target in held.items():
        if target == "/":  # the container's own
            assert os.stat(f"/proc/{pid}/fd/{number}").st_ino == bundle.rootfs.stat().st_ino
        else:
            assert target.startswith(("socket:", "pipe:", "/dev/null")) or int(number) < 3, held
    assert os.stat(f"/proc/{pid}/root").st_ino == bundle.rootfs.stat().st_ino


def test_exec_where_proc_is_a_fake(oci: Runtime, bundle: Bundle) -> None:
    """A container that may mount has put a fake over its /proc; the joining process must not write or read there.

    Proven: the fake is in sight of the process that joined.
    """
    powers = ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), powers)
    bundle.process["oomScoreAdj"] = 100
    fakes = "self/attr self/fd 1 thread-self sys/net"
    made = "for f in self/oom_score_adj self/setgroups self/attr/exec self/comm self/loginuid; do : > /proc/$f; done"
    bundle.shell(f"mount -t tmpfs fake /proc && cd /proc && mkdir -p {fakes} && {made}; echo ready; exec sleep 999")
    oci.create(bundle)
    oci.ok("start", oci.id)
    eventually(lambda: "ready" in oci.output(), "the container's output")
    assert (
        oci.ok("exec", oci.id, "sh", "-c", "cat /proc/self/*; cat /proc/self/attr/*; find /proc -type f | wc -l")
        == "5\n"
    )
