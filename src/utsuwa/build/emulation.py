"""Whether a RUN for a platform can run here: by this processor, or by an emulator that binfmt_misc(5) knows."""

from __future__ import annotations

import os

from utsuwa.errors import Unsupported
from utsuwa.spec import platform as platforms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.spec.platform import Platform

_REGISTERED = "/proc/sys/fs/binfmt_misc"
_MACHINES = {
    "386": "i386",
    "amd64": "x86_64",
    "arm64": "aarch64",
    "mips64le": "mips64el",
    "mipsle": "mipsel",
    "loong64": "loongarch64",
}
"""Architectures as emulators are called, where that is not what Go calls them."""


def check(platform: Platform, registered: str = _REGISTERED) -> None:
    """Raise Unsupported for what neither the processor nor an emulator runs."""
    if platforms.choose(platforms.host(), [platform]) is not None or _is_emulated(platform.architecture, registered):
        return
    raise Unsupported(
        f"unsupported: RUN for {platform} on {platforms.host()} "
        "(register an emulator with binfmt_misc, with the flag F, as the package qemu-user-static does)"
    )


def _is_emulated(architecture: str, registered: str) -> bool:
    """With the flag F the kernel has opened the emulator already, and the container need not have it."""
    machine = _MACHINES.get(architecture, architecture)
    try:
        names = [name for name in os.listdir(registered) if name.rpartition("-")[2] == machine]
    except OSError:
        return False
    for name in names:
        with open(f"{registered}/{name}", encoding="ascii", errors="replace") as file:
            state = file.read().split("\n")
        if state[0] == "enabled" and any(line.startswith("flags:") and "F" in line for line in state):
            return True
    return False
