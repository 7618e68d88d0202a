"""Freeze the package into one file that `urun` and `utsuwa` load from: ``freeze.py PACKAGE TARGET [--stamped]``.

Sixty modules cost a start sixty searches of a directory, and as many files to open; out of one file they cost one read
each. The file holds optimised code (no docstrings, no assertions), begins with the interpreter's magic number, and is
left aside where that differs. For a checkout each module is stamped with its source's time and size, and one whose
source has changed since is loaded from there.
"""

from __future__ import annotations
import __future__

import ast
import importlib.util
import marshal
import os
import sys
from pathlib import Path
from types import CodeType

BOOT = '''
class Frozen:
    """Imports from the one file; what is not in it, or changed since, is left to the finders behind."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        entry = INDEX.get(name)
        if entry is None:
            return None
        origin = HOME + entry[0]
        if entry[4]:
            try:
                status = stat(origin)
            except OSError:
                return None
            if (status.st_mtime_ns, status.st_size) != entry[4]:
                return None
        spec = ModuleSpec(name, Frozen, origin=origin, is_package=entry[1])
        spec.has_location = True
        if entry[1]:
            spec.submodule_search_locations = [origin[:-12]]
        return spec

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        entry = INDEX[module.__name__]
        exec(loads(pread(FILE, entry[3], entry[2])), module.__dict__)


sys.meta_path.insert(0, Frozen)
'''
"""The head of the file: runs with HOME (the directory of the package), FILE (a descriptor of this file), sys, stat,
pread, loads (of marshal) and ModuleSpec in its globals."""


def modules(package: Path) -> dict[str, Path]:
    """Module name -> file, of everything in the package."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package.parent).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def compiled(source: bytes, name: str) -> CodeType:
    """Optimised code; annotations stay text without the statement that says so, which would load a module."""
    tree = ast.parse(source, name)
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert all(alias.name == "annotations" for node in future for alias in node.names), f"{name}: unknown future"
    tree.body = [node for node in tree.body if node not in future]
    flags = __future__.annotations.compiler_flag if future else 0
    code: CodeType = compile(tree, name, "exec", flags=flags, dont_inherit=True, optimize=2)
    return code


def freeze(package: Path, target: Path, *, stamped: bool) -> None:
    """Write ``target`` from the package directory; ``stamped``: leave modules aside whose source changes later."""
    entries: list[tuple[str, tuple[object, ...]]] = []
    codes: list[bytes] = []
    offset = 0
    for name, path in modules(package).items():
        relative = "/" + path.relative_to(package.parent).as_posix()
        status = path.stat()
        code = marshal.dumps(compiled(path.read_bytes(), str(path) if stamped else relative[1:]))
        stamp = (status.st_mtime_ns, status.st_size) if stamped else ()
        entries.append((name, (relative, path.name == "__init__.py", offset, len(code), stamp)))
        codes.append(code)
        offset += len(code)
    head = _head(dict(entries))
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    temporary.write_bytes(importlib.util.MAGIC_NUMBER + len(head).to_bytes(4, "little") + head + b"".join(codes))
    os.replace(temporary, target)


def _head(index: dict[str, tuple[object, ...]]) -> bytes:
    """The marshalled head, with offsets in the file, which its own length decides about."""
    begin = 0
    while True:
        moved = {name: (*e[:2], begin + e[2], *e[3:]) for name, e in index.items()}  # type: ignore[operator]
        text = f"INDEX = {moved!r}\n{BOOT}"
        head = marshal.dumps(compile(text, "<frozen utsuwa>", "exec", dont_inherit=True, optimize=2))
        if begin == 8 + len(head):
            return head
        begin = 8 + len(head)


if __name__ == "__main__":
    freeze(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), stamped="--stamped" in sys.argv)
