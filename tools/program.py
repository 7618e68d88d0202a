"""The program around an image (tools/image.py): compiled, linked with the interpreter's static library, and changed
where the linker has no option for it.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

VERSION = (3, 11)
"""The interpreter whose insides src/utsuwa/cli/c/embedded.c mends: each version has others."""
PAGE = 4096

CFLAGS = ["-std=gnu11", "-O2", "-g0", "-Wall", "-Wextra", "-Werror", "-fno-pie", "-fno-ident"]
FREESTANDING = ["-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-DEMBEDDED", "-Wno-array-bounds"]

WRAPPED = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc", "free", "_Py_Deepfreeze_Init")]
HUGE = 2 << 20
"""What the kernel maps at once of a file, where the page cache has it in one piece and all of it is to be mapped."""
PLACED = [f"-Wl,-z,max-page-size={HUGE},-z,separate-code", "-Wl,--section-start=.begin=0x401000,-e,begin"]
"""Code and constants begin at such pieces of the file; c/begin.c is in the first one, with nothing but the headers."""
ELF64 = b"\x7fELF\x02\x01"
PROGRAM_HEADERS = ((32, 8), (54, 2), (56, 2))
"""Where the first bytes of such a program tell the headers' offset, their size and their number, in how many bytes."""
_HEADER = struct.Struct("<IIQQQQQQ")
PT_LOAD, PF_X, PF_W = 1, 1, 2
ASKING, INSTEAD = "handle_intel.constprop.0", "usual_cache"
"""glibc's function that asks the processor for its caches, and ours (c/caches.c)."""
TAKES_A_NAME = b"\x41\x89\xff"
"""mov %edi, %r15d among its first instructions: what is asked for is the first argument, as it is of ours."""
_JUMP = struct.Struct("<Bi")


class Unfit(Exception):
    """This machine can't build it; the message says why."""


def program(source: Path, directory: Path, defines: list[str]) -> Path:
    """Compile and link everything but the image."""
    library = Path(sysconfig.get_config_var("LIBPL")) / f"libpython{VERSION[0]}.{VERSION[1]}.a"
    include = Path(sysconfig.get_path("include"))
    for needed in (library, include / "Python.h", include / "internal" / "pycore_runtime.h"):
        if not needed.exists():
            raise Unfit(f"{needed} is missing (Debian's libpython3-dev has it)")
    cc = os.environ.get("CC", "cc").split()
    parts: dict[str, list[str]] = {
        "first": ["edges.c"],
        "last": ["edges.c", "-DLAST"],
        "image": ["image.c", f"-I{include}"],
        "gather": ["gather.c", f"-I{include}"],
        "modules": ["modules.c", f"-I{include}"],
        "json": ["json.c", f"-I{include}"],
        "json_write": ["json_write.c", f"-I{include}"],
        "calls": ["calls.c", f"-I{include}"],
        "embedded": ["embedded.c", f"-I{include}"],
        "launcher": ["../launcher.c", "-I../../init/c", *FREESTANDING, *defines],
        "begin": ["begin.c", "-I../../init/c", *FREESTANDING],
        "caches": ["caches.c", "-fno-stack-protector"],
    }
    for name, (file, *flags) in parts.items():
        _run([*cc, *CFLAGS, *flags, "-c", file, "-o", f"{directory}/{name}.o"], source)
    behind = ("last", "embedded", "launcher", "begin", "caches")
    inside = [f"{directory}/{name}.o" for name in parts if name not in behind]
    outside = [f"{directory}/{name}.o" for name in behind]
    libraries = [str(library), "-lexpat", "-lz", "-lm"]
    target = directory / "program"
    _run([*cc, "-static", "-no-pie", *WRAPPED, *PLACED, "-o", str(target), *inside, *libraries, *outside], source)
    target.write_bytes(without_questions(target.read_bytes(), _symbols(target)))
    _run(["strip", str(target)], directory)
    return target


def _symbols(program: Path) -> dict[str, int]:
    """The address of each name; of a local one that there is more than once, that of the last."""
    rows = [line.split() for line in _run(["nm", str(program)], program.parent).splitlines()]
    return {row[2]: int(row[0], 16) for row in rows if len(row) == 3}


def _segments(program: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """What of the file comes to memory (elf(5), PT_LOAD): where its header is, and the header."""
    if program[: len(ELF64)] != ELF64:
        return
    start, size, count = (int.from_bytes(program[at : at + length], "little") for at, length in PROGRAM_HEADERS)
    for at in range(start, start + size * count, size):
        header = _HEADER.unpack_from(program, at)
        if header[0] == PT_LOAD:
            yield at, header


def without_questions(program: bytes, symbols: dict[str, int]) -> bytes:
    """The program, with glibc's question answered by us; as it is where that is another glibc, or processor."""
    made = bytearray(program)
    asked = symbols.get(ASKING, 0)
    for _, (_, flags, offset, address, _, size, _, _) in _segments(program):
        at = offset + asked - address
        if flags & PF_X and address <= asked < address + size and TAKES_A_NAME in program[at : at + 32]:
            _JUMP.pack_into(made, at, 0xE9, symbols[INSTEAD] - asked - _JUMP.size)
    return bytes(made)


def in_whole_pages(program: bytes) -> bytes:
    """The program, with what it only executes or reads mapped up to the end of the last huge page. In memory there is
    nothing else, and what follows in the file is no secret.
    """
    made = bytearray(program)
    for at, (kind, flags, offset, address, physical, size, _, align) in _segments(program):
        if not flags & PF_W and size > PAGE:
            size = (size + HUGE - 1) // HUGE * HUGE
            _HEADER.pack_into(made, at, kind, flags, offset, address, physical, size, size, align)
    return bytes(made)


def _run(command: list[str], directory: Path) -> str:
    """What the command prints. Raises Unfit when it fails or is not there."""
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unfit(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise Unfit(f"{command[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout
