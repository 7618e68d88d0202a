"""Build an OCI layout in one tar; as a program, the image of the first run, made of Debian's static busybox alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MEDIA = "application/vnd.oci.image"
CREATED = "2026-01-01T00:00:00Z"

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


def busybox_layer() -> bytes:
    """The one layer, as an uncompressed tar with fixed times, so that its digest never changes for one busybox."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for directory in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            archive.addfile(entry)
        add(archive, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
        for path, content in FILES.items():
            add(archive, path, content.encode())
        for applet in APPLETS.split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, "busybox", 0o777
            archive.addfile(entry)
    return buffer.getvalue()


def add(archive: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    """One file of an archive."""
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def blob(archive: tarfile.TarFile, media: str, content: bytes) -> dict[str, object]:
    """Store ``content`` under its digest in the layout; its descriptor."""
    digest = hashlib.sha256(content).hexdigest()
    add(archive, f"blobs/sha256/{digest}", content)
    return {"mediaType": f"{MEDIA}.{media}", "digest": f"sha256:{digest}", "size": len(content)}


def write_layout(target: Path, layers: Sequence[bytes], name: str, process: Mapping[str, object] | None = None) -> None:
    """Write an image called ``name`` of these uncompressed layers to ``target``, a tar of an OCI layout."""
    config = {
        "architecture": ARCHITECTURES[os.uname().machine],
        "os": "linux",
        "created": CREATED,
        "config": dict(process or {}),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in layers]},
        "history": [{"created": CREATED, "created_by": "tools/oci_image.py"} for _ in layers],
    }
    with tarfile.open(target, "w") as archive:
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{MEDIA}.manifest.v1+json",
            "config": blob(archive, "config.v1+json", json.dumps(config).encode()),
            "layers": [blob(archive, "layer.v1.tar+gzip", gzip.compress(tar, 6, mtime=0)) for tar in layers],
        }
        descriptor = blob(archive, "manifest.v1+json", json.dumps(manifest).encode())
        descriptor["annotations"] = {
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
            "io.containerd.image.name": f"docker.io/{name}",
        }
        index = {"schemaVersion": 2, "mediaType": f"{MEDIA}.index.v1+json", "manifests": [descriptor]}
        add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add(archive, "index.json", json.dumps(index).encode())


if __name__ == "__main__":
    shell = {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["/bin/sh", "-c", HELLO], "WorkingDir": "/"}
    write_layout(Path(sys.argv[1]), [busybox_layer()], "utsuwa/hello:latest", shell)
