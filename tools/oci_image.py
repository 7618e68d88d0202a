"""Build the image of the first run: an OCI layout in one tar, made of Debian's static busybox and nothing else."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "ash cat chmod cp date df dmesg echo env false free grep head hostname id ifconfig ip kill ln ls mkdir mount mv nc "
    "nproc ping printf ps pwd rm sed seq sh sleep sort stat stty tail tee test top touch tr true tty umount uname vi "
    "wc wget which whoami yes"
)
FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/motd": "hello from inside a container\n",
}
HELLO = """cat /etc/motd
echo "  process   $$ of $(ps | grep -c '^ *[0-9]') (its own pid namespace)"
echo "  host name $(hostname)"
echo "  kernel    $(uname -sr), the host's: a container is a process, not a machine"
echo "  devices   $(ls /dev | tr '\\n' ' ')"
"""


def layer() -> bytes:
    """The one layer, as an uncompressed tar with fixed times, so that its digest never changes for one busybox."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for directory in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            archive.addfile(entry)
        for path, content in {"bin/busybox": BUSYBOX.read_bytes(), **{k: v.encode() for k, v in FILES.items()}}.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755 if path.startswith("bin/") else 0o644
            archive.addfile(entry, io.BytesIO(content))
        for applet in APPLETS.split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, "busybox", 0o777
            archive.addfile(entry)
    return buffer.getvalue()


def blob(archive: tarfile.TarFile, content: bytes) -> str:
    """Store ``content`` under its digest in the layout; the digest."""
    digest = hashlib.sha256(content).hexdigest()
    add(archive, f"blobs/sha256/{digest}", content)
    return f"sha256:{digest}"


def add(archive: tarfile.TarFile, path: str, content: bytes) -> None:
    """One file of the layout."""
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), 0o644
    archive.addfile(entry, io.BytesIO(content))


def build(target: Path, name: str = "utsuwa/hello:latest") -> None:
    """Write the layout to ``target`` as a tar; its image is called ``name``."""
    tar = layer()
    compressed = gzip.compress(tar, mtime=0)
    config = json.dumps(
        {
            "architecture": ARCHITECTURES[os.uname().machine],
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["/bin/sh", "-c", HELLO], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "tools/oci_image.py"}],
        }
    ).encode()
    with tarfile.open(target, "w") as archive:
        media = "application/vnd.oci.image"
        layers = [
            {"mediaType": f"{media}.layer.v1.tar+gzip", "digest": blob(archive, compressed), "size": len(compressed)}
        ]
        config_descriptor = {
            "mediaType": f"{media}.config.v1+json",
            "digest": blob(archive, config),
            "size": len(config),
        }
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{media}.manifest.v1+json",
                "config": config_descriptor,
                "layers": layers,
            }
        ).encode()
        descriptor = {
            "mediaType": f"{media}.manifest.v1+json",
            "digest": blob(archive, manifest),
            "size": len(manifest),
            "annotations": {
                "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                "io.containerd.image.name": f"docker.io/{name}",
            },
        }
        add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        index = {"schemaVersion": 2, "mediaType": f"{media}.index.v1+json", "manifests": [descriptor]}
        add(archive, "index.json", json.dumps(index).encode())


if __name__ == "__main__":
    build(Path(sys.argv[1]))
