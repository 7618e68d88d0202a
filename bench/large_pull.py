"""A large image of many files from a loopback registry, pulled and unpacked by each engine on a disk of its own.

A fresh file system for every run, because ext4 passes over inodes that were freed in the last minutes one by one when
it looks for a free one: who pulls after somebody else's removal takes twice as long. ``UTSUWA_BENCH_LAYERS=2`` tries it
small.
"""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.measure import Figures, once, table
from bench.peers import UTSUWA, Peers, containerd, docker, podman
from bench.pull import layer, registry
from tools.oci_image import write_layout

LAYERS = int(os.environ.get("UTSUWA_BENCH_LAYERS", "8"))
ROUNDS = 3
_NAME = "bench/big:latest"


def large(number: int) -> bytes:
    """A layer of some ninety megabytes in 8500 files; the same bytes every time."""
    dice = random.Random(number)
    text = dice.randbytes(1 << 19).hex().encode()
    buffer = io.BytesIO(layer(number))
    with tarfile.open(fileobj=buffer, mode="a", format=tarfile.PAX_FORMAT) as archive:
        for index in range(6000):
            entry = tarfile.TarInfo(f"usr/share/data{number}/part{index % 60}/file{index}")
            entry.size, entry.mode = int(dice.lognormvariate(8.5, 1.2)) % 400_000, 0o644
            begin = dice.randrange(500_000)
            archive.addfile(entry, io.BytesIO((text[begin:] + text)[: entry.size]))
    return buffer.getvalue()


@contextmanager
def disk() -> Iterator[Path]:
    """An empty ext4 in a sparse file, mounted in the mount namespace that the tables have for themselves."""
    with tempfile.TemporaryDirectory(prefix="d") as place:  # podman wants its paths short
        file = Path(place, "file")
        with file.open("wb") as sparse:
            sparse.truncate(24 << 30)
        made = ["mkfs.ext4", "-q", "-F", "-N", "1000000", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(file)]
        subprocess.run(made, check=True)
        mounted = Path(place, "d")
        mounted.mkdir()
        subprocess.run(["mount", "-o", "loop", str(file), str(mounted)], check=True)
        try:
            yield mounted
        finally:
            subprocess.run(["umount", "-l", str(mounted)], check=True)


def _engines(found: Peers) -> dict[str, Callable[[Peers, ExitStack, str], list[str]]]:
    """For each engine that is here, what starts it on a disk and gives the command that pulls."""
    rootfs, layout = found.directory / "rootfs.tar", found.directory / "image.tar"

    def utsuwa(place: Peers, _stack: ExitStack, image: str) -> list[str]:
        roots = [f"UTSUWA_ROOT={place.directory}/root", f"UTSUWA_RUN={place.directory}/run"]
        return ["env", *roots, UTSUWA, "pull", "-q", image]

    def ctr(place: Peers, stack: ExitStack, image: str) -> list[str]:
        stack.enter_context(containerd(place, layout))
        return [*place.words["ctr"], "images", "pull", "--plain-http", image]

    def dockerd(place: Peers, stack: ExitStack, image: str) -> list[str]:
        stack.enter_context(docker(place, rootfs))
        return [*place.words["docker"], "pull", "-q", image]

    def pod(place: Peers, _stack: ExitStack, image: str) -> list[str]:
        podman(place, rootfs)
        return [*place.words["podman"], "pull", "-q", "--tls-verify=false", image]

    engines = {"utsuwa": utsuwa, "ctr": ctr, "docker": dockerd, "podman": pod}
    return {name: engine for name, engine in engines.items() if name in found.words}


def compare(found: Peers, address: str, rounds: int = ROUNDS) -> dict[str, Figures]:
    """The engines in turn, some rounds; wall time only, since daemons do the work of two of them."""
    engines = _engines(found)
    figures = {name: Figures() for name in engines}
    for _ in range(rounds):
        for name, engine in engines.items():
            with disk() as place, ExitStack() as stack:
                command = engine(Peers(found.home, place), stack, f"{address}/{_NAME}")
                figures[name].wall.append(once(command)[0])
    return figures


def publish(directory: Path, address: str) -> None:
    """Make the image and push it."""
    source = directory / "big.tar"
    write_layout(source, [large(number) for number in range(LAYERS)], _NAME)
    target = f"docker://{address}/{_NAME}"
    subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci-archive:{source}", target], check=True)
    source.unlink()


def pull(found: Peers) -> None:
    """Print the table."""
    with registry(found.directory) as address:
        publish(found.directory, address)
        table(f"pull and unpack {LAYERS} layers, {LAYERS * 8500} files [ms]", compare(found, address))
