"""Build a command with its interpreter inside (src/utsuwa/cli/c).

``image.py PACKAGE TARGET HOME [--stamped] DEFINE...``: PACKAGE is the package's directory, TARGET is called `urun` or
`utsuwa`, HOME is the directory that the modules believe to be in, DEFINEs are the launcher's. The program is compiled
and linked with the interpreter's static library, then started to make the image of an interpreter that has the
command's modules imported (image_urun.py, image_utsuwa.py), and that image is put behind it. Exit code 3 and a reason
where this machine has not what it takes; then there is the plain launcher.
"""

from __future__ import annotations

import _imp
import ast
import marshal
import os
import secrets
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import image_urun
import image_utsuwa
from freeze import compiled, modules
from program import HUGE, VERSION, Unfit, in_whole_pages, program

TABLE = 64 * 1024
MAGIC = b"UTIMAGE2"
TIMES = 3
"""How often the image is made until what starts write to is side by side (src/utsuwa/cli/c/gather.c)."""


def contents(package: Path, program: str) -> dict[str, Path]:
    """The modules of the image: for `urun` its packages, for `utsuwa` all that its verbs may ever import."""
    known = modules(package)
    if program == "utsuwa":
        wanted = _reached(known)
    else:
        short = {name: name.removeprefix(f"{package.name}.") for name in known}
        wanted = {package.name, *(name for name in known if short[name] in image_urun.COMMAND)}
        packed = {name for name in known if short[name].split(".")[0] in image_urun.PACKAGES}
        wanted |= {name for name in packed if short[name] not in image_urun.LEFT_OUT}
    return {name: path for name, path in known.items() if name in wanted}


def _reached(known: dict[str, Path]) -> set[str]:
    waiting = ["utsuwa.cli.main", *(f"utsuwa.cli.{verb}" for verb in image_utsuwa.VERBS)]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in known and name not in found and name not in image_utsuwa.BEHIND_THE_DOOR:
            found.add(name)
            waiting += [name.rpartition(".")[0], *_imported(known[name])]
    return found


def _imported(path: Path) -> Iterator[str]:
    """The modules, or names in modules, that a file imports, now or later, but not for the sake of types alone."""
    waiting: list[ast.AST] = [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            waiting += ast.iter_child_nodes(node)


def inventory(package: Path, program: str, home: str, stamped: bool) -> bytes:
    """What the script in the new interpreter reads: its modules, their stamps, and what it can't import itself."""
    codes, stamps = {}, b""
    found = contents(package, program)
    for name, path in found.items():
        relative = "/" + path.relative_to(package.parent).as_posix()
        code = compiled(path.read_bytes(), home + relative if stamped else relative[1:])
        codes[name] = (home + relative, path.name == "__init__.py", code)
    for path in sorted(found.values(), key=lambda path: (path.parent, path.name)) if stamped else ():
        status = path.stat()
        stamps += status.st_mtime_ns.to_bytes(8, "little") + status.st_size.to_bytes(8, "little")
        stamps += os.fsencode(f"{home}/{path.relative_to(package.parent).as_posix()}") + b"\0"
    dynamic = Path(sysconfig.get_config_var("DESTSHARED"))
    extensions = {path.name.split(".")[0] for path in dynamic.glob("*.so")} | {"pwd", "grp", "spwd"}
    return marshal.dumps((program, codes, stamps, home, sorted(extensions)))


def frozen() -> bytes:
    """The modules that come with the interpreter, see src/utsuwa/cli/c/modules.c."""
    told = b""
    for name in _imp._frozen_module_names():  # type: ignore[attr-defined]
        if not name.startswith("__") and name != "os.path":
            code = marshal.dumps(_imp.get_frozen_object(name))
            told += name.encode() + b"\0" + len(code).to_bytes(8, "little") + code
    return told


def _make(command: list[str]) -> None:
    """Start the program to make its image. Pipes: what Python finds out about its standard streams must be true of any
    kind of file.
    """
    here = Path(__file__).resolve().parent
    done = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, env={}, check=False, cwd=here)
    if done.returncode:
        raise Unfit(f"making the image ended with {done.returncode}: {done.stderr.decode(errors='replace')[-3000:]}")


def build(package: Path, target: Path, home: str, stamped: bool, defines: list[str]) -> None:
    """The whole thing."""
    if sys.version_info[:2] != VERSION:
        raise Unfit(f"it is made for Python {VERSION[0]}.{VERSION[1]}")
    source = Path(__file__).resolve().parent.parent / "src" / "utsuwa" / "cli" / "c"
    with tempfile.TemporaryDirectory(prefix="utsuwa-image-") as temporary:
        directory = Path(temporary)
        made = program(source, directory, defines)
        (directory / "inventory").write_bytes(inventory(package, target.name, home, stamped))
        (directory / "frozen").write_bytes(frozen())
        python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        blocks, seed = Path("-"), str(secrets.randbelow(2**32 - 1) + 1)
        for number in range(TIMES):
            image = directory / f"image{number}"
            words = [made, "--make-image", image, "image_script.py", python, sysconfig.get_path("stdlib"), seed, blocks]
            _make([str(word) for word in (*words, directory / "frozen", directory / "inventory")])
            blocks = image
        code = in_whole_pages(made.read_bytes())
        offset = (len(code) + TABLE + HUGE - 1) // HUGE * HUGE - TABLE  # the heap follows the table
        whole = code.ljust(offset, b"\0") + image.read_bytes() + MAGIC + offset.to_bytes(8, "little")
    temporary_target = target.with_name(f"{target.name}.{os.getpid()}")
    temporary_target.write_bytes(whole)
    temporary_target.chmod(0o755)
    os.replace(temporary_target, target)


if __name__ == "__main__":
    options = [word for word in sys.argv[4:] if word == "--stamped"]
    definitions = [word for word in sys.argv[4:] if word != "--stamped"]
    try:
        build(Path(sys.argv[1]).resolve(), Path(sys.argv[2]), sys.argv[3], bool(options), definitions)
    except Unfit as reason:
        print(f"{sys.argv[2]} starts by the plain interpreter: {reason}", file=sys.stderr)
        raise SystemExit(3) from None
