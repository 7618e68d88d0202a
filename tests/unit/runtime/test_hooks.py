"""Hooks that the runtime runs itself, and undo."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.unit.runtime.test_record import document
from utsuwa.errors import Error, FailedPrecondition
from utsuwa.runtime import hooks
from utsuwa.runtime.undo import Interrupted, Undo
from utsuwa.spec.runtime import Hook


def shell(script: str, **properties: object) -> Hook:
    return Hook(path="/bin/sh", args=("sh", "-c", script), **properties)  # type: ignore[arg-type]


def test_the_state_is_one_line_of_json() -> None:
    state = hooks.state_json(document(annotations={"path": "/a/b"}), "creating", 7)
    assert json.loads(state) == {
        "ociVersion": "1.0.2",
        "id": "one",
        "status": "creating",
        "pid": 7,
        "bundle": "/b",
        "annotations": {"path": "/a/b"},
    }
    assert "\n" not in state
    assert "/a/b" in state
    assert "pid" not in json.loads(hooks.state_json(document(), "stopped", 0))


def test_the_pid_is_put_between_two_halves() -> None:
    before, after = hooks.state_around_pid(document(), "created")
    assert json.loads(f"{before}42{after}")["pid"] == 42


def test_a_hook_has_state_environment_and_bundle(tmp_path: Path) -> None:
    hook = shell("cat > out; echo $A >> out; pwd >> out; echo noise", env=("A=b=c", "malformed"))
    hooks.run("createRuntime", (hook,), "STATE\n", str(tmp_path))
    assert (tmp_path / "out").read_text() == f"STATE\nb=c\n{tmp_path}\n"


def test_the_first_failure_ends_the_list(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        hooks.run("prestart", (shell("true"), shell("echo why >&2; exit 3"), shell("touch no")), "", str(tmp_path))
    assert str(caught.value) == "error running prestart hook #1: /bin/sh: exit status 3, output: why"
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (shell("kill -9 $$"), "killed by signal 9"),
        (Hook(path="/no/such/hook"), "no such file or directory"),
        (shell("exec sleep 100", timeout=1), "timed out after 1 s"),
    ],
)
def test_failures_are_named(hook: Hook, message: str, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=f"error running poststart hook #0: .*{message}"):
        hooks.run("poststart", (hook,), "", str(tmp_path))


def test_all_are_run_and_failures_collected(tmp_path: Path) -> None:
    failures = hooks.run_all("poststop", (shell("exit 1"), shell("touch yes")), "", str(tmp_path))
    assert len(failures) == 1
    assert (tmp_path / "yes").exists()


def test_a_bundle_that_is_gone_is_no_reason_not_to_run(tmp_path: Path) -> None:
    hooks.run("poststop", (shell("true"),), "", str(tmp_path / "gone"))


def test_signals_that_python_ignores_are_not_ignored_in_hooks(tmp_path: Path) -> None:
    hooks.run("createRuntime", (shell("grep SigIgn /proc/self/status > out"),), "", str(tmp_path))
    ignored = int((tmp_path / "out").read_text().split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)


# --- undo -----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def mask() -> object:
    """Undo blocks signals for good, in a process that is about to end; this one is not."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_inverses_run_backwards_when_something_fails() -> None:
    order: list[int] = []
    with pytest.raises(Error, match=r"^broken$"), Undo() as undo:
        undo.push(order.append, 1)
        undo.push(order.append, 2)
        raise Error("broken")
    assert order == [2, 1]


def test_nothing_runs_when_all_is_well() -> None:
    order: list[int] = []
    with Undo() as undo:
        undo.push(order.append, 1)
    assert order == []


def test_an_inverse_that_fails_stops_no_other_and_is_told() -> None:
    order: list[int] = []

    def fail() -> None:
        raise OSError(16, "busy")

    with pytest.raises(Error, match=r"broken; then cleaning up failed: .*busy"), Undo() as undo:
        undo.push(order.append, 1)
        undo.push(fail)
        raise Error("broken")
    assert order == [1]


def test_an_interruption_stays_one() -> None:
    with pytest.raises(Interrupted) as caught, Undo() as undo:
        undo.push(lambda: None)
        raise Interrupted(15)
    assert caught.value.number == 15
