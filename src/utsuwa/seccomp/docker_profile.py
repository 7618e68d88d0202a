"""Profiles as ``docker run --security-opt seccomp=FILE`` takes them.

Docker's format is the runtime specification's with conditions: ``archMap`` chooses architectures by the machine, and a
rule may be for some capabilities, machines or kernels only (``includes``, ``excludes``).
"""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument
from utsuwa.seccomp.program import native_architecture
from utsuwa.spec.codec import parse
from utsuwa.spec.record import decode
from utsuwa.spec.runtime import Seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

_MACHINES = {"SCMP_ARCH_X86_64": "amd64", "SCMP_ARCH_AARCH64": "arm64"}
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_RULE = ("names", "action", "errnoRet", "args")
_PROFILE = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")


def parse_profile(text: str, capabilities: Collection[str], kernel: str = "", native_arch: str = "") -> Seccomp:
    """The filter for a container whose bounding set holds ``capabilities``; ``kernel`` and ``native_arch`` are this
    machine's unless given. Raises InvalidArgument.
    """
    native = native_arch or native_architecture()
    here = _Here(frozenset(capabilities), _MACHINES.get(native, ""), _version(kernel or os.uname().release))
    try:
        document = parse(text)
        if not isinstance(document, dict):
            raise InvalidArgument("expected an object")
        plain = {name: document[name] for name in _PROFILE if document.get(name) is not None}
        if plain.get("defaultAction") not in _WITH_ERRNO:  # Docker takes one that has no meaning, the runtime does not
            plain.pop("defaultErrnoRet", None)
        plain["architectures"] = _architectures(document, native)
        rules = _list(document, "syscalls")
        plain["syscalls"] = [_plain(rule) for rule in rules if here.wants(rule)]
        profile: Seccomp = decode(Seccomp, plain)
    except InvalidArgument as error:
        raise error.within("seccomp profile") from error
    return profile


def _architectures(document: dict[str, Any], native: str) -> list[Any]:
    given, mapped = _list(document, "architectures"), _list(document, "archMap")
    if given and mapped:
        raise InvalidArgument("both architectures and archMap are specified, use one of them")
    for entry in mapped:
        if isinstance(entry, dict) and entry.get("architecture") == native:
            return [native, *_list(entry, "subArchitectures")]
    return given or [native]


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    if rule.get("name") and rule.get("names"):
        raise InvalidArgument(f"both name and names are specified for {rule['name']!r}, use one of them")
    kept = {name: rule[name] for name in _RULE if rule.get(name) is not None}
    if kept.get("action") not in _WITH_ERRNO:
        kept.pop("errnoRet", None)
    return {"names": [rule["name"]], **kept} if rule.get("name") else kept


def _list(document: dict[str, Any], name: str) -> list[Any]:
    found = document.get(name) or []
    if not isinstance(found, list):
        raise InvalidArgument(f"{name}: expected a list")
    return found


class _Here:
    """What the conditions of a rule are about."""

    def __init__(self, capabilities: frozenset[str], machine: str, kernel: tuple[int, int]) -> None:
        self._capabilities, self._machine, self._kernel = capabilities, machine, kernel

    def wants(self, rule: Any) -> bool:
        """The rule's conditions hold."""
        if not isinstance(rule, dict):
            raise InvalidArgument("syscalls: expected a list of objects")
        only, never = _conditions(rule, "includes"), _conditions(rule, "excludes")
        if self._machine in _list(never, "arches") or self._capabilities.intersection(map(str, _list(never, "caps"))):
            return False
        if never.get("minKernel") and self._kernel >= _version(str(never["minKernel"])):
            return False
        if _list(only, "arches") and self._machine not in only["arches"]:
            return False
        if not self._capabilities.issuperset(map(str, _list(only, "caps"))):
            return False
        return not only.get("minKernel") or self._kernel >= _version(str(only["minKernel"]))


def _conditions(rule: dict[str, Any], name: str) -> dict[str, Any]:
    found = rule.get(name) or {}
    if not isinstance(found, dict):
        raise InvalidArgument(f"syscalls: {name}: expected an object")
    return found


def _version(text: str) -> tuple[int, int]:
    """Major and minor of a kernel's release: "6.1.0-13-amd64" is (6, 1)."""
    parts = text.split("-")[0].split(".")[:2]
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise InvalidArgument(f"minKernel: expected a version as 4.8, found {text[:40]!r}")
    return int(parts[0]), int(parts[1])
