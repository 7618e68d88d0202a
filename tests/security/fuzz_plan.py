"""Plans of random operations, whole or damaged, given to the executor where it can do no harm.

It runs as nobody, as root of a user namespace that owns all the others, in an empty directory that is its root, and
beneath a process 1 whose end is the end of all. Limits and filters are left out: those that work do kill it.

    python -m tests.security.fuzz_plan RUNS [FIRST] [--sanitized]      with sanitizers in the executor
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.security.mutation import damage
from tests.security.sanitized import executor
from utsuwa.init import spawn
from utsuwa.init.encode import encode
from utsuwa.init.spawn import sealed
from utsuwa.plan import ops

SECONDS = 30
CHANNEL, SLOT, PLAN = 50, 51, 52
_NOBODY = 65534
_USER, _REST = 0x10000000, 0x20000 | 0x40000000 | 0x8000000 | 0x4000000 | 0x20000000
_NUMBERS = (
    0,
    1,
    2,
    3,
    5,
    18,
    0o40755,
    1 << 14,
    1 << 17,
    1 << 19,
    1 << 20,
    1 << 28,
    1 << 31,
    1 << 32,
    (1 << 63) - 1,
    -1,
    -2,
)
_TEXTS = (
    *(
        "",
        "/",
        ".",
        "..",
        "a",
        "/a",
        "/a/b/../c",
        "//x//",
        "tmpfs",
        "proc",
        "overlay",
        "size=1k",
        "ro",
        "=",
        "1:x",
        "0:0",
    ),
    *("/proc/self/fd/3", "x" * 255, "x" * 5000, "/" + "y/" * 2100, "root:x", "4294967295", "\u00e9", "a=" + "b" * 300),
)
_libc = ctypes.CDLL(None, use_errno=True)


def _value(letter: str, dice: random.Random) -> object:
    if letter == "u":
        return dice.choice(_NUMBERS)
    if letter == "s":
        return dice.choice(_TEXTS)
    if letter == "b":
        return dice.randbytes(dice.choice((0, 7, 8, 64, 4096)))
    if letter == "f":
        return dice.choice(("", "", "slot"))
    many = dice.choice((0, 1, 2, 7, 8, 9, 300))
    return tuple([_value("u" if letter == "n" else "s", dice) for _ in range(many)])


_KINDS = tuple([kind for kind in ops.OPS if kind not in (ops.Rlimit, ops.Seccomp)])


def plan(dice: random.Random, channel: int, slot: int) -> bytes:
    """The bytes of a plan: a few operations, often a clone among them, now and then damaged."""
    made = []
    for _ in range(dice.randrange(1, 7)):
        kind = dice.choice(_KINDS)
        made.append(kind(*[_value(letter, dice) for letter in kind.types]))
    if dice.random() < 0.5:
        made.insert(dice.randrange(len(made)), ops.Clone(dice.choice((0, 0x20000, _REST)), ""))
    data = bytearray(encode(made, {"slot": slot}, channel, ()))
    action = dice.random()
    if action < 0.2:
        damage(data, dice)
    elif action < 0.6:
        at = dice.randrange(0, len(data) // 8) * 8
        data[at : at + 8] = dice.choice(
            (bytes(8), b"\xff" * 8, dice.randbytes(8), (dice.randrange(60)).to_bytes(8, "little"))
        )
    return bytes(data)


def _execute(data: bytes) -> None:
    """In the child: become the executor with this plan as a descriptor."""
    file = os.memfd_create("plan", 0)
    os.write(file, data)
    os.dup2(file, PLAN)
    for number in (PLAN, CHANNEL, SLOT):
        os.set_inheritable(number, True)
    _libc.unshare(0x20000)
    os.execve(sealed(), ("utsuwa-init", str(PLAN)), {})


def _one(seed: int) -> str:
    """One plan; what was wrong with how it went, "" for nothing."""
    dice = random.Random(f"plan {seed}")
    pair = os.pipe()
    slot = os.memfd_create("slot")
    os.dup2(pair[1], CHANNEL)
    os.dup2(slot, SLOT)
    for number in (*pair, slot):
        os.close(number)
    data = plan(dice, CHANNEL, SLOT)
    if os.fork() == 0:
        try:
            _execute(data)
        finally:
            os._exit(99)
    os.close(CHANNEL)
    os.close(SLOT)
    signal.alarm(SECONDS)
    try:
        while True:
            _, status = os.waitpid(-1, 0)
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
                return f"seed {seed}: killed by signal {os.WTERMSIG(status)}"
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 99:
                return f"seed {seed}: the executor was not started"
    except ChildProcessError:
        return ""
    except TimeoutError:
        return f"seed {seed}: not done after {SECONDS} s"
    finally:
        signal.alarm(0)
        try:
            os.kill(-1, signal.SIGKILL)
            while True:
                os.waitpid(-1, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def _late(_number: int, _frame: object) -> None:
    raise TimeoutError


def _campaign(first: int, runs: int) -> str:
    signal.signal(signal.SIGALRM, _late)
    for seed in range(first, first + runs):
        if problem := _one(seed):
            return problem
    return ""


def sandboxed(function: Callable[[], str]) -> str:
    """What ``function`` gives as process 1 of namespaces of its own, as nobody, in an empty root."""
    sealed()
    out, told = os.pipe()
    with tempfile.TemporaryDirectory() as empty:
        os.chmod(empty, 0o755)
        os.chown(empty, _NOBODY, _NOBODY)
        outer = os.fork()
        if not outer:
            _enter(function, empty, told)
        os.close(told)
        said = b""
        while piece := os.read(out, 65536):
            said += piece
        os.close(out)
        status = os.waitstatus_to_exitcode(os.waitpid(outer, 0)[1])
        left = os.listdir(empty)
    assert status == 0, f"the sandbox ended with {status}: {said.decode()}"
    assert said.startswith(b"done:"), said.decode()
    assert left == [] or not said, left
    return said[5:].decode()


def _enter(function: Callable[[], str], empty: str, told: int) -> None:
    code = 1
    try:
        os.chdir(empty)
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        for flags in (_USER, _REST):
            if _libc.unshare(flags):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        first = os.fork()
        if first:
            os.close(told)
            os._exit(1 if os.waitpid(first, 0)[1] else 0)
        # what plans make is in a file system of ours, gone with us
        if _libc.mount(b"none", b".", b"tmpfs", 0, b"size=1m") or os.chdir(empty):
            raise OSError(ctypes.get_errno(), "mount")
        os.chroot(".")
        os.write(told, b"done:" + function().encode())
        code = 0
    except BaseException:
        os.write(told, traceback.format_exc().encode())
    finally:
        os._exit(code)


def campaign(first: int, runs: int) -> str:
    """The first problem of plans number ``first`` and on, "" when there is none."""
    return sandboxed(lambda: _campaign(first, runs))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--sanitized"]
    with tempfile.TemporaryDirectory() as made:
        if "--sanitized" in sys.argv:
            spawn._sealed = spawn._seal(str(executor(Path(made))))
        print(campaign(int(words[1]) if len(words) > 1 else 0, int(words[0])) or "no problem")
