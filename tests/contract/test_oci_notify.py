"""Filters that ask a seccomp agent (SCMP_ACT_NOTIFY): who gets the listener, when, and what may be asked about."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.oci import Bundle, Process, Runtime
from tests.contract.seccomp_agent import Agent
from tests.needs import cgroups
from utsuwa.seccomp.syscalls import numbers

CALLS = numbers(f"SCMP_ARCH_{platform.machine().upper()}")
MKDIRS = {CALLS[name] for name in ("mkdir", "mkdirat") if name in CALLS}

both = pytest.mark.parametrize("no_new_privileges", [True, False])
ours = pytest.mark.parametrize("oci", ["urun"], indirect=True)


def refuse_mkdir(number: int) -> int | None:
    return errno.ENOMEDIUM if number in MKDIRS else None


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """Refuses mkdir in its own way, and lets all else be done."""
    with Agent(str(tmp_path / "agent.sock"), refuse_mkdir) as running:
        yield running


def asks(bundle: Bundle, tmp_path: Path, *names: str, nnp: bool = True, **settings: Any) -> Bundle:
    """Let the bundle's filter ask the agent about ``names``."""
    bundle.process["noNewPrivileges"] = nnp
    for kind in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"][kind] = ["CAP_SYS_ADMIN", "CAP_KILL"]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(tmp_path / "agent.sock"),
        "listenerMetadata": "what the agent's master said",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}],
        **settings,
    }
    return bundle


@cgroups
@both
def test_the_agent_decides(oci: Runtime, bundle: Bundle, tmp_path: Path, agent: Agent, no_new_privileges: bool) -> None:
    asks(bundle, tmp_path, "mkdir", "mkdirat", nnp=no_new_privileges)
    done = oci.run(bundle.shell("mkdir /tmp/made; echo $?; ls /tmp"))
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert "No medium found" in done.stderr
    assert set(agent.asked) <= MKDIRS and agent.asked
    (document,) = agent.documents
    assert (document["fds"], document["metadata"]) == (["seccompFd"], "what the agent's master said")
    assert document["ociVersion"] and document["pid"] > 1
    state = document["state"]
    assert (state["id"], state["status"], state["bundle"]) == (oci.id, "creating", str(bundle.path))
    assert state["pid"] == document["pid"]


@both
def test_calls_that_a_runtime_needs_may_be_asked_about(
    oci: Runtime, bundle: Bundle, tmp_path: Path, agent: Agent, no_new_privileges: bool
) -> None:
    asks(bundle, tmp_path, "execve", "open", "openat", "read", "close", "mkdir", "mkdirat", nnp=no_new_privileges)
    assert oci.inside(bundle, "mkdir /tmp/made; echo $?") == "1\n"
    assert CALLS["execve"] in agent.asked


@ours
@both
def test_our_own_conversation_may_be_asked_about(
    oci: Runtime, bundle: Bundle, tmp_path: Path, agent: Agent, no_new_privileges: bool
) -> None:
    names = ("sendto", "sendmsg", "recvfrom", "recvmsg", "accept4", "futex", "clone", "close", "read", "prctl")
    asks(bundle, tmp_path, *names, nnp=no_new_privileges)
    oci.create(bundle.shell("echo begun"))
    oci.ok("start", oci.id)
    oci.until("stopped")
    assert oci.output() == "begun\n"


@cgroups
@both
def test_create_and_start(oci: Runtime, bundle: Bundle, tmp_path: Path, agent: Agent, no_new_privileges: bool) -> None:
    asks(bundle, tmp_path, "mkdir", "mkdirat", nnp=no_new_privileges)
    oci.create(bundle.shell("mkdir /tmp/made; echo $?"))
    pid = oci.state()["pid"]
    with Process(pid) as process:
        oci.ok("start", oci.id)
        process.wait()
    assert oci.output().endswith("1\n")
    (document,) = agent.documents
    assert document["pid"] == document["state"]["pid"] == pid
    assert document["state"]["status"] in ("creating", "created")


@both
def test_exec_has_a_listener_of_its_own(
    oci: Runtime, bundle: Bundle, tmp_path: Path, agent: Agent, no_new_privileges: bool
) -> None:
    oci.running(asks(bundle, tmp_path, "mkdir", "mkdirat", nnp=no_new_privileges).sleep())
    done = oci("exec", oci.id, "sh", "-c", "mkdir /tmp/made; echo $?")
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    first, second = agent.documents
    assert second["pid"] != first["pid"]
    assert second["state"]["pid"] == first["pid"]
    assert second["state"]["status"] == "running"


def test_a_hook_inside_is_asked_about_too(oci: Runtime, bundle: Bundle, tmp_path: Path, agent: Agent) -> None:
    asks(bundle, tmp_path, "mkdir", "mkdirat")
    script = "mkdir /tmp/made || echo refused > /tmp/said"
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    assert oci.inside(bundle, "cat /tmp/said") == "refused\n"


@both
def test_without_an_agent_there_is_no_container(
    oci: Runtime, bundle: Bundle, tmp_path: Path, no_new_privileges: bool
) -> None:
    done = oci.run(asks(bundle, tmp_path, "mkdir", nnp=no_new_privileges).shell("echo begun"))
    assert done.returncode != 0
    assert "begun" not in done.stdout
    assert "failed to connect with seccomp agent" in done.stderr
    assert not oci.exists()


@ours
def test_a_start_that_finds_no_agent_fails_and_stops_the_container(
    oci: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    oci.create(asks(bundle, tmp_path, "mkdir").shell("echo begun"))
    assert "failed to connect with seccomp agent" in oci.fails("start", oci.id)
    oci.until("stopped")
    assert oci.output() == ""


def test_an_agent_that_died_means_that_the_calls_do_not_exist(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    with Agent(str(tmp_path / "agent.sock"), refuse_mkdir, deaf=True) as agent:
        done = oci.run(asks(bundle, tmp_path, "mkdir", "mkdirat").shell("mkdir /tmp/made"))
    assert "Function not implemented" in done.stderr
    assert len(agent.documents) == 1


@pytest.mark.parametrize("names", [["write"], ["mkdir", "write"]])
def test_write_may_not_be_asked_about(oci: Runtime, bundle: Bundle, tmp_path: Path, names: list[str]) -> None:
    done = oci.run(asks(bundle, tmp_path, *names).shell("echo begun"))
    assert done.returncode != 0
    assert "SCMP_ACT_NOTIFY cannot be used for the write syscall" in done.stderr


def test_everything_may_not_be_asked_about(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    done = oci.run(asks(bundle, tmp_path, "mkdir", defaultAction="SCMP_ACT_NOTIFY").shell("echo begun"))
    assert done.returncode != 0
    assert "SCMP_ACT_NOTIFY cannot be used as default action" in done.stderr


def test_an_agent_that_nobody_asks_need_not_be_there(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    rules = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]
    asks(bundle, tmp_path, "mkdir", syscalls=rules)
    assert oci.inside(bundle, "mkdir /tmp/made; echo $?") == "1\n"


def test_who_asks_says_whom(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    asks(bundle, tmp_path, "mkdir")
    del bundle.linux["seccomp"]["listenerPath"], bundle.linux["seccomp"]["listenerMetadata"]
    done = oci.run(bundle.shell("echo begun"))
    assert done.returncode != 0
    assert "begun" not in done.stdout


@ours
def test_the_flag_that_lets_only_fatal_signals_interrupt(
    oci: Runtime, bundle: Bundle, tmp_path: Path, agent: Agent
) -> None:
    flags = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]
    asks(bundle, tmp_path, "mkdir", "mkdirat", flags=flags)
    assert oci.inside(bundle, "mkdir /tmp/made; echo $?") == "1\n"


@ours
def test_crun_s_annotation_and_an_abstract_address(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    name = f"utsuwa-test-{os.getpid()}"
    asks(bundle, tmp_path, "mkdir", "mkdirat")
    del bundle.linux["seccomp"]["listenerPath"]
    bundle.config["annotations"] = {"run.oci.seccomp.receiver": f"@{name}"}
    with Agent(f"\0{name}", refuse_mkdir) as agent:
        assert oci.inside(bundle, "mkdir /tmp/made; echo $?") == "1\n"
    assert agent.documents[0]["state"]["annotations"] == bundle.config["annotations"]


@ours
@both
def test_in_a_user_namespace(
    oci: Runtime, bundle: Bundle, tmp_path: Path, agent: Agent, no_new_privileges: bool
) -> None:
    asks(bundle, tmp_path, "mkdir", "mkdirat", nnp=no_new_privileges)
    bundle.linux["namespaces"].append({"type": "user"})
    for kind in ("uidMappings", "gidMappings"):
        bundle.linux[kind] = [{"containerID": 0, "hostID": 0, "size": 65536}]
    assert oci.inside(bundle, "mkdir /tmp/made; echo $?") == "1\n"


@ours
def test_nothing_of_the_conversation_is_left_to_the_program(
    oci: Runtime, bundle: Bundle, tmp_path: Path, agent: Agent
) -> None:
    asks(bundle, tmp_path, "mkdir")
    script = "ls /proc/self/fd | wc -l; grep Threads /proc/self/status; cat /proc/[0-9]*/comm | grep -c utsuwa; true"
    bundle.shell(script)
    done = oci.run(bundle)
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["4", "1", "0"], done.stdout
