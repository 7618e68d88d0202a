"""Write docs/birth.md, which explains one container's plan operation by operation: ``python -m tools.birth``."""

from __future__ import annotations

import textwrap
from itertools import groupby
from pathlib import Path

from tools.birth_words import CHAPTERS, CLOSING, OPENING, WHY
from utsuwa.plan.plan import Plan, Step

PAGE = Path(__file__).parents[1] / "docs/birth.md"
_NOTE = "<!-- written by tools/birth.py from a plan and from tools/birth_words.py: change those, not this page -->"


class Unexplained(Exception):
    """The plan has an operation that nobody has given a reason for, or the words have one that it lacks."""


def page(plan: Plan) -> str:
    """The whole page. Raises Unexplained."""
    parts = [_NOTE, "# A container's birth", _filled(OPENING)]
    told, left = set[str](), dict(CHAPTERS)
    for key, steps in groupby(enumerate(plan.steps, 1), lambda numbered: _key(numbered[1])):
        if key in left:
            title, text = left.pop(key)
            parts += [f"## {title}", _filled(text)]
        parts.append("\n".join(["```", *[f"{number:2}  {step}" for number, step in steps], "```"]))
        if key not in told:
            parts.append(_filled(WHY[key]))
            told.add(key)
    if unused := [*left, *(WHY.keys() - told)]:
        raise Unexplained(f"tools/birth_words.py explains what the plan does not do: {', '.join(unused)}")
    return "\n\n".join([*parts, _filled(CLOSING)]) + "\n"


def _key(step: Step) -> str:
    name = type(step.op).__name__
    target = f"{name} {getattr(step.op, 'target', '')}"
    if target not in WHY and name not in WHY:
        raise Unexplained(f"say in tools/birth_words.py why a container needs {name}: {step.op.describe()}")
    return target if target in WHY else name


def _filled(text: str) -> str:
    """Paragraphs in lines of 120 characters; what is indented stays as it is."""
    return "\n\n".join(
        part if part.startswith(("    ", "#")) else textwrap.fill(part, 120, break_on_hyphens=False)
        for part in text.split("\n\n")
    )


if __name__ == "__main__":
    from tests.golden.cases import default_on_v2

    PAGE.write_text(page(default_on_v2()))
