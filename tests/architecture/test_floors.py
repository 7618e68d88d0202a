"""A package imports lower floors only, modules import without cycles, and ARCHITECTURE.md tells the truth."""

from __future__ import annotations

import re

from tests.architecture.house import FLOORS, NEIGHBOURS, floor_of
from tests.architecture.sources import ROOT, SRC, modules, ours


def packages() -> set[str]:
    """The rooms that exist: what is directly below the package."""
    return {module.package for module in modules().values() if module.package}


def test_every_package_has_a_floor() -> None:
    assert packages() - frozenset().union(*FLOORS) == set()


def test_every_room_of_the_table_exists() -> None:
    assert frozenset().union(*FLOORS) - packages() == frozenset()


def test_no_package_is_an_empty_folder() -> None:
    folders = {path.name for path in (SRC / "utsuwa").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= packages()


def test_imports_go_to_lower_floors() -> None:
    wrong = []
    for module in modules().values():
        for item in module.imports:
            if not ours(item.module) or "." not in item.module or not module.package:
                continue
            target = item.module.split(".")[1]
            pair = (module.package, target)
            if target != module.package and pair not in NEIGHBOURS and floor_of(target) >= floor_of(module.package):
                wrong.append(f"{module.place(item.line)}: {module.package} imports {item.module}")
    assert wrong == []


def test_exceptions_among_neighbours_are_used() -> None:
    used = {
        (module.package, item.module.split(".")[1])
        for module in modules().values()
        for item in module.imports
        if item.module.startswith("utsuwa.")
    }
    assert NEIGHBOURS - used == frozenset()


def test_the_package_itself_imports_nothing() -> None:
    assert [item.module for item in modules()["utsuwa"].imports if item.at_start and item.module != "__future__"] == []


def test_imports_are_free_of_cycles() -> None:
    graph = {
        name: {item.module for item in module.imports if item.at_start and item.module in modules()} - {name}
        for name, module in modules().items()
    }
    done: set[str] = set()
    for start in sorted(graph):
        cycle = _cycle(graph, start, [], done)
        assert cycle is None, " -> ".join(cycle or [])


def _cycle(graph: dict[str, set[str]], name: str, path: list[str], done: set[str]) -> list[str] | None:
    if name in path:
        return [*path[path.index(name) :], name]
    if name in done:
        return None
    for target in sorted(graph[name]):
        found = _cycle(graph, target, [*path, name], done)
        if found:
            return found
    done.add(name)
    return None


def test_architecture_md_shows_the_same_floors() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    block = re.search(r"^```floors\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block is not None, "ARCHITECTURE.md has no ```floors block"
    shown = {}
    for line in block[1].splitlines():
        match = re.fullmatch(r"floor (\d+): ([\w ]+)", line)
        assert match is not None, line
        shown[int(match[1])] = frozenset(match[2].split())
    assert shown == dict(enumerate(FLOORS))


def test_architecture_md_describes_every_package_on_its_floor() -> None:
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    described = {(name, int(floor)) for floor, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert described == {(name, floor) for floor, names in enumerate(FLOORS) for name in names}
