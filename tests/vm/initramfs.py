"""The first file system of the machine: busybox, four kernel modules, and the script that mounts the real one."""

from __future__ import annotations

import stat
from pathlib import Path

_NEEDED = (
    *("virtio_mmio", "virtio_pci", "virtio_blk", "overlay"),
    # CRIU asks for sockets, and locks networks while it writes.
    *("unix_diag", "tcp_diag", "udp_diag", "raw_diag", "af_packet_diag", "netlink_diag", "veth", "tun"),
    *("nf_tables", "nft_compat", "xt_mark", "nf_conntrack_netlink"),
)


def build(modules: Path, busybox: Path, script: Path) -> bytes:
    """A cpio archive ("newc", kernel Documentation/driver-api/early-userspace/buffer-format.rst)."""
    ordered = load_order(modules, _NEEDED)
    entries = [_entry(name, stat.S_IFDIR | 0o755, b"") for name in ("bin", "dev", "modules", "new", "proc", "sys")]
    entries.append(_entry("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes()))
    entries.append(_entry("init", stat.S_IFREG | 0o755, script.read_bytes()))
    for number, module in enumerate(ordered):
        entries.append(_entry(f"modules/{number:02}-{module.name}", stat.S_IFREG | 0o644, module.read_bytes()))
    entries.append(_entry("TRAILER!!!", 0, b""))
    return b"".join(entries)


def load_order(modules: Path, names: tuple[str, ...]) -> list[Path]:
    """Files of the modules ``names``, each after those that it depends on.

    Each module says in its ``.modinfo`` section what it needs, so no depmod has to run for a kernel that is not
    installed.
    """
    files = {path.stem: path for path in modules.rglob("*.ko")}
    ordered: list[Path] = []

    def add(name: str) -> None:
        path = files.get(name) or files[name.replace("_", "-")]
        if path in ordered:
            return
        for dependency in _depends(path.read_bytes()):
            add(dependency)
        ordered.append(path)

    for name in names:
        add(name)
    return ordered


def _depends(module: bytes) -> list[str]:
    _, found, rest = module.partition(b"\0depends=")
    return [name for name in rest[: rest.index(b"\0")].decode().split(",") if name] if found else []


def _entry(name: str, mode: int, data: bytes) -> bytes:
    path = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
