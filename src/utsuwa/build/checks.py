"""Build checks: what is suspicious about a Dockerfile that can be built, in BuildKit's names and words.

``# check=skip=RULE,RULE;error=true`` at the top of a Dockerfile, or the build argument BUILDKIT_DOCKERFILE_CHECK in its
place, says which are left out (``skip=all``), and whether a build fails for them.
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument
from utsuwa.spec.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.build.graph import Graph
    from utsuwa.build.instructions import Dockerfile
    from utsuwa.build.request import BuildRequest
    from utsuwa.image.store import Image

    Look = Callable[[str], Image | None]

ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
_EXPLAINED = "https://docs.docker.com/go/dockerfile/rule/"


class Warning(Record):
    """One thing that a rule has found, in the lines ``first`` to ``last``."""

    rule: str
    text: str
    first: int
    last: int

    @property
    def url(self) -> str:
        """Where the rule is explained."""
        from re import sub

        words = sub(r"([A-Z]+(?=[A-Z][a-z])|[a-z]+)(?=[A-Z])", r"\1-", self.rule)
        return f"{_EXPLAINED}{words.lower()}/"


class Options(Record):
    """Rules that are left out, ``all`` for every one, and whether what is found is an error."""

    skipped: frozenset[str] = frozenset()
    fatal: bool = False


def options(dockerfile: Dockerfile, request: BuildRequest) -> Options:
    """What the build argument says, or else the directive. Raises InvalidArgument."""
    text = request.arguments.get(ARGUMENT) or dockerfile.source.directives.get("check", "")
    skipped: set[str] = set()
    fatal = False
    for part in text.split(";") if text.strip() else ():
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or key not in ("skip", "error", "experimental"):
            raise InvalidArgument(f'invalid check option "{part.strip()}"')
        if key == "skip":
            skipped |= {name.strip() for name in value.split(",")}
        elif key == "error":
            if value.strip().lower() not in ("true", "false", "1", "0"):
                raise InvalidArgument(f'failed to parse check option "{part.strip()}"')
            fatal = value.strip().lower() in ("true", "1")
    return Options(skipped=frozenset(skipped), fatal=fatal)


def check(graph: Graph, request: BuildRequest, look: Look) -> list[Warning]:
    """What the rules find that are not left out, in the order of lines. ``look`` gives an image that is here, or None.

    Raises InvalidArgument for options that are none.
    """
    wanted = options(graph.dockerfile, request)
    if "all" in wanted.skipped:
        return []
    from utsuwa.build.check_names import check_names
    from utsuwa.build.check_stages import check_stages

    found = [*check_names(graph.dockerfile), *check_stages(graph, request, look)]
    return sorted(
        {each for each in found if each.rule not in wanted.skipped}, key=lambda each: (each.first, each.rule, each.text)
    )


def violation(found: list[Warning]) -> str:
    """What a build says that fails for them."""
    return f"lint violation found for rules: {', '.join(dict.fromkeys(each.rule for each in found))}"


def summary(found: list[Warning]) -> str:
    """The lines at the end of a build, "" for none."""
    if not found:
        return ""
    plural = "" if len(found) == 1 else "s"
    lines = [f" - {each.rule}: {each.text} (line {each.first})" for each in found]
    return "\n".join(["", f" {len(found)} warning{plural} found (use --check to expand):", *lines])


def report(found: list[Warning], name: str, text: str) -> str:
    """All of it, with the lines that are meant."""
    from utsuwa.build.fault import excerpt

    if not found:
        return "Check complete, no warnings found."
    count = "1 warning has" if len(found) == 1 else f"{len(found)} warnings have"
    shown = [
        f"WARNING: {each.rule} - {each.url}\n{each.text}\n{excerpt(name, text, each.first, each.last)}\n"
        for each in found
    ]
    return "\n".join([f"Check complete, {count} been found!", "", *shown])
