"""Documents made from the record classes themselves: a property that lands tomorrow is fuzzed tomorrow."""

from __future__ import annotations

import random
import sys
from typing import Any

from utsuwa.linux import capabilities, memory, mounts, namespaces, rlimits, scheduling
from utsuwa.spec.record import _RANGES, OneOf, Record, fields, json_name

_ATTEMPTS = ("", "/", "a", "x" * 300, "\u00e9", "a\0b", "0", "0-3", "..", "/proc/self/exe", "../..", "a/b", "-1", "\n")
_SETTINGS = (
    *("size=1k", "mode=777", "uid=1", "lowerdir=/a:/b", "max", "user", "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "2MB"),
    *("SCMP_ACT_NOTIFY", "SCMP_ACT_LOG", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_EQ", "SCMP_ARCH_X86_64", "SCMP_ARCH_ARM"),
    *("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "read", "clone3", "openat", "rwm", "c"),
    *("monotonic", "boottime", "kernel.shmmax", "net.core.somaxconn", "memory.high", "cpu.idle", "lo", "eth0"),
    *("system.slice:urun:a", "org.systemd.property.TimeoutStopUSec", "uint64 5", "run.oci.keep_original_groups"),
)
WORDS = (
    *(*_ATTEMPTS, *_SETTINGS, *mounts.WORDS, *mounts.PROPAGATIONS, *capabilities.NAMES, *rlimits.RLIMITS),
    *(*scheduling.POLICIES, *scheduling.FLAGS, *scheduling.IO_CLASSES, *scheduling.DOMAINS, *memory.MODES),
    *(*memory.FLAGS, *namespaces.KINDS),
)
_BORDERS = (0, 1, 2, 7, 19, 20, 99, 100, 1000, 4096, 65535, 65536, 1_000_000, 2**31 - 1, 2**32 - 1, 2**63 - 1, -1, -2)


def of_annotation(annotation: str, module: str, dice: random.Random) -> Any:
    """A JSON value that a field so annotated admits, mostly a plausible one."""
    kind = annotation.removesuffix(" | None")
    if kind.startswith("tuple["):
        inner = kind[6 : kind.rindex(",")]
        return [of_annotation(inner, module, dice) for _ in range(dice.choice((0, 1, 1, 2, 3)))]
    if kind.startswith("dict["):
        inner = kind[kind.index(",") + 1 : -1].strip()
        return {dice.choice(WORDS): of_annotation(inner, module, dice) for _ in range(dice.choice((0, 1, 1, 2)))}
    if kind in ("str", "object"):
        return dice.choice(WORDS)
    if kind == "bool":
        return dice.random() < 0.5
    if kind == "float":
        return dice.choice((0.0, 0.5, -1.0, 1e18))
    if kind == "int" or kind in _RANGES:
        low, high = _RANGES.get(kind, (-(2**63), 2**64 - 1))
        return dice.choice((low, high, *(number for number in _BORDERS if low <= number <= high)))
    named = getattr(sys.modules[module], kind)
    return dice.choice(named.values) if isinstance(named, OneOf) else of_record(named, dice)


def of_record(cls: type[Record], dice: random.Random) -> dict[str, Any]:
    """A document of that class: all that is required, and some of the rest."""
    return {
        json_name(name): of_annotation(*annotated, dice)
        for name, annotated in fields(cls).items()
        if not hasattr(cls, name) or dice.random() < 0.4
    }


def grow(document: Any, cls: type[Record], dice: random.Random) -> None:
    """Put one more property into a document of that class, at a random depth."""
    while isinstance(document, dict):
        name, (annotation, module) = dice.choice(list(fields(cls).items()))
        inner = getattr(sys.modules[module], annotation.removesuffix(" | None"), None)
        key = json_name(name)
        if not (isinstance(inner, type) and issubclass(inner, Record)) or dice.random() < 0.2:
            document[key] = of_annotation(annotation, module, dice)
            return
        document, cls = document.setdefault(key, {}), inner
