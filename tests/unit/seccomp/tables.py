"""Writes src/utsuwa/seccomp/syscalls.py: ``python -m tests.unit.seccomp.tables``.

Numbers come from the installed libseccomp, which knows the system calls up to its own release; those that came later
are in _LATER, by hand, from the kernel's scripts/syscall.tbl and arch/x86/entry/syscalls/.  A test compares the
checked-in file with what this module would write.
"""

from __future__ import annotations

import pathlib
import textwrap

from tests.unit.seccomp import libseccomp

TARGET = pathlib.Path(__file__).parents[3] / "src/utsuwa/seccomp/syscalls.py"

# One number for every architecture since Linux 5.1; 450 is Linux 5.17, 471 is Linux 7.0.
_LATER = {
    450 + at: name
    for at, name in enumerate(
        (
            *("set_mempolicy_home_node", "cachestat", "fchmodat2", "map_shadow_stack"),
            *("futex_wake", "futex_wait", "futex_requeue", "statmount", "listmount"),
            *("lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules", "mseal"),
            *("setxattrat", "getxattrat", "listxattrat", "removexattrat"),
            *("open_tree_attr", "file_getattr", "file_setattr", "listns", "rseq_slice_yield"),
        )
    )
}
_LATER_X86_64 = {335: "uretprobe", 336: "uprobe"}
_X32 = 0x4000_0000
_ARM_PRIVATE = 0x000F_0000
_GAP = 12
"""A hole in the numbers up to this long is written as dashes, a longer one starts another run."""

_HEAD = '''"""System call numbers of the architectures that utsuwa filters, up to Linux 7.0.

Written by tests/unit/seccomp/tables.py; do not edit.  Each architecture is a tuple of runs (first number, names in
order of number, "-" for a hole): as strings they cost a lean start next to nothing, and only the tables that a filter
needs are taken apart.  x32 numbers carry bit 30, as the kernel sees them.
"""

from __future__ import annotations

_numbers: dict[str, dict[str, int]] = {}


def numbers(architecture: str) -> dict[str, int]:
    """The numbers by name for an OCI architecture (``SCMP_ARCH_X86_64``); KeyError where there is no table."""
    found = _numbers.get(architecture)
    if found is None:
        found = {}
        for first, names in TABLES[architecture]:
            split = names.split()
            found.update(zip(split, range(first, first + len(split)), strict=True))
        found.pop("-", None)
        _numbers[architecture] = found
    return found


'''


def table(architecture: str) -> dict[int, str]:
    """Name by number, the library's and the later ones."""
    base = _X32 if architecture == "SCMP_ARCH_X32" else 0
    numbers = [
        *range(base, base + 600),
        *(range(_ARM_PRIVATE, _ARM_PRIVATE + 16) if architecture.endswith("ARM") else ()),
    ]
    found = {number: name for number in numbers if (name := libseccomp.name_of(architecture, number)) is not None}
    later = dict(_LATER)
    if architecture in ("SCMP_ARCH_X86_64", "SCMP_ARCH_X32"):
        later |= _LATER_X86_64
    for number, name in later.items():
        if found.setdefault(base + number, name) != name:
            raise ValueError(f"{architecture}: {number} is {found[base + number]}, not {name}")
    return dict(sorted(found.items()))


def runs(names: dict[int, str]) -> list[tuple[int, list[str]]]:
    """The runs of consecutive numbers."""
    result: list[tuple[int, list[str]]] = []
    for number, name in names.items():
        following = result[-1][0] + len(result[-1][1]) if result else -1
        if result and number - following <= _GAP:
            result[-1][1].extend(["-"] * (number - following) + [name])
        else:
            result.append((number, [name]))
    return result


def source() -> str:
    """The whole module."""
    lines = ["TABLES: dict[str, tuple[tuple[int, str], ...]] = {"]
    for architecture in libseccomp.ARCHITECTURES:
        lines.append(f'    "{architecture}": (')
        for first, names in runs(table(architecture)):
            shown = f"0x{first:X}" if first >= _ARM_PRIVATE else str(first)
            chunks = textwrap.wrap(" ".join(names), 98, break_long_words=False, break_on_hyphens=False)
            if len(chunks) == 1:
                lines.append(f'        ({shown}, "{chunks[0]}"),')
                continue
            lines += ["        (", f"            {shown},"]
            lines += [f'            "{chunk} "' for chunk in chunks[:-1]]
            lines += [f'            "{chunks[-1]}",', "        ),"]
        lines.append("    ),")
    lines += ["}", '"""Runs by OCI architecture."""', ""]
    return _HEAD + "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(source())
