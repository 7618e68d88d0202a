"""The contract of an OCI runtime's command line: verbs, states, messages that callers match on, exit codes, files.

Run on urun, and on crun and runc: where these differ from each other, the test says how.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Process, Runtime, cgroups_of, eventually
from tests.needs import cgroups

# --- lifecycle ------------------------------------------------------------------------------------------------------


@cgroups
def test_a_container_goes_through_its_states(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.sleep())
    assert oci.status() == "created"
    oci.ok("start", oci.id)
    assert oci.status() == "running"
    eventually(lambda: "ready" in oci.output())
    oci.stop()
    oci.ok("delete", oci.id)
    assert "does not exist" in oci.fails("state", oci.id)


@cgroups
def test_a_created_container_has_not_run_its_program(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.shell("echo ran > /ran"))
    assert not (bundle.rootfs / "ran").exists()
    oci.ok("start", oci.id)
    oci.until("stopped")
    assert (bundle.rootfs / "ran").read_text() == "ran\n"


def test_changes_of_the_bundle_after_create_have_no_effect(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.shell("echo first"))
    bundle.shell("echo second").write()
    oci.ok("start", oci.id)
    oci.until("stopped")
    assert oci.output() == "first\n"


@cgroups
def test_an_id_can_be_used_once(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.sleep())
    said = oci.fails("create", "--bundle", str(bundle.path), oci.id)
    assert "exists" in said
    assert oci.status() == "created"


@pytest.mark.parametrize("identifier", ["", "a/b", "..", "a b"])
def test_ids_that_are_none_are_refused(oci: Runtime, bundle: Bundle, identifier: str) -> None:
    if oci.name == "crun" and identifier == "a b":
        pytest.skip("crun 1.8.1 refuses only slashes, and would make it")
    oci.fails("create", "--bundle", str(bundle.write()), identifier)


def test_start_needs_a_created_container(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    said = oci.fails("start", oci.id)
    assert oci.name == "crun" or "cannot start an already running container" in said
    oci.stop()
    said = oci.fails("start", oci.id)
    assert oci.name == "crun" or "cannot start a container that has stopped" in said


def test_verbs_say_that_a_container_does_not_exist(oci: Runtime) -> None:
    for words in (("state",), ("start",), ("kill",), ("delete",)):
        said = oci.fails(*words, "utsuwa-test-nobody")
        assert "does not exist" in said, words


def test_delete_refuses_a_running_container(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    said = oci.fails("delete", oci.id)
    if oci.name != "crun":
        assert f"cannot delete container {oci.id} that is not stopped: running" in said
    assert oci.status() == "running"


@cgroups
def test_delete_ends_a_created_container(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.sleep())
    with Process(oci.state()["pid"]) as process:
        oci.ok("delete", oci.id)
        process.wait()
    assert not oci.exists()


@cgroups
def test_forced_delete_ends_a_running_container(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    with Process(oci.state()["pid"]) as process:
        oci.ok("delete", "--force", oci.id)
        process.wait()
    assert not oci.exists()
    assert cgroups_of(oci.id) == []


def test_forced_delete_of_nothing_succeeds(oci: Runtime) -> None:
    oci.ok("delete", "--force", "utsuwa-test-nobody")


@cgroups
def test_delete_ends_what_outlives_the_first_process_in_a_shared_pid_namespace(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"] = [each for each in bundle.linux["namespaces"] if each["type"] != "pid"]
    oci.create(bundle.shell("setsid sleep 1000 > /dev/null 2>&1 & echo ready $!"))
    oci.ok("start", oci.id)
    eventually(lambda: "ready" in oci.output())
    oci.until("stopped")
    with Process(int(oci.output().split()[1])) as left:
        oci.ok("delete", "--force", oci.id)
        left.wait()


# --- state and list -------------------------------------------------------------------------------------------------


def test_state_is_the_document_of_the_specification(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.example.purpose": "test"}
    oci.running(bundle.sleep())
    state = oci.state()
    assert state["id"] == oci.id
    assert state["ociVersion"].startswith("1.")
    assert state["bundle"] == str(bundle.path)
    assert state["rootfs"] == str(bundle.rootfs)
    assert state["annotations"]["org.example.purpose"] == "test"
    assert Path(f"/proc/{state['pid']}").exists()
    assert state["created"].endswith("Z")
    datetime.fromisoformat(state["created"][:26] + "+00:00")
    oci.stop()
    assert oci.state()["pid"] == 0


def test_list_has_ids_a_table_and_json(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.sleep())
    assert oci.ok("list", "-q").split() == [oci.id]
    header, row = oci.ok("list").splitlines()
    assert header.split()[:5] == ["ID", "PID", "STATUS", "BUNDLE", "CREATED"]
    assert row.split()[:4] == [oci.id, str(oci.state()["pid"]), "created", str(bundle.path)]
    (found,) = json.loads(oci.ok("list", "--format", "json"))
    assert (found["id"], found["status"]) == (oci.id, "created")


def test_list_refuses_a_format_that_is_none(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.sleep())
    oci.fails("list", "--format", "xml")


def test_list_of_a_root_that_is_not_there_fails(oci: Runtime) -> None:
    oci.fails("list")


# --- kill -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1", "10"])
def test_signals_have_names_and_numbers(oci: Runtime, bundle: Bundle, name: str) -> None:
    oci.create(bundle.shell("trap 'echo got it; exit 0' USR1; echo ready; sleep 1000 & wait"))
    oci.ok("start", oci.id)
    eventually(lambda: "ready" in oci.output())
    oci.ok("kill", oci.id, name)
    oci.until("stopped")
    assert "got it" in oci.output()


def test_kill_sends_term_by_default(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.ok("kill", oci.id)
    oci.until("stopped")


def test_kill_refuses_a_signal_that_is_none(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.fails("kill", oci.id, "NONSENSE")
    assert oci.status() == "running"


@cgroups
def test_kill_reaches_a_created_container(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.sleep())
    oci.ok("kill", oci.id, "KILL")
    oci.until("stopped")


def test_kill_of_a_stopped_container_fails(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.stop()
    said = oci.fails("kill", oci.id, "KILL")
    assert oci.name == "crun" or "container not running" in said


@cgroups
def test_kill_all_of_a_stopped_container_succeeds(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.stop()
    oci.ok("kill", "--all", oci.id, "KILL")


# --- run ------------------------------------------------------------------------------------------------------------


@cgroups
def test_run_gives_output_and_exit_status(oci: Runtime, bundle: Bundle) -> None:
    done = oci.run(bundle.shell("echo out; echo err >&2; exit 42"))
    assert (done.returncode, done.stdout, done.stderr) == (42, "out\n", "err\n")
    assert not oci.exists()
    assert cgroups_of(oci.id) == []


def test_run_gives_128_and_the_signal(oci: Runtime, bundle: Bundle) -> None:
    # The first process of a pid namespace ignores its own signals: its child is the one to look at.
    bundle.linux["namespaces"] = [each for each in bundle.linux["namespaces"] if each["type"] != "pid"]
    assert oci.run(bundle.shell("kill -KILL $$")).returncode == 128 + signal.SIGKILL


def test_run_passes_standard_input(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["args"] = ["cat"]
    assert oci.run(bundle, input="through\n").stdout == "through\n"


@cgroups
def test_run_forwards_signals(oci: Runtime, bundle: Bundle) -> None:
    bundle.sleep()
    oci._made.append(oci.id)
    with subprocess.Popen(
        [*oci.argv, "run", "--bundle", str(bundle.write()), oci.id], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as runtime:
        assert runtime.stdout is not None
        assert runtime.stdout.readline() == b"ready\n"
        runtime.send_signal(signal.SIGTERM)
        assert runtime.wait(20) == 3


def test_run_detached_returns_at_once(oci: Runtime, bundle: Bundle) -> None:
    log = oci.directory / "out"
    oci._made.append(oci.id)
    with log.open("w") as out:
        subprocess.run(
            [*oci.argv, "run", "--detach", "--bundle", str(bundle.sleep().write()), oci.id],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=True, timeout=30,
        )  # fmt: skip
    assert oci.status() == "running"


@cgroups
def test_run_can_keep_the_stopped_container(oci: Runtime, bundle: Bundle) -> None:
    if oci.name == "crun":
        pytest.skip("crun 1.8.1 has no --keep")
    done = oci.run(bundle, "--keep")
    if oci.name == "runc" and done.returncode:
        pytest.skip("this runc has no --keep")
    assert oci.status() == "stopped"
    oci.ok("delete", oci.id)


# --- files and streams ----------------------------------------------------------------------------------------------


def test_the_pid_file_has_the_pid_and_no_newline(oci: Runtime, bundle: Bundle) -> None:
    oci.create(bundle.sleep(), "--pid-file", str(oci.directory / "pid"))
    assert (oci.directory / "pid").read_text() == str(oci.state()["pid"])


def test_a_relative_pid_file_belongs_to_the_working_directory(oci: Runtime, bundle: Bundle) -> None:
    done = oci.run(bundle, "--pid-file", "relative", cwd=oci.directory)
    assert done.returncode == 0
    assert (oci.directory / "relative").exists()


def test_the_bundle_is_the_working_directory_by_default(oci: Runtime, bundle: Bundle) -> None:
    bundle.shell("echo here").write()
    assert oci.ok("run", oci.id, cwd=bundle.path) == "here\n"


def test_options_may_follow_the_id(oci: Runtime, bundle: Bundle) -> None:
    assert oci.ok("run", oci.id, "--bundle", str(bundle.shell("echo here").write())) == "here\n"


def test_single_dash_long_options(oci: Runtime, bundle: Bundle) -> None:
    if oci.name == "crun":
        pytest.skip("crun's options are GNU's")
    bundle.shell("echo here").write()
    assert oci.ok("run", f"-bundle={bundle.path}", oci.id) == "here\n"


def test_preserved_descriptors_and_no_others_arrive(oci: Runtime, bundle: Bundle) -> None:
    bundle.shell("echo via 3 >&3; ls /proc/self/fd").write()
    words = [*oci.argv, "run", "--preserve-fds", "1", "--bundle", str(bundle.path), oci.id]
    opened = ["sh", "-c", 'exec 3>"$1"; shift; exec "$@"', "-", str(oci.directory / "third"), *words]
    done = subprocess.run(opened, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (oci.directory / "third").read_text() == "via 3\n"
    assert set(done.stdout.split()) <= {"0", "1", "2", "3", "4"}


def test_a_descriptor_to_preserve_must_exist(oci: Runtime, bundle: Bundle) -> None:
    said = oci.fails("run", "--preserve-fds", "5", "--bundle", str(bundle.write()), oci.id)
    assert "preserved-fd" in said


def test_descriptors_of_the_caller_do_not_arrive(oci: Runtime, bundle: Bundle) -> None:
    with open("/etc/hostname") as leaked:
        os.set_inheritable(leaked.fileno(), True)
        done = oci.run(bundle.shell("ls -l /proc/self/fd"), pass_fds=(leaked.fileno(),))
    assert done.returncode == 0
    assert "hostname" not in done.stdout


# --- logs and messages ----------------------------------------------------------------------------------------------


def test_a_failure_is_one_line_in_the_json_log_and_plain_on_standard_error(oci: Runtime) -> None:
    log = oci.directory / "log.json"
    done = oci("--log", str(log), "--log-format", "json", "state", "utsuwa-test-nobody")
    assert done.returncode == 1
    (line,) = log.read_text().splitlines()
    entry = json.loads(line)
    assert entry["level"] == "error"
    assert "does not exist" in entry["msg"]
    datetime.fromisoformat(entry["time"].replace("Z", "+00:00")[:19])
    if oci.name != "crun":
        assert "does not exist" in done.stderr
        assert not done.stderr.startswith(("{", "time="))


def test_success_leaves_no_line_in_the_log(oci: Runtime, bundle: Bundle) -> None:
    log = oci.directory / "log.json"
    bundle.write()
    oci.ok("--log", str(log), "--log-format", "json", "run", "--bundle", str(bundle.path), oci.id)
    assert not log.exists() or log.read_text() == ""


def test_a_log_format_that_is_none_is_refused(oci: Runtime) -> None:
    oci.fails("--log-format", "xml", "state", "utsuwa-test-nobody")


def test_the_number_of_arguments_counts(oci: Runtime) -> None:
    for words in (("state",), ("start", "a", "b"), ("create",)):
        done = oci(*words)
        assert done.returncode != 0, words
        if oci.name != "crun":
            assert "Incorrect Usage" in done.stdout + done.stderr
            assert "requires exactly 1 argument" in done.stderr


def test_unknown_commands_and_options_are_refused(oci: Runtime) -> None:
    assert oci("nonsense").returncode != 0
    assert oci("state", "--nonsense", "x").returncode != 0


def test_version(oci: Runtime) -> None:
    lines = oci.ok("--version").splitlines()
    assert lines[0].startswith(f"{oci.name} version ")
    assert lines[1].startswith("commit: ")
    assert any(line.startswith("spec: 1.") for line in lines)


@cgroups
def test_features_are_json(oci: Runtime) -> None:
    if oci.name == "crun":
        pytest.skip("crun 1.8.1 has no features command")
    features = json.loads(oci.ok("features"))
    assert "rro" in features["mountOptions"]
    assert features["linux"]["cgroup"]["v1"] is True


def test_spec_writes_a_configuration_that_runs(oci: Runtime, bundle: Bundle) -> None:
    oci.ok("spec", "--bundle", str(bundle.path), cwd=bundle.path)
    oci.fails("spec", "--bundle", str(bundle.path), cwd=bundle.path)
    config = json.loads((bundle.path / "config.json").read_text())
    if oci.name != "crun":  # which makes one everywhere
        namespaces = [namespace["type"] for namespace in config["linux"]["namespaces"]]
        assert ("cgroup" in namespaces) is os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    config["process"]["terminal"] = False
    config["process"]["args"] = ["hostname"]
    bundle.config = config
    assert oci.run(bundle).stdout.strip() == oci.name


# --- failures leave nothing -----------------------------------------------------------------------------------------


def _nothing_left(oci: Runtime) -> None:
    assert not oci.exists()
    assert cgroups_of(oci.id) == []
    root = oci.root / oci.id
    assert not root.exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"ociVersion": 1}', '{"ociVersion": "1.0.2", "root": {"path": "rootfs"}}']
)
def test_a_broken_configuration_leaves_nothing(oci: Runtime, bundle: Bundle, content: str) -> None:
    (bundle.path / "config.json").write_text(content)
    oci.fails("run", "--bundle", str(bundle.path), oci.id)
    _nothing_left(oci)


def test_a_missing_configuration_leaves_nothing(oci: Runtime, bundle: Bundle) -> None:
    assert "config.json" in oci.fails("run", "--bundle", str(bundle.path), oci.id)
    _nothing_left(oci)


def test_a_missing_root_leaves_nothing(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["path"] = "nowhere"
    done = oci.run(bundle)
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    _nothing_left(oci)


@cgroups
def test_a_missing_program_leaves_nothing(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["args"] = ["/no-such-program"]
    done = oci.run(bundle)
    assert done.returncode == 1
    assert "no such file or directory" in done.stderr.lower() or "not found" in done.stderr.lower()
    _nothing_left(oci)


def test_a_program_that_is_not_on_the_path(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["args"] = ["no-such-program"]
    done = oci.run(bundle)
    assert done.returncode == 1
    assert "executable file" in done.stderr and "not found in $PATH" in done.stderr
    _nothing_left(oci)


def test_a_program_without_permission(oci: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "plain").write_text("#!/bin/sh\n")
    bundle.process["args"] = ["/plain"]
    done = oci.run(bundle)
    assert done.returncode == 1
    assert "permission denied" in done.stderr.lower()
    _nothing_left(oci)


@cgroups
def test_a_mount_that_fails_leaves_nothing(oci: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"].append({"destination": "/x", "type": "bind", "source": "/nowhere", "options": ["bind"]})
    done = oci.run(bundle)
    assert done.returncode == 1
    assert "/nowhere" in done.stderr
    _nothing_left(oci)


# --- pause, resume, ps ----------------------------------------------------------------------------------------------


@cgroups
def test_pause_and_resume(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.fails("resume", oci.id)
    oci.ok("pause", oci.id)
    assert oci.status() == "paused"
    oci.ok("resume", oci.id)
    assert oci.status() == "running"


@cgroups
def test_a_paused_container_can_be_killed_and_deleted(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    oci.ok("pause", oci.id)
    oci.ok("delete", "--force", oci.id)
    assert not oci.exists()


@cgroups
def test_ps_lists_the_processes(oci: Runtime, bundle: Bundle) -> None:
    oci.running(bundle.sleep())
    pids = json.loads(oci.ok("ps", "--format", "json", oci.id))
    assert oci.state()["pid"] in pids
    assert len(pids) == 2
