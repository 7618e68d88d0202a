"""init/c/ops.def owns the numbers that Python and the executor share: plan/ and init/ repeat them without a slip."""

from __future__ import annotations

import re
from functools import cache

from tests.architecture.sources import SRC
from utsuwa.init import channel, failure
from utsuwa.plan import ops

_OPS_DEF = SRC / "utsuwa/init/c/ops.def"


@cache
def _entries(macro: str) -> dict[str, list[str]]:
    """The lines ``MACRO(name, a, b)`` of ops.def: name -> [a, b]; every name and number at most once."""
    text = re.sub(r"/\*.*?\*/", "", _OPS_DEF.read_text(), flags=re.DOTALL)
    found: dict[str, list[str]] = {}
    for line in re.findall(rf"^{macro}\((.*)\)$", text, re.MULTILINE):
        name, *rest = (part.strip().strip('"') for part in line.split(","))
        assert name not in found, f"{macro}({name}) twice"
        found[name] = rest
    assert found, f"ops.def has no {macro}"
    return found


def _numbers(macro: str) -> dict[str, int]:
    return {name: int(rest[0]) for name, rest in _entries(macro).items()}


def _classes() -> dict[str, type[ops.Op]]:
    """The operations of plan/ops.py under the names that ops.def would give them."""
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).upper(): cls for cls in ops.OPS}


def test_both_sides_have_the_same_operations() -> None:
    assert {name: cls.code for name, cls in _classes().items()} == _numbers("OP")


def test_operations_have_the_same_fields_in_the_same_order() -> None:
    theirs = {name: (rest[1], tuple(rest[2].split())) for name, rest in _entries("OP").items()}
    assert {name: (cls.types, tuple(cls.fields)) for name, cls in _classes().items()} == theirs


def test_every_field_has_a_known_type() -> None:
    for name, rest in _entries("OP").items():
        assert set(rest[1]) <= set("uslbnf"), name
        assert len(rest[1]) == len(rest[2].split()), name


def test_codes_are_never_shared() -> None:
    for macro in ("OP", "REQUEST", "REPORT", "DETAIL"):
        numbers = list(_numbers(macro).values())
        assert len(numbers) == len(set(numbers)), macro


def test_requests_agree() -> None:
    theirs = _numbers("REQUEST")
    assert {name: getattr(ops, name, None) for name in theirs} == theirs


def test_reports_agree() -> None:
    theirs = _numbers("REPORT")
    assert {name: getattr(channel, name, None) for name in theirs} == theirs


def test_details_agree_both_ways() -> None:
    ours = {name: value for name, value in vars(failure).items() if name.isupper() and type(value) is int}
    assert ours == _numbers("DETAIL")


def test_flags_agree() -> None:
    theirs = _numbers("FLAG")
    ours = {name: getattr(ops, name.split("_", 1)[1], None) for name in theirs}
    assert ours == theirs


def test_the_page_about_the_protocol_names_every_operation_with_its_fields() -> None:
    page = (SRC.parent / "docs/child-protocol.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \| ([^|]*) \|", page, re.MULTILINE)
    told = {name: (code, "" if fields == "\N{EN DASH}" else fields) for code, name, fields in rows}
    theirs = {
        name: (code, " ".join(f"{field}:{type}" for field, type in zip(fields.split(), types, strict=True)))
        for name, (code, types, fields) in _entries("OP").items()
    }
    assert told == theirs


def test_the_page_about_the_protocol_names_every_detail() -> None:
    page = (SRC.parent / "docs/child-protocol.md").read_text()
    told = page[page.index("## Details") :]
    assert {name: int(number) for name, number in re.findall(r"`([A-Z_]+)` (\d+)", told)} == _numbers("DETAIL")
