"""Platforms of images (OCI image-index.md): how they are written, what this host is, and what it can run.

The vocabulary is Go's GOOS and GOARCH, with variants for arm (v5 … v8) and levels for amd64 (v1 … v4).
"""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Platform(Record):
    """``os/architecture/variant``; ``variant`` is "" where the architecture has none."""

    architecture: str
    os: str
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v7"),
    "ppc64el": ("ppc64le", ""),
}
_KNOWN = frozenset(
    [
        "amd64",
        "386",
        "arm",
        "arm64",
        "loong64",
        "mips",
        "mips64",
        "mips64le",
        "mipsle",
        "ppc64",
        "ppc64le",
        "riscv64",
        "s390x",
        "wasm",
    ]
)
_SYSTEMS = frozenset(["linux", "windows", "darwin", "freebsd", "wasip1"])

# x86-64 psABI levels, as /proc/cpuinfo spells the features that distinguish them.
_LEVELS = (
    ("v2", "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"),
    ("v3", "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"),
    ("v4", "avx512f avx512bw avx512cd avx512dq avx512vl"),
)


def normalize(platform: Platform) -> Platform:
    """One spelling for each platform: lower case, Go's names, the default variant left out (but arm's, v7)."""
    system, architecture, variant = platform.os.lower(), platform.architecture.lower(), platform.variant.lower()
    if architecture in _ARCHITECTURES:
        architecture, implied = _ARCHITECTURES[architecture]
        variant = variant or implied
    if variant.isdigit():
        variant = f"v{variant}"
    if architecture == "arm":
        variant = variant or "v7"
    elif (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
        variant = ""
    return Platform(os=system, architecture=architecture, variant=variant)


def parse(text: str) -> Platform:
    """``os/arch[/variant]``, or the one or the other alone, the rest taken from the host; raises InvalidArgument."""
    parts = text.strip().split("/")
    if len(parts) > 3 or not all(part and part.replace("_", "").replace("-", "").isalnum() for part in parts):
        raise InvalidArgument(f'invalid platform "{text}", expected os/architecture or os/architecture/variant')
    if len(parts) > 1:
        return normalize(Platform(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) > 2 else ""))
    word = parts[0].lower()
    if word in _SYSTEMS:
        return host().replace(os=word)
    if word in _KNOWN or word in _ARCHITECTURES:
        return normalize(Platform(os="linux", architecture=word))
    raise InvalidArgument(f'unknown platform "{text}", expected os/architecture or os/architecture/variant')


def host(machine: str | None = None, features: Iterable[str] | None = None) -> Platform:
    """The platform of this machine; ``machine`` (of uname(2)) and ``features`` (/proc/cpuinfo's flags) for tests."""
    platform = normalize(Platform(os="linux", architecture=machine or os.uname().machine))
    if platform.architecture != "amd64":
        return platform
    flags = set(_cpu_flags() if features is None else features)
    level = ""
    for name, needed in _LEVELS:
        if not flags.issuperset(needed.split()):
            break
        level = name
    return platform.replace(variant=level)


def _cpu_flags() -> list[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as cpus:
            for line in cpus:
                if line.startswith("flags"):
                    return line.partition(":")[2].split()
    except OSError:
        pass  # no procfs: the base level is a safe answer
    return []


def runnable(wanted: Platform) -> list[Platform]:
    """What can run where ``wanted`` is asked for, best first: lower variants, then the 32-bit sibling."""
    wanted = normalize(wanted)
    found = [wanted]
    make = wanted.replace
    digits = wanted.variant[1:]
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 3 else 0
    if wanted.architecture == "amd64":
        found += [make(variant=f"v{level}" if level > 1 else "") for level in range(number - 1, 0, -1)]
        found.append(make(architecture="386", variant=""))
    elif wanted.architecture == "arm":
        found += [make(variant=f"v{level}") for level in range(number - 1, 4, -1)]
    elif wanted.architecture == "arm64":
        found += [make(variant=f"v{level}" if level > 8 else "") for level in range(number - 1, 7, -1)]
        found += [make(architecture="arm", variant=f"v{level}") for level in range(8, 4, -1)]
    return found


def choose(wanted: Platform, offered: Iterable[Platform | None]) -> int | None:
    """The index of the best of ``offered`` for ``wanted``, None when nothing fits.

    An offer without a platform fits last of all; ``unknown/unknown`` (attestations) never fits.
    """
    candidates = runnable(wanted)
    best, best_rank = None, len(candidates) + 1
    for index, offer in enumerate(offered):
        if offer is None:
            rank = len(candidates)
        elif (spelled := normalize(offer)) in candidates:
            rank = candidates.index(spelled)
        else:
            continue
        if rank < best_rank:
            best, best_rank = index, rank
    return best
