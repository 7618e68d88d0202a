"""A plan: operations in the order in which they happen, each with the section of the specification that asks for it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.plan.ops import Op


class Step:
    """One operation and where it comes from: ``config-linux.md#namespaces``, a man page, or a CVE."""

    __slots__ = ("op", "section")

    def __init__(self, op: Op, section: str) -> None:
        self.op = op
        self.section = section

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and (self.op, self.section) == (other.op, other.section)

    def __hash__(self) -> int:
        return hash((self.op, self.section))

    def __repr__(self) -> str:
        return f"Step({self.op!r}, {self.section!r})"

    def __str__(self) -> str:
        return f"{self.op.describe()}  [{self.section}]"


class Plan:
    """Steps in order. ``warnings`` are things asked for that can't be had and need not be (config.md: SHOULD warn).

    ``keep``: descriptors that stay open in the container besides 0, 1 and 2.
    """

    __slots__ = ("keep", "ops", "steps", "warnings")

    def __init__(self, steps: Iterable[Step], warnings: Iterable[str] = (), keep: Iterable[int] = ()) -> None:
        self.steps = tuple(steps)
        self.ops = tuple([step.op for step in self.steps])
        self.warnings = tuple(warnings)
        self.keep = tuple(keep)

    def requests(self) -> tuple[int, ...]:
        """What the parent will be asked for, in order: the whole conversation."""
        return tuple([op.asks for op in self.ops if op.asks])

    def describe(self) -> str:
        """One line an operation: what it does, two spaces, and the section in brackets."""
        return "".join([f"{step}\n" for step in self.steps])
