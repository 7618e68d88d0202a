"""Processes: signals by name, identity beyond the pid, waiting."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.runtime import foreground, process


@pytest.mark.parametrize("number", list(signal.Signals))
def test_names_of_signals_are_the_librarys(number: signal.Signals) -> None:
    for text in (number.name, number.name.removeprefix("SIG"), number.name.lower(), str(int(number))):
        assert process.signal_number(text) == number


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("poll", 29)])
def test_other_names(text: str, number: int) -> None:
    assert process.signal_number(text) == number


@pytest.mark.parametrize("text", ["", "SIG", "65", "-1", "NONSENSE", "RTMIN+", "RTMIN+99", "9 "])
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(InvalidArgument, match="unknown signal"):
        process.signal_number(text)


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    with subprocess.Popen(["sleep", "1000"]) as running:
        yield running
        running.kill()


def test_start_time_is_that_of_proc(sleeper: subprocess.Popen[bytes]) -> None:
    with open(f"/proc/{sleeper.pid}/stat") as stat:
        assert process.start_time(sleeper.pid) == int(stat.read().split()[21])


def test_a_name_with_parentheses_does_not_confuse(tmp_path: os.PathLike[str]) -> None:
    program = f"{tmp_path}/a) R 1 2 ("
    os.symlink("/bin/sleep", program)
    with subprocess.Popen([program, "1000"]) as running:
        assert process.start_time(running.pid) == pytest.approx(process.start_time(os.getpid()), abs=10**9)
        assert (process.start_time(running.pid) or 0) > 0
        running.kill()


def test_a_zombie_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    started = process.start_time(sleeper.pid)
    assert started is not None
    assert process.send(sleeper.pid, started, signal.SIGKILL)
    assert process.await_end(sleeper.pid, started, 10)
    assert process.start_time(sleeper.pid) is None
    assert not process.send(sleeper.pid, started, signal.SIGKILL)


def test_a_signal_never_reaches_another_process_with_the_same_pid(sleeper: subprocess.Popen[bytes]) -> None:
    started = process.start_time(sleeper.pid)
    assert started is not None
    assert not process.send(sleeper.pid, started + 1, signal.SIGKILL)
    assert sleeper.poll() is None
    assert process.await_end(sleeper.pid, started + 1, 10)
    assert not process.await_end(sleeper.pid, started, 0)


@pytest.mark.parametrize(("status", "code"), [(0, 0), (3 << 8, 3), (9, 137), (0x86, 134)])
def test_exit_codes(status: int, code: int) -> None:
    assert process.exit_code(status) == code


def test_waiting_in_the_foreground_forwards_signals() -> None:
    program = (
        "import os, signal, sys; from utsuwa.runtime.foreground import wait;"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]);"  # as hold_signals() does for its callers
        "script = 'trap \"exit 5\" TERM; echo ready; while :; do sleep 0.05; done';"
        "pid = os.posix_spawn('/bin/sh', ['sh', '-c', script], os.environ, setsigmask=()); sys.exit(wait(pid))"
    )
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(foreground.__file__)))}
    with subprocess.Popen(["/usr/bin/python3", "-c", program], stdout=subprocess.PIPE, env=environment) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 5


def test_a_child_that_ended_before_anybody_waited() -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], {})
    process.readable(os.pidfd_open(pid), 10_000)
    assert foreground.wait(pid) == 4
