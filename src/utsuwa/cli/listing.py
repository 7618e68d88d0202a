"""Lists as Docker prints them: a table of columns, or what ``--format`` makes of every row."""

from __future__ import annotations

from utsuwa.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

_LEAST = 10
"""A column's least width, its gap included."""
_GAP = 3


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns at least three spaces apart. What images call themselves stays on its line, and off the cursor."""
    lines = [tuple(header), *(tuple(map(one_line, row)) for row in rows)]
    widths = [max(_LEAST, _GAP + max(len(line[column]) for line in lines)) for column in range(len(header) - 1)]
    return "\n".join(
        "".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=False)) + line[-1] for line in lines
    )


def one_line(text: str) -> str:
    """``text`` as it can be printed anywhere, its line breaks and tabs as ``\\n`` and ``\\t``."""
    return text if text.isprintable() else printable(text).replace("\n", "\\n").replace("\t", "\\t")


def formatted(wanted: str, header: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows, each a document, by ``--format``: ``json``, a template, or ``table`` and a template with tabs between
    its columns, whose names are in ``header``. Raises BadTemplate and Failed.
    """
    from utsuwa.cli.template import BadTemplate, Template
    from utsuwa.cli.template_functions import FUNCTIONS, HEADING

    if wanted == "json":
        wanted = "{{json .}}"
    wanted = wanted.replace("\\t", "\t").replace("\\n", "\n")
    plain = wanted.split(" ", 1)[0] != "table"
    try:
        template = Template(wanted if plain else wanted[len("table") :].strip())
    except BadTemplate as error:
        error.exit_code = 1
        raise
    functions = {**FUNCTIONS, "json": _as_json}
    if plain:
        return "\n".join(template.render(row, functions) for row in rows)
    names = template.render(_Heading(header), HEADING).split("\t")
    cells = [template.render(row, functions).split("\t") for row in rows]
    width = max(len(names), *map(len, cells)) if cells else len(names)
    filled = [line + [""] * (width - len(line)) for line in (names, *cells)]
    return table(filled[0], filled[1:])


def _as_json(value: Any) -> str:
    """A row has its names in order, and what means something in HTML escaped; parts of it are plain JSON."""
    from utsuwa.cli.template_functions import as_json

    if not isinstance(value, dict):
        return as_json(value)
    text = as_json({key: value[key] for key in sorted(value)})
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Heading(dict):  # type: ignore[type-arg]
    """Column names; one that is a method of the rows (``{{.Label "key"}}``) is one here, too."""

    def __getitem__(self, key: str) -> object:
        name = super().__getitem__(key)
        return (lambda argument: argument) if name is None else name
