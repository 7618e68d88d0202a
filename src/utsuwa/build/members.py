"""What COPY and ADD take along: members for a layer's archive, from a context, a stage, an image, or a here-document.

Sources follow BuildKit: a link that is named is followed, links inside a directory stay links; of a directory the
contents are copied; a pattern matches name by name; what ``.dockerignore`` or ``--exclude`` leaves out is not there.
"""

from __future__ import annotations

import os
import stat

from utsuwa.build import patterns, places
from utsuwa.errors import InvalidArgument, NotFound
from utsuwa.snapshot.tree import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.build.places import Path
    from utsuwa.snapshot.merged import Merged


class Member:
    """One file of any kind for a layer: ``name`` in the open ``directory``, or ``data`` that is here already.

    ``archive``: it is one, and what is in it goes to the directory ``path``.
    """

    __slots__ = ("archive", "data", "directory", "name", "path", "state")

    def __init__(
        self, path: Path, state: os.stat_result, directory: int = -1, name: bytes = b"", data: bytes | None = None
    ) -> None:
        self.path, self.state, self.directory, self.name, self.data = path, state, directory, name, data
        self.archive = False


class Origin:
    """A tree to copy from, and what of it is not to be seen. ``keeps_owners`` False: its files become root's."""

    def __init__(self, root: Merged, ignored: patterns.Exclusions | None = None, keeps_owners: bool = True) -> None:
        self.root, self.ignored, self.keeps_owners = root, ignored or patterns.Exclusions([]), keeps_owners

    def hides(self, path: Path) -> bool:
        """Whether a path of the tree is left out, and nothing beneath it can be included again."""
        if not self.ignored or not path:
            return False
        text = _text(path)
        return self.ignored.excludes(text) and not self.ignored.may_include_below(text)


class Match:
    """A source that exists: where it is in the tree, and for ``--parents`` the part of its path to keep."""

    def __init__(self, path: Path, kept: Path) -> None:
        self.path, self.kept = path, kept


def plain_state(mode: int, uid: int = 0, gid: int = 0, size: int = 0, mtime: int = 0) -> os.stat_result:
    """Attributes of something that is not on the disk; ``mtime`` in nanoseconds."""
    return _state((mode, 0, 0, 1, uid, gid, size), mtime, 0)


def with_attributes(state: os.stat_result, mode: int, uid: int, gid: int) -> os.stat_result:
    """The same with another mode and owner."""
    numbers = (mode, state.st_ino, state.st_dev, state.st_nlink, uid, gid, state.st_size)
    return _state(numbers, state.st_mtime_ns, state.st_rdev)


def _state(numbers: tuple[int, ...], mtime: int, device: int) -> os.stat_result:
    seconds = mtime // 1_000_000_000
    return os.stat_result((*numbers, seconds, seconds, seconds), {"st_mtime_ns": mtime, "st_rdev": device})


def matching(origin: Origin, source: str) -> list[Match]:
    """The paths that a source of COPY stands for. Raises NotFound when it is no pattern and does not exist."""
    pivot, _, tail = source.partition("/./") if "/./" in source else ("", "", source)
    head, parts = patterns.clean(pivot), patterns.clean(tail)
    whole = [*head, *parts]
    if not patterns.is_glob(source):
        with places.find(origin.root, tuple(map(os.fsencode, whole))) as found:
            if found.state is None or origin.hides(found.path) or _is_ignored_file(origin, found):
                raise NotFound(f'"/{"/".join(whole)}": not found')
            return [Match(found.path, tuple(map(os.fsencode, parts)))]
    literal = next(place for place, part in enumerate(whole) if patterns.is_glob(part))
    with places.find(origin.root, tuple(map(os.fsencode, whole[:literal]))) as found, found.enter() as directory:
        names = _expand(directory, whole[literal:], ())
        kept = tuple(map(os.fsencode, whole[len(head) : literal])) if literal >= len(head) else ()
        matches = [Match((*found.path, *path), (*kept, *path[max(0, len(head) - literal) :])) for path in names]
    return [match for match in matches if not _is_left_out(origin, match.path)]


def _is_ignored_file(origin: Origin, found: places.Found) -> bool:
    return not found.is_directory() and _is_left_out(origin, found.path)


def _is_left_out(origin: Origin, path: Path) -> bool:
    if origin.hides(path):
        return True
    if not origin.ignored or not path or not origin.ignored.excludes(_text(path)):
        return False
    with places.find(origin.root, path, follow=False) as found:
        return not found.is_directory()


def _expand(directory: Merged, parts: list[str], done: Path) -> list[Path]:
    """The paths below a directory that a pattern matches, sorted; links are not followed on the way."""
    found: list[Path] = []
    entries = directory.entries()
    for name in sorted(entries):
        state, _ = entries[name]
        text = os.fsdecode(name)
        inside = stat.S_ISDIR(state.st_mode)
        if parts[0] == "**":
            if len(parts) == 1 or (len(parts) == 2 and patterns.match_name(parts[1], text)):
                found.append((*done, name))
            rest = [parts] if inside else []
            if inside and len(parts) > 2 and patterns.match_name(parts[1], text):
                rest.append(parts[2:])
        elif not patterns.match_name(parts[0], text):
            continue
        elif len(parts) == 1:
            found.append((*done, name))
            continue
        else:
            rest = [parts[1:]] if inside else []
        for each in rest:
            with directory.enter(name) as inner:
                found += _expand(inner, each, (*done, name))
    return sorted(set(found))


def walk(origin: Origin, match: Match, target: Path, excluded: patterns.Exclusions) -> Iterator[Member]:
    """The members of one source as they are to be at ``target``: the file, or the directory and all that is in it.

    A directory that ``.dockerignore`` leaves out, but for something in it, comes before the first such thing.
    """
    with places.find(origin.root, match.path, follow=False) as found:
        state = found.state
        if state is None:  # removed since it was matched
            raise NotFound(f'"/{show(b"/".join(match.path))}": not found')
        if not stat.S_ISDIR(state.st_mode):
            if not excluded.excludes(os.fsdecode(found.name)):
                yield Member(target, state, found.directory, found.name)
            return
        yield Member(target, state, found.directory, found.name)
        with found.enter() as directory:
            yield from _Walk(origin, excluded, match.path).below(directory, (), target)


class _Walk:
    def __init__(self, origin: Origin, excluded: patterns.Exclusions, start: Path) -> None:
        self._origin, self._excluded, self._start = origin, excluded, start

    def below(self, directory: Merged, inner: Path, target: Path) -> Iterator[Member]:
        """All that is to be seen beneath a directory, names sorted."""
        if len(inner) > 250:
            raise InvalidArgument(f"{show(b'/'.join(target))}: a path of more than 250 levels can't be copied")
        entries = directory.entries()
        for name in sorted(entries):
            state, fd = entries[name]
            path = (*inner, name)
            left_out, deeper = self._look(path)
            if not stat.S_ISDIR(state.st_mode):
                if not left_out:
                    yield Member((*target, name), state, fd, name)
                continue
            member = Member((*target, name), state, fd, name)
            if not left_out:
                yield member
            elif not deeper:
                continue
            with directory.enter(name) as below:
                pending = left_out
                for each in self.below(below, path, member.path):
                    if pending:
                        yield member
                        pending = False
                    yield each

    def _look(self, path: Path) -> tuple[bool, bool]:
        """Whether a path is left out, and whether something below it may not be."""
        left_out = deeper = False
        for rules, text in ((self._origin.ignored, _text((*self._start, *path))), (self._excluded, _text(path))):
            if rules and rules.excludes(text):
                left_out = True
                deeper = rules.may_include_below(text)
                if not deeper:
                    return True, False
        return left_out, deeper


def _text(path: Path) -> str:
    return os.fsdecode(b"/".join(path))
