"""Containers from the command line: what they print, how they end, and that nothing of them stays."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    directory = tmp_path_factory.mktemp("engine")
    household = Household(directory)
    household.load(directory)
    yield household
    household.end()


@pytest.fixture(autouse=True)
def nothing_stays(house: Household) -> Iterator[None]:
    yield
    for identifier in house.ok("ps", "-aq", "--no-trunc").split():
        house.ok("rm", "-f", identifier)
    assert house.leftovers() == []


def test_run_prints_what_the_process_prints(house: Household) -> None:
    done = house("run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)


def test_run_without_a_command_takes_the_images(house: Household) -> None:
    assert house.ok("run", "--rm", IMAGE) == "default\n"


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (["nonexistent"], 127, "executable file not found in $PATH"),
        (["/nonexistent"], 127, "no such file or directory"),
        (["/etc"], 126, "is a directory"),
        (["/etc/passwd"], 126, "permission denied"),
        (["sh", "-c", "kill -9 $$"], 137, ""),
        (["sh", "-c", "exit 42"], 42, ""),
    ],
)
def test_exit_codes_are_dockers(house: Household, command: list[str], code: int, text: str) -> None:
    done = house("run", "--rm", "--init", IMAGE, *command) if code == 137 else house("run", "--rm", IMAGE, *command)
    assert done.returncode == code
    assert text in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["run", "--no-such-flag", IMAGE], 125, "unknown flag: --no-such-flag"),
        (["run"], 1, "requires at least 1 argument"),
        (["run", "--pull", "never", "nosuch:image"], 125, "No such image: nosuch:image"),
        (["run", "--network", "nowhere", IMAGE], 125, "network nowhere not found"),
        (["run", "-m", "1k", IMAGE], 125, "memory must be at least 6m"),
        (["stop", "nobody"], 1, "No such container: nobody"),
        (["exec", "nobody", "true"], 1, "No such container: nobody"),
        (["frobnicate"], 1, "unknown command: utsuwa frobnicate"),
    ],
)
def test_mistakes_are_told_in_one_line(house: Household, words: list[str], code: int, text: str) -> None:
    done = house(*words)
    assert done.returncode == code
    assert done.stderr.decode().startswith("utsuwa: ")
    assert text in done.stderr.decode()


def test_options_reach_the_process(house: Household, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("from the host")
    script = (
        "echo $A-$FROM_IMAGE; pwd; id -u; hostname; cat /mnt/file; echo; touch /mnt/x 2>/dev/null || echo ro; "
        "touch /t/x && echo tmpfs; touch /x 2>/dev/null || echo root-ro; ulimit -n"
    )
    options = ["-e", "A=b", "-w", "/tmp", "-u", "1000:1000", "-h", "box", "--read-only", "--tmpfs", "/t:mode=1777"]
    options += ["-v", f"{tmp_path}:/mnt:ro", "--ulimit", "nofile=77:88"]
    printed = house.ok("run", "--rm", *options, IMAGE, "sh", "-c", script)
    assert printed.split("\n") == ["b-yes", "/tmp", "1000", "box", "from the host", "ro", "tmpfs", "root-ro", "77", ""]


def test_limits_are_written_to_the_cgroup(house: Household) -> None:
    script = (
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max 2>/dev/null "
        "|| cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max"
    )
    assert house.ok("run", "--rm", "-m", "64m", "--pids-limit", "50", IMAGE, "sh", "-c", script) == "67108864\n50\n"


def test_capabilities_and_privileges(house: Household) -> None:
    show = ["sh", "-c", "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t\\n' ' '"]
    assert house.ok("run", "--rm", IMAGE, *show) == "CapBnd: 00000000a80425fb NoNewPrivs: 0 Seccomp: 2 "
    hard = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    assert house.ok("run", "--rm", *hard, IMAGE, *show) == "CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2 "
    loose = ["--cap-add", "SYS_TIME", "--security-opt", "seccomp=unconfined"]
    assert house.ok("run", "--rm", *loose, IMAGE, *show) == "CapBnd: 00000000aa0425fb NoNewPrivs: 0 Seccomp: 0 "


def test_init_reaps_and_forwards(house: Household) -> None:
    printed = house.ok("run", "--rm", "--init", IMAGE, "sh", "-c", "echo $$; cat /proc/1/comm")
    first, second = printed.split()
    assert first != "1"
    assert second != "sh"


def test_stdin_is_forwarded_and_ends(house: Household) -> None:
    data = os.urandom(300_000).hex().encode()
    assert house("run", "--rm", "-i", IMAGE, "cat", stdin=data).stdout == data


def test_terminal(house: Household) -> None:
    assert house.ok("run", "--rm", "-t", IMAGE, "sh", "-c", "test -t 0 && test -t 1 && echo tty; echo $TERM") == (
        "tty\r\nxterm\r\n"
    )


def test_detached_container_life(house: Household) -> None:
    identifier = house.ok("run", "-d", "--name", "web", IMAGE, "sh", "-c", "echo started; sleep 1000").strip()
    until(lambda: house.ok("logs", "web") == "started\n")
    row = house.ok("ps").split("\n")[1]
    assert row.startswith(identifier[:12])
    assert row.endswith("web")
    assert house("run", "-d", "--name", "web", IMAGE, "true").returncode == 125
    assert house("rm", "web").returncode == 1
    assert house.ok("inspect", "-f", "{{.State.Status}}", "web") == "running\n"
    assert house.ok("stop", "-t", "0", "web") == "web\n"
    assert house.ok("wait", "web") == "137\n"
    assert "Exited (137)" in house.ok("ps", "-a")
    assert house.ok("start", "web") == "web\n"
    until(lambda: house.ok("logs", "web") == "started\nstarted\n")
    assert house.ok("kill", "web") == "web\n"
    state = json.loads(house.ok("inspect", "web"))[0]["State"]
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 137, 0)
    house.ok("rm", "web")
    assert house.leftovers(identifier) == []


def test_exec(house: Household) -> None:
    house.ok("run", "-d", "--name", "box", "-e", "INSIDE=1", IMAGE, "sleep", "1000")
    assert house.ok("exec", "box", "sh", "-c", "echo $INSIDE; cat /proc/1/comm") == "1\nsleep\n"
    assert house("exec", "box", "sh", "-c", "exit 5").returncode == 5
    assert house("exec", "box", "nonexistent").returncode == 127
    assert house.ok("exec", "-i", "box", "cat", stdin=b"typed") == "typed"
    assert house.ok("exec", "-t", "-e", "A=1", "-w", "/tmp", "-u", "7", "box", "sh", "-c", "echo $A; pwd; id -u") == (
        "1\r\n/tmp\r\n7\r\n"
    )
    house.ok("exec", "-d", "box", "touch", "/done")
    until(lambda: house("exec", "box", "test", "-e", "/done").returncode == 0)


def test_logs_are_dockers_json(house: Household) -> None:
    identifier = house.ok(
        "run", "-d", IMAGE, "sh", "-c", 'printf "a\\"b\\n"; echo e >&2; head -c 20000 /dev/zero | tr "\\0" x'
    )
    identifier = identifier.strip()
    house.ok("wait", identifier)
    path = house.root / "containers" / identifier / f"{identifier}-json.log"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((record["stream"], len(record["log"])) for record in records) == [
        ("stderr", 2),
        ("stdout", 4),
        ("stdout", 3616),
        ("stdout", 16384),
    ]
    assert records[0].keys() == {"log", "stream", "time"}
    done = house("logs", "--tail", "1", identifier)
    assert done.stdout == b"x" * 3616


def test_no_line_is_lost(house: Household) -> None:
    house.ok("run", "-d", "--name", "many", IMAGE, "seq", "1", "200000")
    house.ok("wait", "many")
    assert house.ok("logs", "many") == "".join(f"{number}\n" for number in range(1, 200001))


def test_follow_ends_with_the_container(house: Household) -> None:
    house.ok("run", "-d", "--name", "slow", IMAGE, "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
    assert house.ok("logs", "-f", "slow") == "1\n2\n3\n"


def test_log_rotation(house: Household) -> None:
    identifier = house.ok(
        "run", "-d", "--log-opt", "max-size=10k", "--log-opt", "max-file=2", IMAGE, "seq", "1", "2000"
    ).strip()
    house.ok("wait", identifier)
    logs = sorted((house.root / "containers" / identifier).glob("*.log*"))
    assert [path.suffix for path in logs] == [".log", ".1"]
    assert all(path.stat().st_size < 10_400 for path in logs)
    assert house.ok("logs", identifier).endswith("1999\n2000\n")


def test_signals_are_forwarded(house: Household) -> None:
    running = house.begin(
        "run", "--rm", IMAGE, "sh", "-c", "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    )
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=20)
    assert (out, err, running.returncode) == (b"caught\n", b"", 9)


def test_several_clients_attach(house: Household) -> None:
    house.ok("run", "-d", "-i", "--name", "echo", IMAGE, "sh", "-c", "read line; echo got $line")
    first, second = house.begin("attach", "echo"), house.begin("attach", "--no-stdin", "echo")
    assert second.stdin is not None
    until(lambda: len(list((Path("/proc") / str(second.pid) / "fd").iterdir())) > 4)
    assert first.communicate(b"word\n", timeout=20)[0] == b"got word\n"
    second.communicate(timeout=20)
    assert house.ok("logs", "echo") == "got word\n"


def test_volumes(house: Household) -> None:
    house.ok("run", "--rm", "-v", "data:/etc", IMAGE, "sh", "-c", "echo kept >/etc/new")
    # A new volume has what the image had there, and keeps what the container added.
    assert house.ok(
        "run", "--rm", "-v", "data:/d:ro", IMAGE, "sh", "-c", "cat /d/new; test -e /d/passwd && echo copied"
    ) == ("kept\ncopied\n")
    house.ok("run", "--rm", "-v", "/anonymous", IMAGE, "true")
    assert [path.name for path in (house.root / "volumes").iterdir()] == ["data"]


def test_images_and_rmi(house: Household) -> None:
    header, row = house.ok("images").splitlines()
    assert header.split()[:4] == ["REPOSITORY", "TAG", "IMAGE", "ID"]
    assert row.split()[:2] == [IMAGE, "latest"]
    house.ok("create", "--name", "user", IMAGE)
    assert "is using its referenced image" in house("rmi", IMAGE).stderr.decode()
    assert json.loads(house.ok("inspect", "user"))[0]["State"]["Status"] == "created"


def test_memory_that_ran_out_is_told(house: Household) -> None:
    eat = "x=a; while :; do x=$x$x; done"
    done = house("run", "--name", "eater", "-m", "20m", "--memory-swap", "20m", IMAGE, "sh", "-c", eat)
    assert done.returncode == 137
    assert house.ok("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "eater") == "true 137\n"


def test_a_container_that_could_not_start_is_created(house: Household) -> None:
    done = house("run", "-d", "--name", "never", IMAGE, "nonexistent")
    assert (done.returncode, len(done.stdout)) == (127, 65)
    assert house.ok("ps", "-a", "--format", "{{.Names}} {{.Status}} {{.State}}") == "never Created created\n"
    assert house.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "never") == "created 127\n"


def test_lists_by_template_and_filter(house: Household) -> None:
    house.ok("create", "--name", "first", "--label", "a=b", "--label", "x", IMAGE, "sh", "-c", "echo 1; echo 2")
    house.ok("run", "-d", "--name", "second", IMAGE, "sleep", "1000")
    row = ["ps", "-a", "--format"]
    assert house.ok(*row, '{{.Labels}}|{{.Label "a"}}|{{.Command}}', "-f", "name=^/first$") == (
        'a=b,x=|b|"sh -c \'echo 1; echo…"\n'
    )
    assert house.ok("ps", "--format", "table {{.Names}}\\t{{.Networks}}") == "NAMES     NETWORKS\nsecond    none\n"
    assert house.ok("ps", "-aq", "-f", "status=running", "-f", "label=a") == ""
    for filters, names in (
        (["since=first"], "second\n"),
        (["before=second"], "first\n"),
        (["status=created", "status=running"], "second\nfirst\n"),
        ([f"ancestor={IMAGE}:latest", "label=x"], "first\n"),
    ):
        words = [word for each in filters for word in ("-f", each)]
        assert house.ok("ps", "-a", "--format", "{{.Names}}", *words) == names
    assert house.ok("images", "--format", "{{.Repository}}:{{.Tag}}", "-f", "reference=utsuwa/*") == f"{IMAGE}:latest\n"
    assert house.ok("images", "-q", "-f", "dangling=true") == ""
    assert house("ps", "-f", "status=odd").returncode == 1
    assert house("inspect", "-f", "{{.State", "first").returncode == 64


def test_inspect_knows_what_the_image_said(house: Household) -> None:
    house.ok("create", "--name", "plain", "-t", "-e", "MINE=1", IMAGE)
    assert house.ok("inspect", "-f", "{{json .Config.Env}} {{json .Config.Cmd}} {{.Config.Entrypoint}}", "plain") == (
        '["PATH=/bin:/usr/bin","FROM_IMAGE=yes","MINE=1"] ["sh","-c","echo default"] []\n'
    )


def test_groups_by_name(house: Household) -> None:
    show = ["id", "-G"]
    assert house.ok("run", "--rm", "--group-add", "tty", "--group-add", "99", IMAGE, *show) == "0 5 99\n"
    done = house("run", "--rm", "--group-add", "nosuch", IMAGE, *show)
    assert (done.returncode, b"Unable to find group nosuch" in done.stderr) == (125, True)


def test_a_seccomp_profile_of_ones_own(house: Household, tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 17}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    done = house("run", "--rm", "--security-opt", f"seccomp={profile}", IMAGE, "mkdir", "/new")
    assert (done.returncode, b"File exists" in done.stderr) == (1, True)
    assert house("run", "--rm", "--security-opt", "seccomp=/nosuch", IMAGE).returncode == 125


def test_only_the_attached_streams_are_shown(house: Household) -> None:
    speak = ["sh", "-c", "echo out; echo err >&2"]
    done = house("run", "--rm", "-a", "stdout", IMAGE, *speak)
    assert (done.stdout, done.stderr) == (b"out\n", b"")
    done = house("run", "--rm", "-a", "stderr", IMAGE, *speak)
    assert (done.stdout, done.stderr) == (b"", b"err\n")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["run", "--cpus", "9999", IMAGE], 125, "range of CPUs is from 0.01 to"),
        (["run", "--cpuset-cpus", "9999", IMAGE], 125, "requested CPUs are not available"),
        (["run", "--stop-signal", "BOGUS", IMAGE], 125, "Invalid signal: BOGUS"),
        (
            ["run", "--platform", "linux/s390x", "--pull", "never", IMAGE],
            125,
            "does not provide the specified platform",
        ),
        (["exec", "-u", "nosuch", "box", "id"], 126, "unable to find user nosuch"),
        (["exec", "-d", "box", "nonexistent"], 1, "executable file not found in $PATH"),
        (["kill", "-s", "0", "box"], 1, "Invalid signal: 0"),
        (["kill", "nobody"], 1, "Cannot kill container: nobody: No such container: nobody"),
        (["rm", "-f", "nobody"], 0, "No such container: nobody"),
        (["rmi", "nosuch"], 1, "No such image: nosuch:latest"),
    ],
)
def test_refusals_are_dockers(house: Household, words: list[str], code: int, text: str) -> None:
    house.ok("run", "-d", "--name", "box", IMAGE, "sleep", "1000")
    done = house(*words)
    assert (done.returncode, text in done.stderr.decode()) == (code, True), done.stderr.decode()
