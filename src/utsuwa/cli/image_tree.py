"""`utsuwa images --tree`: names, and below them the images for single platforms."""

from __future__ import annotations

import os

from utsuwa.cli.images import size
from utsuwa.cli.listing import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.image_trees import Branch, Tree

_COLUMNS = (("ID", 12, "<"), ("DISK USAGE", 10, ">"), ("CONTENT SIZE", 12, ">"), ("EXTRA", 5, "<"))
_GAP = 3
_NARROWEST, _USUAL = 12, 80
"""Columns of text that names have at least, and those of a line that is not on a terminal."""
_BOLD, _FAINT, _NAME = "\033[1m", "\033[2m", "\033[1;34m"


def render(trees: list[Tree], everything: bool) -> str:
    """The text; without ``everything`` only what has a name."""
    shown = [tree for tree in trees if everything or tree.names]
    screen = os.isatty(1)
    left, columns = os.get_terminal_size(1).columns if screen else _USUAL, []
    for column in _COLUMNS:
        if left - column[1] - _GAP < _NARROWEST:
            break
        left -= column[1] + _GAP
        columns.append(column)
    texts = [name for tree in shown for name in _names(tree)]
    texts += [f"└─ {branch.platform}" for tree in shown for branch in tree.branches]
    width = min(left, max(map(len, (*texts, "IMAGE"))))
    sheet = _Sheet(width, columns, screen)
    whole = width + sum(column[1] + _GAP for column in columns)
    lines = [f"{'Info → U In Use':>{whole}}", "", sheet.line("IMAGE", [column[0] for column in columns], _BOLD)]
    for number, tree in enumerate(shown):
        lines += ["", *sheet.block(tree)] if number else sheet.block(tree)
    return "\n".join(lines)


class _Sheet:
    """Lines as wide as the screen, with ``width`` for names."""

    def __init__(self, width: int, columns: list[tuple[str, int, str]], coloured: bool) -> None:
        self._width, self._columns, self._coloured = width, columns, coloured

    def block(self, tree: Tree) -> list[str]:
        """A tree."""
        names = _names(tree)
        lines = [self._paint(_cut(name, self._width), _NAME) for name in names[:-1]]
        lines.append(self.line(names[-1], _details(tree), _NAME, ""))
        for branch in tree.branches:
            stem = "└─" if branch is tree.branches[-1] else "├─"
            style = "" if branch.here else _FAINT
            lines.append(self.line(f"{stem} {branch.platform}", _details(branch), style, style))
        return lines

    def line(self, name: str, cells: list[str], style: str, further: str | None = None) -> str:
        """One line; ``further`` is the style of all but the name."""
        first = self._paint(f"{_cut(name, self._width):{self._width}}", style)
        rest = "".join(
            f"{'':{_GAP}}{cell:{align}{width}}" for cell, (_, width, align) in zip(cells, self._columns, strict=False)
        )
        return (first + self._paint(rest, style if further is None else further)).rstrip()

    def _paint(self, text: str, style: str) -> str:
        return f"{style}{text}\033[0m" if style and self._coloured else text


def _names(tree: Tree) -> list[str]:
    return list(map(one_line, tree.names)) or ["<untagged>"]


def _details(each: Tree | Branch) -> list[str]:
    used = "  U" if each.used else ""
    return [each.id.partition(":")[2][:12], size(each.disk), size(each.content), used]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
