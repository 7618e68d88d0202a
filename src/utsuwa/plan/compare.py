"""What differs between two plans: as few operations as possible are taken out and put in, the others are alike."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.plan.plan import Plan, Step

ALIKE, REMOVED, ADDED = " ", "-", "+"


class Change:
    """One step of the comparison. ``before``, ``after``: its number in either plan from 1 on, 0 where it is missing."""

    __slots__ = ("after", "before", "step")

    def __init__(self, step: Step, before: int, after: int) -> None:
        self.step = step
        self.before = before
        self.after = after

    @property
    def sign(self) -> str:
        """ALIKE, REMOVED or ADDED."""
        return ALIKE if self.before and self.after else REMOVED if self.before else ADDED


def compare(first: Plan, second: Plan) -> list[Change]:
    """How ``second`` comes of ``first``, in order. An operation with other values is one that is removed and one
    that is added, next to each other.
    """
    changes: list[Change] = []
    at = other = 0
    for before, after in [*_alike(first.steps, second.steps), (len(first.steps), len(second.steps))]:
        changes += _gap(first.steps, second.steps, range(at, before), range(other, after))
        if before < len(first.steps):
            changes.append(Change(first.steps[before], before + 1, after + 1))
        at, other = before + 1, after + 1
    return changes


def _gap(first: Sequence[Step], second: Sequence[Step], removed: range, added: range) -> list[Change]:
    """What is between two steps that are alike, in either plan's order: operations of one kind side by side."""
    changes: list[Change] = []
    left = list(added)
    kinds = [type(first[index].op) for index in removed]
    for index in removed:
        while left and type(second[left[0]].op) not in kinds:
            changes.append(Change(second[left[0]], 0, left.pop(0) + 1))
        changes.append(Change(first[index], index + 1, 0))
        if left and type(second[left[0]].op) is kinds[0]:
            changes.append(Change(second[left[0]], 0, left.pop(0) + 1))
        del kinds[0]
    return changes + [Change(second[index], 0, index + 1) for index in left]


def _alike(first: Sequence[Step], second: Sequence[Step]) -> list[tuple[int, int]]:
    """Pairs of indices of a longest common subsequence, in order."""
    start, end = 0, min(len(first), len(second))
    while start < end and first[start] == second[start]:
        start += 1
    tail = 0
    while tail < end - start and first[-1 - tail] == second[-1 - tail]:
        tail += 1
    pairs = [(index, index) for index in range(start)]
    pairs += [
        (start + before, start + after)
        for before, after in _subsequence(first[start : len(first) - tail], second[start : len(second) - tail])
    ]
    return pairs + [(len(first) - back, len(second) - back) for back in range(tail, 0, -1)]


def _subsequence(first: Sequence[Step], second: Sequence[Step]) -> list[tuple[int, int]]:
    numbers: dict[Step, int] = {}
    left = [numbers.setdefault(step, len(numbers)) for step in first]
    right = [numbers.setdefault(step, len(numbers)) for step in second]
    # lengths[i][j]: how long it is for left[i:] and right[j:]
    lengths = [[0] * (len(right) + 1)]
    for number in reversed(left):
        below, row = lengths[-1], [0]
        for index in range(len(right) - 1, -1, -1):
            row.append(below[index + 1] + 1 if number == right[index] else max(below[index], row[-1]))
        lengths.append(row[::-1])
    lengths.reverse()
    pairs, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs
