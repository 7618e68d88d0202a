"""Pull and unpack an image of many files from a loopback registry: `utsuwa pull` against `skopeo copy` and `tar`."""

from __future__ import annotations

import io
import os
import random
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import Candidate, interleave, table
from bench.start import URUN
from tools.oci_image import write_layout

LAYERS = 6
FILES_PER_LAYER = 2500


def layer(number: int) -> bytes:
    """One layer of many small files, of sizes and depths like a Python distribution's; the same bytes every time."""
    dice = random.Random(number)
    text = dice.randbytes(1 << 16).hex().encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for index in range(FILES_PER_LAYER):
            entry = tarfile.TarInfo(f"usr/lib/package{number}/module{index % 50}/file{index}.py")
            entry.size, entry.mode = int(dice.lognormvariate(8, 1.5)) % 200_000, 0o644
            begin = dice.randrange(60_000)
            content = (text[begin:] + text * (entry.size // len(text) + 1))[: entry.size]
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@contextmanager
def registry(directory: Path) -> Iterator[str]:
    """Debian's docker-registry on a free loopback port, ended at the end; ``host:port``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    configuration = directory / "registry.yml"
    configuration.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {directory}/registry}}}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    with open(os.devnull, "w") as null:
        server = subprocess.Popen(["docker-registry", "serve", str(configuration)], stdout=null, stderr=null)
    try:
        for _ in range(200):
            try:
                socket.create_connection(tuple_of(address)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait()


def tuple_of(address: str) -> tuple[str, int]:
    """``host:port`` as the pair that sockets take."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def main() -> None:
    """Print the pull table."""
    with tempfile.TemporaryDirectory(prefix="utsuwa-bench-") as temporary:
        root = Path(temporary)
        write_layout(root / "image.tar", [layer(number) for number in range(LAYERS)], "bench/many:latest")
        with registry(root) as address:
            source = f"oci-archive:{root}/image.tar"
            target = f"docker://{address}/bench/many:latest"
            subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", source, target], check=True)
            # A fresh directory for each run: freed inodes are slow to come back on some file systems.
            unpack = (
                'd=$(mktemp -d "$1/XXXXXX"); mkdir "$d/tree"; skopeo copy -q --src-tls-verify=false "$2" "dir:$d/dir"; '
                'for blob in $(find "$d/dir" -size +20k); do tar -xzf "$blob" -C "$d/tree"; done'
            )
            pull = 'd=$(mktemp -d "$1/XXXXXX"); UTSUWA_ROOT="$d/root" UTSUWA_RUN="$d/run" exec "$2" pull -q "$3"'
            image = f"{address}/bench/many:latest"
            ours = str(URUN.parent / "utsuwa")
            figures = interleave(
                [
                    Candidate("utsuwa pull", ["sh", "-c", pull, "-", temporary, ours, image]),
                    Candidate("skopeo copy, tar", ["sh", "-c", unpack, "-", temporary, target]),
                ],
                5,
            )
    table(f"pull and unpack {LAYERS} layers, {LAYERS * FILES_PER_LAYER} files [ms]", figures)


if __name__ == "__main__":
    main()
