"""The rules of the house as data: floors, colours, who must stay lean.  ARCHITECTURE.md says the same to readers."""

from __future__ import annotations

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "identifiers", "spec"}),
    frozenset({"linux"}),
    frozenset({"plan", "seccomp", "cgroup", "criu", "network", "content", "snapshot"}),
    frozenset({"init", "registry"}),
    frozenset({"runtime", "image"}),
    frozenset({"monitor"}),
    frozenset({"engine"}),
    frozenset({"build"}),
    frozenset({"cli", "library"}),
    frozenset({"aio"}),
)

NEIGHBOURS = frozenset(
    {
        ("identifiers", "errors"),
        ("spec", "errors"),
        ("spec", "identifiers"),
    }
)
"""Imports within a floor that are allowed: (importer, imported)."""

LEAN = frozenset(
    {"errors", "identifiers", "spec", "linux", "plan", "seccomp", "cgroup", "criu", "network"}
    | {"init", "runtime", "monitor"}
)
LEAN_MODULES = frozenset(
    {"utsuwa.cli", "utsuwa.cli.oci", "utsuwa.cli.oci_exec", "utsuwa.cli.oci_report", "utsuwa.cli.oci_usage"}
    | {"utsuwa.cli.oci_criu", "utsuwa.cli.oci_debug", "utsuwa.cli.arguments", "utsuwa.cli.flags"}
    | {"utsuwa.cli.interpreter"}
)
"""Modules outside of lean packages that ``urun`` loads."""

CHEAP = frozenset({"__future__", "os", "posixpath", "stat", "struct", "errno", "signal", "_signal"})
"""Besides the interpreter's builtin modules: what a lean module may import when it is loaded."""

EXTENSIONS = frozenset({"_json", "resource", "termios", "mmap", "_ctypes"})
"""Modules in C that Debian ships as files; a lean module may import them."""

ASYNC = frozenset({"registry", "image", "aio"})
"""Packages that may hold ``async def`` and import asyncio; all others are synchronous (decision 0002)."""
BRIDGES = frozenset({"cli", "library"})
"""Synchronous packages that may call asynchronous modules, from inside of a function that runs the loop."""

FUNCTION_LINES = 60
FILE_LINES = 500
FORBIDDEN_NAMES = frozenset({"utils", "util", "common", "helpers", "helper", "misc"})


def floor_of(package: str) -> int:
    """The floor of a package; KeyError where the house has no such room."""
    for number, packages in enumerate(FLOORS):
        if package in packages:
            return number
    raise KeyError(package)
