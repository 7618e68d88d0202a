"""Races for the names that a mount goes through. Bounded: a fixed number of mounts, a racer that ends with its test."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime
from tests.integration.init.conftest import NEW_MOUNTS, Runner, prelude, run, shell  # noqa: F401  # run is a fixture
from tests.needs import needs
from tests.security.attack import Decoy
from utsuwa.errors import Error
from utsuwa.plan import ops

pytestmark = needs("root", "busybox")

ROUNDS = 150
_EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def exchanging(*pairs: tuple[Path, Path]) -> Iterator[None]:
    """Another process swaps two names as fast as it can (renameat2, RENAME_EXCHANGE), until the end of the block."""
    racer = os.fork()
    if not racer:
        signal.alarm(60)
        names = [(os.fsencode(one), os.fsencode(other)) for one, other in pairs]
        while True:
            for first, second in names:
                _libc.renameat2(-100, first, -100, second, _EXCHANGE)
    try:
        yield
    finally:
        os.kill(racer, signal.SIGKILL)
        os.waitpid(racer, 0)


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
@pytest.mark.parametrize("depth", ["", "/a/b/c"])
def test_a_destination_that_changes(run: Runner, bundle: Bundle, decoy: Decoy, kind: str, depth: str) -> None:  # noqa: F811
    """CVE-2021-30465 (a link is put there after the check) and CVE-2024-45310 (while its parents are made).

    A container shares a volume in which a directory and a link to the host are exchanged all the time, while it is
    mounted upon. In our own mount namespace, so that a mount in the wrong place would show in the decoy, and be gone.
    Proven by test_the_racer_wins_against_the_naive: names resolved as strings do end outside, in as many rounds.
    """
    volume = _volume(bundle, decoy)
    (bundle.rootfs / "inner").mkdir()
    source = bundle.rootfs / "inner"
    mount: ops.Op = ops.Mount("tmpfs", "tmpfs", f"/volume/d{depth}")
    if kind == "bind":
        mount = ops.Bind(str(source), f"/volume/d{depth}", recursive=1)
    look = shell(f"grep -c ' {decoy.path}' /proc/self/mountinfo; true")
    succeeded = 0
    with exchanging((volume / "d", volume / "link")):
        for _ in range(ROUNDS // 3):
            try:
                out = run(*prelude(bundle.rootfs, mount, flags=NEW_MOUNTS), look)
            except Error:
                continue  # a link to what is not in the root, or one that can't be a directory: refused
            succeeded += 1
            assert out == "0\n"
            assert not decoy.touched
    assert not decoy.touched
    assert succeeded


def _volume(bundle: Bundle, decoy: Decoy) -> Path:
    volume = bundle.rootfs / "volume"
    (volume / "d").mkdir(parents=True)
    (volume / "link").symlink_to(decoy.path)
    return volume


def test_the_racer_wins_against_the_naive(bundle: Bundle, decoy: Decoy) -> None:
    """What the test above would find: looked at, then used by its name, the destination is sometimes in the decoy."""
    volume = _volume(bundle, decoy)
    with exchanging((volume / "d", volume / "link")):
        for number in range(100 * ROUNDS):
            path = volume / "d"
            if not os.path.islink(path):
                try:
                    os.mkdir(path / f"made{number}")
                except OSError:
                    continue
            if decoy.touched:
                break
    assert decoy.touched


def test_endless_renames_do_not_hold_us(run: Runner, bundle: Bundle) -> None:  # noqa: F811
    """A racer may make a mount fail, but not last for ever: `..` in a link, and renames all the time (EAGAIN).

    Proven: the same mount succeeds without the racer.
    """
    volume = bundle.rootfs / "volume"
    (volume / "d/e").mkdir(parents=True)
    (volume / "x").mkdir()
    (volume / "link").symlink_to("../volume/d/../x/../d/e/../../d/e/../missing")
    mount = ops.Mount("tmpfs", "tmpfs", "/volume/link/a")
    act = (*prelude(bundle.rootfs, mount, flags=NEW_MOUNTS), shell("true"))
    with exchanging((volume / "x", volume / "d/e")):
        for _ in range(20):
            try:
                run(*act)
            except Error:
                continue
    run(*act)


def test_two_verbs_on_one_id(oci: Runtime, bundle: Bundle) -> None:
    """Eight creates, then eight starts, kills and deletes at once: one of each wins, and nothing is left.

    Proven: the winner's container runs.
    """
    bundle.sleep().write()
    assert sum(done == 0 for done in _at_once(oci, 8, "create", "--bundle", str(bundle.path), oci.id)) == 1
    assert oci.status() == "created"
    assert sum(done == 0 for done in _at_once(oci, 8, "start", oci.id)) == 1
    assert oci.status() == "running"
    oci.stop()
    deleted = _at_once(oci, 8, "delete", oci.id)
    assert sum(done == 0 for done in deleted) == 1
    assert not oci.exists() and os.listdir(oci.root) == []


def test_deletes_while_it_is_created(oci: Runtime, bundle: Bundle) -> None:
    """`delete --force` at any moment of a create: either there is a container, whole, or there is nothing."""
    bundle.sleep().write()
    for _ in range(8):
        threads = [
            threading.Thread(target=lambda: _at_once(oci, 1, "create", "--bundle", str(bundle.path), oci.id)),
            threading.Thread(target=lambda: _at_once(oci, 4, "delete", "--force", oci.id)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if oci.exists():
            assert oci.status() in ("created", "stopped")
        oci.ok("delete", "--force", oci.id)
        assert [name for name in os.listdir(oci.root) if name != ".seccomp"] == []


def _at_once(oci: Runtime, count: int, *words: str) -> list[int]:
    with open(os.devnull, "r+b") as null:
        running = [subprocess.Popen([*oci.argv, *words], stdin=null, stdout=null, stderr=null) for _ in range(count)]
        return [each.wait(timeout=60) for each in running]


def test_a_file_that_becomes_a_device_is_not_read(run: Runner, bundle: Bundle) -> None:  # noqa: F811
    """What is copied up may be a volume, and another container on it may exchange its files for device nodes.

    Before the start no device rules hold: such a node would be opened, and the disk behind it copied for the container.
    Proven: without the look at what was opened, one copy in fifty is full of zeros, as a loop device without a file.
    """
    volume = bundle.rootfs / "volume"
    volume.mkdir()
    (volume / "file").write_bytes(b"A" * 4096)
    os.mknod(volume / "node", 0o60600, os.makedev(7, 0))
    look = shell("cd /volume && /bin/busybox find . -type f -exec /bin/busybox grep -L A {} +; echo looked")
    copied = ops.Mount("tmpfs", "tmpfs", "/volume", flags=ops.COPY_UP)
    succeeded = 0
    with exchanging((volume / "file", volume / "node")):
        for _ in range(ROUNDS // 3):
            try:
                out = run(*prelude(bundle.rootfs, copied, flags=NEW_MOUNTS), ops.Pivot(), look)
            except Error:
                continue  # what was to be copied is something else now: refused
            succeeded += 1
            assert out == "looked\n"
    assert succeeded
