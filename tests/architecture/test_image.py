"""The image of `utsuwa` (decision 0004) is enough for its verbs: what they may import needs no extension modules."""

from __future__ import annotations

import ast
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.architecture.sources import SRC, modules, ours
from tools.image import MAGIC, contents
from tools.program import (
    ASKING,
    HUGE,
    INSTEAD,
    PAGE,
    PF_W,
    PF_X,
    PROGRAM_HEADERS,
    PT_LOAD,
    TAKES_A_NAME,
    VERSION,
    without_questions,
)

PYTHON = "/usr/bin/python3"
OTHERWISE = {"_ctypes": {"utsuwa.linux.libc"}, "_hashlib": {"utsuwa.spec.digest"}, "_json": set(), "_utsuwa": set()}
"""Extension modules that somebody does without where they can't be had (empty: everybody, the launcher has its own)."""
_BLOCKED = """
import importlib, sys
class Blocked:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in extensions:
            raise ModuleNotFoundError(name, name=name)
extensions = set(sys.argv[1].split())
sys.meta_path.insert(0, Blocked)
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


NOBODY = 65534
KINDS = 4
_HEAD, _STRETCH = struct.Struct(f"<8sQQ{KINDS}QQQ"), struct.Struct("<QQq")
"""What src/utsuwa/cli/c/embedded.h says of an image: its first bytes, its stretches of memory and groups."""


@pytest.mark.parametrize("program", ["urun", "utsuwa"])
def test_what_starts_write_to_is_side_by_side(program: str) -> None:
    data = (Path(sys.executable).parent / program).read_bytes()
    if data[-16:-8] != MAGIC:
        pytest.skip(f"{program} starts by the plain launcher")
    begin = int.from_bytes(data[-8:], "little")
    _magic, _size, stretches, *counts = _HEAD.unpack_from(data, begin)
    rows = [
        _STRETCH.unpack_from(data, begin + _HEAD.size + number * _STRETCH.size)
        for number in range((1 << KINDS) + stretches + sum(counts[:KINDS]))
    ]
    groups, left = rows[: 1 << KINDS], rows[(1 << KINDS) + stretches :]
    assert [size > 0 for _, size, _ in groups[1:3]] == [True, True]  # for every start, and for runs
    assert all(size % PAGE == 0 for _, size, _ in groups)
    everybody, runs = counts[:2]
    assert sum(size for _, size, _ in left[: everybody + runs]) // PAGE < 150  # of 1000 before they were gathered


_HEADER = struct.Struct("<IIQQQQQ")
"""One header of a program's segments (elf(5))."""


@pytest.mark.parametrize("program", ["urun", "utsuwa"])
def test_code_can_be_mapped_by_huge_pages(program: str) -> None:
    data = (Path(sys.executable).parent / program).read_bytes()
    if data[-16:-8] != MAGIC:
        pytest.skip(f"{program} starts by the plain launcher")
    start, size, count = (int.from_bytes(data[at : at + length], "little") for at, length in PROGRAM_HEADERS)
    headers = [_HEADER.unpack_from(data, at) for at in range(start, start + count * size, size)]
    constant = [header for header in headers if header[0] == PT_LOAD and not header[1] & PF_W and header[5] > PAGE]
    assert len(constant) > 1
    for _kind, _flags, offset, address, _physical, in_file, in_memory in constant:
        assert [address % HUGE, offset % HUGE, in_file % HUGE, in_memory - in_file] == [0, 0, 0, 0]
    assert not any(flags & PF_W and flags & PF_X for _kind, flags, *_ in headers)


def test_only_the_function_that_asks_for_caches_becomes_a_jump() -> None:
    base, asked, instead = 0x400000, 0x401010, 0x401100
    header = struct.pack("<IIQQQQQQ", PT_LOAD, PF_X, 0, base, base, 0x2000, 0x2000, PAGE)
    program = bytearray(b"\x7fELF\x02\x01".ljust(0x2000, b"\x90"))
    program[32:40], program[54:58], program[64 : 64 + len(header)] = (64).to_bytes(8, "little"), b"\x38\0\1\0", header
    program[0x1018 : 0x1018 + len(TAKES_A_NAME)] = TAKES_A_NAME
    known = bytes(program)
    changed = without_questions(known, {ASKING: asked, INSTEAD: instead})
    assert changed[0x1010:0x1015] == b"\xe9" + (instead - asked - 5).to_bytes(4, "little")
    assert changed[:0x1010] + changed[0x1015:] == known[:0x1010] + known[0x1015:]
    assert without_questions(known, {INSTEAD: instead}) == known  # no such function
    assert without_questions(known, {ASKING: asked + 0x100, INSTEAD: instead}) == known  # of another form
    assert without_questions(b"\x7fELF\x01\x01" + known[6:], {ASKING: asked, INSTEAD: instead})[6:] == known[6:]


@pytest.mark.skipif(os.geteuid() != 0 or not Path(PYTHON).exists(), reason=f"needs root, and {PYTHON}")
def test_an_ordinary_user_can_make_the_image() -> None:
    if sys.version_info[:2] != VERSION:
        pytest.skip("this Python gets the plain launcher")
    with tempfile.TemporaryDirectory(prefix="utsuwa-image-") as directory:
        for name in ("src", "tools"):
            shutil.copytree(SRC.parent / name, f"{directory}/{name}", ignore=shutil.ignore_patterns("__pycache__"))
        os.chown(directory, NOBODY, NOBODY)
        words = [PYTHON, "tools/image.py", "src/utsuwa", "urun", f"{directory}/src", f'-DPYTHON="{PYTHON}"']
        words += [f'-DVERSION="{VERSION[0]}.{VERSION[1]}"', f'-DPACKAGE="{directory}/src"']
        made = subprocess.run(
            words,
            cwd=directory,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        said = subprocess.run([f"{directory}/urun", "--version"], capture_output=True, text=True, check=True).stdout
        assert "embedded" in said


def foreign_imports() -> dict[str, set[str]]:
    """What the modules of the image import besides our own, with where."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name in contents(SRC / "utsuwa", "utsuwa"):
        for item in known[name].imports:
            if not item.typing_only and not ours(item.module):
                found.setdefault(item.module, set()).add(name)
    return found


def test_the_image_has_what_its_verbs_import_and_no_more() -> None:
    packed = contents(SRC / "utsuwa", "utsuwa")
    assert {"utsuwa", "utsuwa.cli", "utsuwa.cli.run", "utsuwa.engine.containers", "utsuwa.cgroup.v2"} <= set(packed)
    assert {"utsuwa.cli.pull", "utsuwa.registry", "utsuwa.build", "utsuwa.monitor.forkserver"}.isdisjoint(packed)


@pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"no {PYTHON}")
def test_the_verbs_of_the_image_need_no_extension_modules() -> None:
    foreign = foreign_imports()
    for name, users in OTHERWISE.items():
        where = foreign.pop(name, set())
        assert not users or where == users, f"{name} is imported by {sorted(where)}"
    assert len(foreign) > 10
    code = "import os, sysconfig; print(*{n.split('.')[0] for n in os.listdir(sysconfig.get_config_var('DESTSHARED'))})"
    listed = subprocess.run([PYTHON, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "_ctypes" in listed
    extensions = " ".join([*(name for name in listed if name != "_json"), "pwd", "grp", "spwd"])
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-c", _BLOCKED, extensions, *sorted(foreign)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stderr}\n{ {name: foreign[name] for name in foreign if name in done.stderr} }"


def test_the_launcher_has_every_function_that_is_called_by_name() -> None:
    called = set()
    for module in modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("call", "_call"):
                names = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
                called.update(name for name in names if isinstance(name, str))
    offered = set(re.findall(r"NAMED\((\w+)\)", (SRC / "utsuwa/cli/c/calls.c").read_text()))
    assert "mount" in called
    assert called <= offered, "add it to calls.c: the image of utsuwa has no other functions of the C library"


def test_it_can_fail() -> None:
    done = subprocess.run([sys.executable, "-I", "-c", _BLOCKED, "_ctypes", "ctypes"], capture_output=True, check=False)
    assert b"ModuleNotFoundError: _ctypes" in done.stderr
