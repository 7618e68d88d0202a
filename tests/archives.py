"""Layer archives written by hand, byte by byte where tarfile is too polite to write what an enemy would."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field

MTIME = 1_700_000_000
OCI = "application/vnd.oci.image"


def header(
    name: bytes,
    kind: bytes = b"0",
    size: int = 0,
    link: bytes = b"",
    mode: int = 0o644,
    device: tuple[int, int] = (0, 0),
) -> bytes:
    """One ustar header, owner 0:0, with a right checksum."""
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = b"%07o\0" % mode
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = b"%011o\0" % size
    block[136:148] = b"%011o\0" % MTIME
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157 : 157 + len(link)] = link
    block[257:265] = b"ustar\x0000"
    block[329:337] = b"%07o\0" % device[0]
    block[337:345] = b"%07o\0" % device[1]
    return seal(block)


def seal(block: bytearray) -> bytes:
    """Put the right checksum into a header."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    """Data filled up to whole blocks."""
    return data + bytes(-len(data) % 512)


def file(name: str, content: bytes = b"", **more: int) -> bytes:
    """A regular file."""
    return header(name.encode(), b"0", len(content), **more) + padded(content)


def directory(name: str, mode: int = 0o755) -> bytes:
    """A directory."""
    return header(name.encode(), b"5", mode=mode)


def symlink(name: str, target: str) -> bytes:
    """A symbolic link."""
    return header(name.encode(), b"2", link=target.encode(), mode=0o777)


def hardlink(name: str, target: str) -> bytes:
    """A hard link."""
    return header(name.encode(), b"1", link=target.encode())


def pax(records: dict[str, bytes]) -> bytes:
    """An extended header for the entry that follows."""
    content = b""
    for key, value in records.items():
        body = b" " + key.encode() + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        content += str(length).encode() + body
    return header(b"PaxHeaders/x", b"x", len(content)) + padded(content)


def archive(*entries: bytes) -> bytes:
    """Entries and the end of an archive."""
    return b"".join(entries) + bytes(1024)


def digest(data: bytes) -> str:
    """sha256 of some bytes, as OCI writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class Made:
    """An image made in memory: every blob by digest, and the manifest's digest."""

    manifest: str
    config: str
    layers: list[str]
    blobs: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)

    def descriptor(self, platform: dict[str, str] | None = None) -> dict[str, object]:
        """The manifest's descriptor."""
        found: dict[str, object] = {
            "mediaType": self.types[self.manifest],
            "digest": self.manifest,
            "size": len(self.blobs[self.manifest]),
        }
        return found | ({"platform": platform} if platform else {})


def image(
    *layers: bytes, docker: bool = False, settings: dict[str, object] | None = None, compress=gzip.compress
) -> Made:
    """An image of uncompressed layer archives, with OCI's or Docker's media types."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "config": settings or {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        }
    ).encode()
    packed = [compress(layer) for layer in layers]
    config_type = "application/vnd.docker.container.image.v1+json" if docker else f"{OCI}.config.v1+json"
    layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip" if docker else f"{OCI}.layer.v1.tar+gzip"
    manifest_type = "application/vnd.docker.distribution.manifest.v2+json" if docker else f"{OCI}.manifest.v1+json"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": {"mediaType": config_type, "digest": digest(config), "size": len(config)},
            "layers": [{"mediaType": layer_type, "digest": digest(blob), "size": len(blob)} for blob in packed],
        }
    ).encode()
    blobs = {digest(blob): blob for blob in (*packed, config, manifest)}
    return Made(
        digest(manifest), digest(config), [digest(blob) for blob in packed], blobs, {digest(manifest): manifest_type}
    )


def index(*offers: dict[str, object], docker: bool = False) -> tuple[bytes, str]:
    """An index of descriptors, and its media type."""
    kind = "application/vnd.docker.distribution.manifest.list.v2+json" if docker else f"{OCI}.index.v1+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": list(offers)}).encode(), kind


def layout(made: Made, name: str | None = None) -> bytes:
    """The image as a tar of an OCI layout."""
    offer = made.descriptor()
    if name:
        offer["annotations"] = {"org.opencontainers.image.ref.name": name}
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": index(offer)[0],
        **{f"blobs/{name.replace(':', '/')}": data for name, data in made.blobs.items()},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
