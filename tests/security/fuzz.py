"""Documents and archives changed at random: whatever goes in, out comes a result or an error of our own, in time.

    python -m tests.security.fuzz [RUNS] [SEED] [TARGET …]      1 000 000 runs of everything that needs no rights

A failure names the seed of its run, which alone makes it happen again.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import signal
import sys
import time
from collections.abc import Callable

from tests import archives
from tests.contract.oci import CONFIG
from tests.golden.hosts import HYBRID, V1, V2, options
from tests.security.fuzz_kept import kept
from tests.security.fuzz_verbs import commandline, record
from tests.security.mutation import damage, mutate
from tests.unit.spec.test_fuzz import FULL, FULL_LINUX
from utsuwa.cgroup import devices
from utsuwa.cgroup.device_program import assemble
from utsuwa.engine.specification import Surroundings, compose, process_defaults
from utsuwa.errors import Error, InvalidArgument, printable
from utsuwa.init.encode import encode
from utsuwa.plan import ops
from utsuwa.plan.create import create
from utsuwa.plan.exec import execute
from utsuwa.plan.options import ExecOptions
from utsuwa.seccomp.compile import compile as compile_filter
from utsuwa.snapshot import compression, tar
from utsuwa.spec import codec, image, platform, reference
from utsuwa.spec.default import default_spec
from utsuwa.spec.request import RunRequest
from utsuwa.spec.runtime import Spec
from utsuwa.spec.validate import validate

SECONDS = 5.0
"""No run takes more processor time, nor twenty times as long by the clock: that would be a hang."""
SLOTS = {ops.CONSOLE_SOCKET: 5, ops.START_LISTENER: 6, ops.PIDFD: 7}


def _bases() -> list[str]:
    full = codec.encode(default_spec(False, uid=1, gid=1))
    full |= copy.deepcopy(FULL)
    full["linux"] |= copy.deepcopy(FULL_LINUX)
    return [json.dumps(each) for each in (full, CONFIG, codec.encode(default_spec(True, uid=1, gid=1)))]


_CONFIGS = _bases()


# --- targets --------------------------------------------------------------------------------------------------------


def config(dice: random.Random) -> None:
    """config.json: read, checked, planned for some host, written for the executor, and described."""
    spec: Spec = codec.decode(Spec, mutate(dice.choice(_CONFIGS), dice, Spec))
    validate(spec)
    host = dice.choice((V1, V2, HYBRID))
    linux = spec.linux
    program = compile_filter(linux.seccomp) if linux and linux.seccomp else None
    if linux and linux.resources:
        assemble(devices.wanted(linux.resources.devices or ()))
    plan = create(
        spec,
        host,
        options(
            host,
            console=bool(spec.process and spec.process.terminal),
            init=dice.random() < 0.2,
            no_pivot=dice.random() < 0.1,
            seccomp=program,
        ),
    )
    encode(plan.ops, SLOTS, 4, tuple(plan.keep))
    assert plan.describe().isprintable() or "\n" in plan.describe()
    if spec.process:
        joining = execute(spec.process, spec, host, ExecOptions(seccomp=program))
        encode(joining.ops, SLOTS, 4, tuple(joining.keep))
        joining.describe()


_MADE = archives.image(archives.archive(archives.file("f", b"x")), settings={
    "Cmd": ["sh"], "Env": ["A=b"], "User": "1:2", "WorkingDir": "/x", "Volumes": {"/v": {}},
    "ExposedPorts": {"1/tcp": {}}, "Labels": {"a": "b"}, "StopSignal": "SIGTERM", "Entrypoint": ["/e"],
    "Healthcheck": {"Test": ["NONE"], "Interval": 1},
})  # fmt: skip
_MANIFEST, _CONFIG = (_MADE.blobs[name].decode() for name in (_MADE.manifest, _MADE.config))
_INDEX = archives.index(
    _MADE.descriptor({"os": "linux", "architecture": "amd64"}),
    _MADE.descriptor({"os": "linux", "architecture": "arm", "variant": "v7"}),
)[0].decode()
_TYPES = ("", *image.INDEXES, *image.MANIFESTS)


def documents(dice: random.Random) -> None:
    """Index, manifest and configuration of an image, and what a container of it would be started with."""
    which = dice.randrange(3)
    data = mutate((_INDEX, _MANIFEST, _CONFIG)[which], dice)
    if which < 2:
        kind = image.kind(dice.choice(_TYPES), data)
        found = image.index(data) if kind == "index" else image.manifest(data)
        if isinstance(found, image.Index):
            platform.choose(platform.host(), [offer.platform for offer in found.manifests])
        return
    read = image.config(data, dice.choice((None, 1)))
    platform.choose(platform.host(), [read.platform])
    image.chain_ids(read.rootfs.diff_ids)
    start = process_defaults(RunRequest(image="x"), read, "h")
    spec = compose(RunRequest(image="x"), start, Surroundings("0" * 64, "h", False))
    validate(spec)
    encode(create(spec, V1, options(user=start.user or None, seccomp=None)).ops, SLOTS, 4)


_TAR = archives.archive(
    archives.directory("d"),
    archives.file("d/f", b"x" * 700),
    archives.symlink("l", "d/f"),
    archives.hardlink("h", "d/f"),
    archives.header(b"c", b"3", device=(1, 3)),
    archives.pax({"path": b"p" * 200, "mtime": b"1.5", "SCHILY.xattr.user.a": b"b", "uid": b"7"}),
    archives.file("x", b"y"),
    archives.pax({"GNU.sparse.size": b"10", "GNU.sparse.map": b"0,4,6,4"}),
    archives.file("s", b"12345678"),
    archives.file("d/.wh.gone"),
)
_ZIPPED = gzip.compress(_TAR, mtime=0)


def archive(dice: random.Random) -> None:
    """A layer's archive: unpacked to nowhere, compressed or not, its headers damaged and sealed again."""
    zipped = dice.random() < 0.2
    data = bytearray(_ZIPPED if zipped else _TAR)
    damage(data, dice) if zipped or dice.random() < 0.3 else _damage_header(data, dice)
    source = memoryview(bytes(data))
    at = 0

    def read(count: int) -> bytes:
        nonlocal at
        piece = bytes(source[at : at + min(count, 777)])
        at += len(piece)
        return piece

    stream = tar.Stream(compression.decompressed(read))
    for entry in tar.entries(stream):
        stream.skip(entry.size)
    stream.drain(1 << 20)


_NUMBERS = (b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\x01", b"77777777777\0", b"-1\0", b"1_0\0", b"0x7\0")
_FIELDS = (*_NUMBERS, b"S", b"x", b"L", b"g", b"\0")


def _damage_header(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.randrange(1, 4)):
        block = dice.randrange(len(data) // 512) * 512
        place = block + dice.choice((0, 100, 108, 116, 124, 136, 156, 157, 257, 329, 337, 345, 386, 482, 483))
        value = dice.choice(_FIELDS)
        data[place : place + len(value)] = value
        if dice.random() < 0.9:
            data[block : block + 512] = archives.seal(data[block : block + 512])


def names(dice: random.Random) -> None:
    """Names of images and platforms."""
    letters = "aA0._-:/@\u00e9 \n+" + "sha256"
    text = "".join(dice.choice(letters) for _ in range(dice.randrange(40)))
    base = dice.choice(("", "docker.io/library/x:y", "localhost:5000/a@sha256:" + "0" * 64, "linux/arm/v"))
    for parse in (reference.parse, platform.parse):
        try:
            parse(base + text)
        except Error:
            continue


def shapes(dice: random.Random) -> None:
    """Plans that are kept for the next container (fuzz_kept.py); accepted is what was started by one of these."""
    if not kept(_CONFIGS, dice):
        raise InvalidArgument("made anew each time")


TARGETS: dict[str, Callable[[random.Random], None]] = {
    "config": config,
    "documents": documents,
    "archive": archive,
    "names": names,
    "record": record,
    "commandline": commandline,
    "shapes": shapes,
}


class Hang(BaseException):
    """A run that takes too long; no `except Exception` gets in its way."""


def _hang(_number: int, _frame: object) -> None:
    raise Hang(f"a run of more than {SECONDS} s")


def one(target: str, seed: int) -> bool:
    """One run: whether the input was accepted. AssertionError with the seed for anything but an error of ours."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 20 * SECONDS)
    try:
        TARGETS[target](random.Random(f"{target} {seed}"))
    except Error as error:
        text = str(error)
        assert text and printable(text).replace("\n", "").replace("\t", "").isprintable(), f"{target} {seed}: {text!r}"
        assert len(text) < 100_000, f"{target} {seed}: a message of {len(text)} characters"
        return False
    except (Exception, Hang) as error:
        raise AssertionError(f"target {target}, seed {seed}: {type(error).__name__}: {error}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
    return True


def campaign(target: str, runs: int, seed: int = 0, seconds: float = float("inf")) -> tuple[int, int]:
    """That many runs, or as many as fit into the time: (how many, how many of them accepted)."""
    before = [(number, signal.signal(number, _hang)) for number in (signal.SIGALRM, signal.SIGPROF)]
    end = time.monotonic() + seconds
    accepted = done = 0
    try:
        while done < runs and time.monotonic() < end:
            accepted += one(target, seed + done)
            done += 1
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    return done, accepted


def main() -> None:
    """The script."""
    runs, seed = (int(sys.argv[at]) if len(sys.argv) > at else default for at, default in ((1, 1_000_000), (2, 0)))
    targets = sys.argv[3:] or list(TARGETS)
    for target in targets:
        began = time.monotonic()
        done, accepted = campaign(target, runs // len(targets), seed)
        print(f"{target}: {done} runs, {accepted} accepted, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
