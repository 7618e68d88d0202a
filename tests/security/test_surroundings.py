"""What surrounds the verbs: state on disk, process numbers, the caller's environment, umask and directory, hooks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime, eventually
from tests.needs import needs
from tests.security.attack import Decoy

pytestmark = needs("root", "busybox")


# --- state on disk --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o077])
def test_state_is_for_root_alone(oci: Runtime, bundle: Bundle, tmp_path: Path, umask: int) -> None:
    """The configuration holds secrets (env), whatever the caller's umask; and that umask is not the container's either.

    Proven: the container's umask is seen, and is the configured one.
    """
    before = os.umask(umask)
    try:
        bundle.process["cwd"] = "/made/by/us"
        bundle.process["user"]["umask"] = 0o027
        bundle.shell("umask; stat -c %a /made /made/by/us; exec sleep 99")
        oci.create(bundle, "--pid-file", str(tmp_path / "pid"))
    finally:
        os.umask(before)
    oci.ok("start", oci.id)
    state = oci.root / oci.id
    for path in state.iterdir():
        assert path.stat().st_mode & 0o177 == 0, path
    assert (oci.root.stat().st_mode | state.stat().st_mode) & 0o066 == 0
    assert (tmp_path / "pid").stat().st_mode & 0o022 == 0
    with open(oci.directory / f"{oci.id}.log") as log:
        assert eventually(lambda: len(oci.output().split()) == 3, "the output") and log.read().split() == [
            "0027",
            "755",
            "755",
        ]


@pytest.mark.parametrize("verb", [("delete",), ("delete", "--force"), ("state",), ("kill",), ("start",), ("create",)])
@pytest.mark.parametrize("planted", ["link", "directory", "link to link"])
def test_directories_that_are_no_containers(
    oci: Runtime, bundle: Bundle, decoy: Decoy, verb: tuple[str, ...], planted: str
) -> None:
    """A root that others may write to (or `--root` given wrongly): what is there under a container's id is not ours.

    Proven: until this test was written, `delete` and `create` removed every file of such a directory.
    """
    oci.root.mkdir(mode=0o700)
    if planted == "directory":
        shutil.copytree(decoy.path, oci.root / oci.id)
        shutil.rmtree(oci.root / oci.id / "inner")
    else:
        target = decoy.path if planted == "link" else oci.root / "other"
        (oci.root / "other").symlink_to(decoy.path)
        (oci.root / oci.id).symlink_to(target)
        shutil.rmtree(decoy.path / "inner")
        decoy.remember()
    words = ("--bundle", str(bundle.write())) if verb == ("create",) else ()
    done = oci(*verb, *words, oci.id)
    assert "Traceback" not in done.stderr
    assert not decoy.touched
    if planted == "directory":
        assert sorted(os.listdir(oci.root / oci.id)) == ["console", "file", "null", "ptmx"]
        shutil.rmtree(oci.root / oci.id)
    else:
        (oci.root / oci.id).unlink()


def test_a_number_that_is_somebody_elses_now(oci: Runtime, bundle: Bundle) -> None:
    """The container's process has ended, and its number belongs to another: no verb may touch that one.

    Proven: with the start time of the other written down as well, it is the container's, and is killed.
    """
    oci.running(bundle.sleep())
    oci.stop()
    other = subprocess.Popen(["sleep", "99"])
    try:
        path = oci.root / oci.id / "state.json"
        document = json.loads(path.read_text())
        document["pid"] = other.pid
        path.write_text(json.dumps(document))
        assert oci.status() == "stopped"
        assert "not running" in oci.fails("kill", oci.id, "KILL")
        assert "stopped" in oci.fails("exec", oci.id, "true", code=255)
        assert other.poll() is None
        document["startTime"] = int(Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[19])
        path.write_text(json.dumps(document))
        oci.ok("kill", oci.id, "KILL")
        assert other.wait(10) == -signal.SIGKILL
    finally:
        other.kill()
        other.wait()


def test_a_bundle_that_changes(oci: Runtime, bundle: Bundle) -> None:
    """After create the bundle has no say any more: not for start, not for exec (runtime.md, "Lifecycle").

    Proven: a container made of the changed bundle is another.
    """
    bundle.process["env"].append("WHO=first")
    oci.running(bundle.sleep())
    bundle.process["env"][-1] = "WHO=second"
    bundle.process["capabilities"] = None
    bundle.write()
    assert oci.ok("exec", oci.id, "sh", "-c", "echo $WHO") == "first\n"
    oci.ok("delete", "--force", oci.id)
    assert oci.inside(bundle, "echo $WHO") == "second\n"


def test_damaged_state(oci: Runtime, bundle: Bundle) -> None:
    """State of nonsense is an error of ours for every verb. Proven: mended, the container is there again."""
    oci.create(bundle)
    pid = oci.state()["pid"]
    path = oci.root / oci.id / "state.json"
    sound = path.read_text()
    for text in (
        "",
        "{",
        "[]",
        "{}",
        sound.replace(str(pid), '"x"'),
        sound.replace(str(pid), "-1"),
        "\0",
        "[" * 99_999,
    ):
        path.write_text(text)
        for verb in (("state",), ("kill",), ("start",), ("exec",), ("ps",), ("pause",), ("list",)):
            words = () if verb == ("list",) else (oci.id, "true") if verb == ("exec",) else (oci.id,)
            done = oci(*verb, *words)
            assert "Traceback" not in done.stderr, (verb, text[:20], done.stderr)
    path.write_text(sound)
    assert oci.status() == "created"


# --- the caller -----------------------------------------------------------------------------------------------------


def test_the_callers_environment_and_directory(oci: Runtime, bundle: Bundle, decoy: Decoy) -> None:
    """Modules, settings and libraries that lie where urun is called, in a bundle that an enemy has written.

    Proven: the same module is loaded by an interpreter that is not isolated.
    """
    bundle.shell("env; ls /proc/self/fd | wc -l")
    bundle.write()
    evil = f"open({str(decoy.path / 'evil')!r}, 'w').close()\n"
    for name in (
        "os",
        "site",
        "json",
        "struct",
        "sitecustomize",
        "usercustomize",
        "encodings/__init__",
        "utsuwa/__init__",
        "fcntl",
    ):
        path = bundle.path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(evil)
    (bundle.path / "pyvenv.cfg").write_text("home = .\n")
    here = str(bundle.path)
    environment = {
        **os.environ, "SECRET": "of the caller", "PYTHONPATH": here, "PYTHONHOME": here, "PYTHONUSERBASE": here,
        "PYTHONSTARTUP": f"{here}/os.py", "PYTHONINSPECT": "1", "PYTHONPLATLIBDIR": "x", "PYTHONDEBUG": "1",
    }  # fmt: skip
    done = oci("run", oci.id, cwd=here, env=environment)
    assert done.returncode == 0, done.stderr
    assert "SECRET" not in done.stdout and "PYTHON" not in done.stdout
    for words in (
        ("state", oci.id),
        ("list",),
        ("features",),
        ("spec", "--help"),
        ("exec", oci.id, "x"),
        ("delete", "x"),
    ):
        assert "Traceback" not in oci(*words, cwd=here, env=environment).stderr
    assert not decoy.touched
    subprocess.run(["/usr/bin/python3", "-c", "import json"], cwd=here, check=False, capture_output=True)
    assert decoy.touched


def test_hooks_get_what_they_are_given(oci: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """Hooks: their own environment only, and inside no descriptors of ours. Proven: what is given is there."""
    script = "cat > /dev/null; { env; echo; ls /proc/self/fd; pwd; umask; } > $OUT.$KIND"
    hooks = {}
    for kind in ("createRuntime", "createContainer", "poststart", "poststop"):
        env = [f"OUT={tmp_path}/hook", f"KIND={kind}", "PATH=/bin"]
        hooks[kind] = [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": env}]
    hooks["startContainer"] = [
        {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["OUT=/hook", "KIND=x", "PATH=/bin"]}
    ]
    bundle.config["hooks"] = hooks
    oci.argv = ["sh", "-c", 'exec 7</etc/passwd 8</; SECRET=x exec "$@"', "-", *oci.argv]
    assert oci.run(bundle).returncode == 0
    for path in (*(tmp_path / f"hook.{kind}" for kind in hooks if kind != "startContainer"), bundle.rootfs / "hook.x"):
        text, _, rest = path.read_text().partition("\n\n")
        assert "SECRET" not in text and "KIND=" in text
        numbers = [word for word in rest.split() if word.isdigit() and len(word) < 3]
        if path.name in ("hook.x", "hook.createContainer"):  # the others get their caller's, as everybody's hooks do
            assert numbers == ["0", "1", "2", "3"], path  # 3 is the listing's own


def test_signals_in_the_middle_of_exec(oci: Runtime, bundle: Bundle) -> None:
    """An exec that is interrupted leaves no process behind that has entered. Proven: one that is left alone runs."""
    oci.running(bundle.sleep())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with open(os.devnull, "r+b") as null:
            running = subprocess.Popen([*oci.argv, "exec", oci.id, "sleep", "98"], stdin=null, stdout=null, stderr=null)
        eventually(lambda: "98" in oci.ok("exec", oci.id, "ps"), "the process")
        running.send_signal(number)
        running.wait(10)
        eventually(lambda: "98" not in oci.ok("exec", oci.id, "ps"), "its end")
