"""Path patterns: those of .dockerignore and --exclude, and the globs of COPY (Go's filepath.Match, and ``**``)."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument


def match_name(pattern: str, name: str) -> bool:
    """Whether one part of a path matches ``*``, ``?``, ``[a-z]``, ``[^a]`` and escapes. Raises InvalidArgument."""
    at = place = 0
    star, resume = -1, 0
    while place < len(name):
        if pattern[at : at + 1] == "*":
            star, resume, at = at, place, at + 1
            continue
        end = _match_one(pattern, at, name[place])
        if end:
            at, place = end, place + 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def _match_one(pattern: str, at: int, letter: str) -> int:
    """Where the pattern goes on when what is at ``at`` matches the letter, 0 when it does not."""
    sign = pattern[at : at + 1]
    if sign == "?":
        return at + 1
    if sign == "[":
        return _match_range(pattern, at, letter)
    if sign == "\\":
        if at + 1 >= len(pattern):
            raise InvalidArgument(f"syntax error in pattern {pattern!r}")
        return at + 2 if pattern[at + 1] == letter else 0
    return at + 1 if sign and sign == letter else 0


def _match_range(pattern: str, at: int, letter: str) -> int:
    place = at + 1
    negated = pattern[place : place + 1] in ("^", "!")
    place += negated
    found, first = False, True
    while pattern[place : place + 1] != "]" or first:
        first = False
        low, place = _range_letter(pattern, place)
        high = low
        if pattern[place : place + 1] == "-" and pattern[place + 1 : place + 2] != "]":
            high, place = _range_letter(pattern, place + 1)
        found = found or low <= letter <= high
    return place + 1 if found != negated else 0


def _range_letter(pattern: str, place: int) -> tuple[str, int]:
    if pattern[place : place + 1] == "\\":
        place += 1
    if place >= len(pattern):
        raise InvalidArgument(f"syntax error in pattern {pattern!r}")
    return pattern[place], place + 1


def is_glob(text: str) -> bool:
    """Whether a source of COPY is a pattern."""
    return any(sign in text for sign in "*?[")


def match_path(pattern: list[str], path: list[str]) -> bool:
    """Whether all parts of a path match; ``**`` stands for any number of parts."""
    reached = {0}
    for part in path:
        following = set()
        for at in _past_stars(pattern, reached):
            if at < len(pattern):
                if pattern[at] == "**":
                    following.add(at)
                elif match_name(pattern[at], part):
                    following.add(at + 1)
        reached = following
        if not reached:
            return False
    return len(pattern) in _past_stars(pattern, reached)


def _past_stars(pattern: list[str], reached: set[int]) -> set[int]:
    """The places that ``**`` for no part at all leads to as well."""
    found = set(reached)
    for at in reached:
        while at < len(pattern) and pattern[at] == "**":
            at += 1
            found.add(at)
    return found


class Exclusions:
    """Patterns of which the last that matches a path, or a directory above it, decides; ``!`` includes again."""

    def __init__(self, lines: list[str]) -> None:
        self._rules: list[tuple[list[str], bool]] = []
        for line in lines:
            pattern = line.strip()
            includes = pattern.startswith("!")
            pattern = pattern[1:].strip() if includes else pattern
            parts = clean(pattern)
            if parts:
                self._rules.append((parts, includes))
        self._includes = any(includes for _, includes in self._rules)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def excludes(self, path: str) -> bool:
        """Whether a path (no slash before or after) is left out."""
        parts = path.split("/")
        left_out = False
        for pattern, includes in self._rules:
            if includes != left_out:
                continue
            if any(match_path(pattern, parts[:length]) for length in range(1, len(parts) + 1)):
                left_out = not includes
        return left_out

    def may_include_below(self, path: str) -> bool:
        """Whether something in an excluded directory may be included again, so that it has to be read."""
        if not self._includes:
            return False
        parts = path.split("/")
        return any(includes and _may_reach(pattern, parts) for pattern, includes in self._rules)


def _may_reach(pattern: list[str], parts: list[str]) -> bool:
    for place, part in enumerate(parts):
        if place >= len(pattern) or pattern[place] == "**":
            return True
        if not match_name(pattern[place], part):
            return False
    return True


def read_ignore_file(data: bytes) -> list[str]:
    """The patterns of a .dockerignore: one a line, ``#`` begins a comment."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def clean(pattern: str) -> list[str]:
    """The parts of a pattern, or path, without ``.``, ``..`` and empty ones, never above the top."""
    found: list[str] = []
    for part in pattern.split("/"):
        if part == "..":
            del found[-1:]
        elif part and part != ".":
            found.append(part)
    return found
