"""The contract of hooks: when they run, where, what they read, and what their failure means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime, cgroups_of, eventually

OUTSIDE = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A directory where hooks leave what they saw."""
    directory = tmp_path / "trace"
    directory.mkdir()
    return directory


def hook(script: str, *arguments: str, **properties: object) -> dict[str, object]:
    """A hook that runs a shell script of the host."""
    return {"path": "/bin/sh", "args": ["sh", "-c", script, "-", *arguments], **properties}


def record(trace: Path, kind: str) -> dict[str, object]:
    """A hook that writes its input to a file and its name to the order of events."""
    return hook(f"cat > {trace}/{kind}; echo {kind} >> {trace}/order")


def test_order_and_state(oci: Runtime, bundle: Bundle, trace: Path) -> None:
    bundle.config["annotations"] = {"org.example": "value"}
    bundle.config["hooks"] = {kind: [record(trace, kind)] for kind in OUTSIDE}
    oci.create(bundle.sleep())
    pid = oci.state()["pid"]
    assert (trace / "order").read_text().split() == ["prestart", "createRuntime", "createContainer"]
    oci.ok("start", oci.id)
    oci.stop()
    oci.ok("delete", oci.id)
    assert (trace / "order").read_text().split() == list(OUTSIDE)
    seen = {kind: json.loads((trace / kind).read_text()) for kind in OUTSIDE}
    for kind, state in seen.items():
        assert (state["id"], state["bundle"]) == (oci.id, str(bundle.path)), kind
        assert state["annotations"]["org.example"] == "value", kind
    assert seen["prestart"]["pid"] == seen["createRuntime"]["pid"] == seen["poststart"]["pid"] == pid
    assert [seen[kind]["status"] for kind in OUTSIDE] == ["created"] * 3 + ["running", "stopped"]


def test_the_start_container_hook_runs_inside(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["hooks"] = {
        "startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /seen; hostname > /host"]}]
    }
    oci.create(bundle.shell("cat /host"))
    assert not (bundle.rootfs / "seen").exists()
    oci.ok("start", oci.id)
    oci.until("stopped")
    state = json.loads((bundle.rootfs / "seen").read_text())
    assert (state["id"], state["status"]) == (oci.id, "created")
    assert (bundle.rootfs / "host").read_text() == "inside\n"
    assert oci.output() == "inside\n"


def test_the_create_container_hook_sees_the_containers_namespaces_before_the_pivot(
    oci: Runtime, bundle: Bundle, trace: Path
) -> None:
    bundle.config["hooks"] = {"createContainer": [hook(f"readlink /proc/self/ns/net > {trace}/net")]}
    oci.create(bundle.sleep())
    pid = oci.state()["pid"]
    assert (trace / "net").read_text().strip() == str(Path(f"/proc/{pid}/ns/net").readlink())


def test_runtime_hooks_run_in_the_runtimes_namespaces(oci: Runtime, bundle: Bundle, trace: Path) -> None:
    bundle.config["hooks"] = {"createRuntime": [hook(f"readlink /proc/self/ns/net > {trace}/net")]}
    oci.create(bundle.sleep())
    assert (trace / "net").read_text().strip() == str(Path("/proc/self/ns/net").readlink())


def test_arguments_and_environment_are_exact(oci: Runtime, bundle: Bundle, trace: Path) -> None:
    bundle.config["hooks"] = {
        "createRuntime": [
            hook(f'printf "%s|" "$0" "$@" "$A" > {trace}/argv', "one two", "", env=["A=b c", "PATH=/bin"])
        ]
    }
    oci.create(bundle.sleep())
    assert (trace / "argv").read_text() == "-|one two||b c|"


def test_hooks_of_one_kind_run_in_order(oci: Runtime, bundle: Bundle, trace: Path) -> None:
    bundle.config["hooks"] = {"createRuntime": [hook(f"echo {number} >> {trace}/order") for number in range(3)]}
    oci.create(bundle.sleep())
    assert (trace / "order").read_text().split() == ["0", "1", "2"]


def test_limits_are_set_before_runtime_hooks(oci: Runtime, bundle: Bundle, trace: Path) -> None:
    bundle.linux["resources"]["pids"] = {"limit": 33}
    bundle.config["hooks"] = {
        "createRuntime": [hook(f"cat $(find /sys/fs/cgroup -path '*{oci.id}*' -name pids.max) > {trace}/limit")]
    }
    oci.create(bundle.sleep())
    assert (trace / "limit").read_text().split() == ["33"]


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_failing_hook_fails_create_and_leaves_nothing(oci: Runtime, bundle: Bundle, trace: Path, kind: str) -> None:
    bundle.config["hooks"] = {
        kind: [hook("true"), hook("echo explained >&2; exit 3"), hook(f"touch {trace}/behind")],
        "poststop": [record(trace, "poststop")],
    }
    done = oci("create", "--bundle", str(bundle.sleep().write()), oci.id)
    assert done.returncode == 1
    if oci.name != "crun":
        assert f"error running {kind if oci.name == 'urun' else ''}" in done.stderr
        assert "hook #1" in done.stderr
        assert kind == "createContainer" or "explained" in done.stderr
    assert not (trace / "behind").exists()
    assert not oci.exists()
    assert cgroups_of(oci.id) == []


def test_a_failing_start_container_hook_fails_start(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/false"}]}
    oci.create(bundle.shell("echo ran"))
    done = oci("start", oci.id)
    oci.until("stopped")
    assert "ran" not in oci.output()
    if oci.name == "urun":
        assert done.returncode == 1
        assert "error running startContainer hook #0: exit status 1" in done.stderr


def test_a_failing_poststart_hook_stops_the_container(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["hooks"] = {"poststart": [hook("exit 3")]}
    oci.create(bundle.sleep())
    oci.fails("start", oci.id)
    oci.until("stopped")


def test_a_failing_poststop_hook_is_only_a_warning(oci: Runtime, bundle: Bundle, trace: Path) -> None:
    bundle.config["hooks"] = {"poststop": [hook("exit 3"), record(trace, "poststop")]}
    oci.create(bundle.sleep())
    oci.ok("delete", "--force", oci.id)
    assert (trace / "poststop").exists()
    assert not oci.exists()


def test_a_hook_that_takes_too_long_is_killed(oci: Runtime, bundle: Bundle, trace: Path) -> None:
    bundle.config["hooks"] = {"createRuntime": [hook(f"echo $$ > {trace}/pid; exec sleep 1000", timeout=1)]}
    done = oci("create", "--bundle", str(bundle.sleep().write()), oci.id)
    assert done.returncode == 1
    pid = int((trace / "pid").read_text())
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert not oci.exists()


def test_run_runs_all_hooks(oci: Runtime, bundle: Bundle, trace: Path) -> None:
    bundle.config["hooks"] = {kind: [record(trace, kind)] for kind in OUTSIDE}
    done = oci.run(bundle.shell("sleep 0.2"))
    assert done.returncode == 0
    assert (trace / "order").read_text().split() == list(OUTSIDE)
