"""Operations: one class a row of ops.def, records that can't change, and words for every one of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import utsuwa
from tests.golden.cases import CASES
from utsuwa.linux.mounts import MS_PRIVATE
from utsuwa.plan import ops
from utsuwa.plan.words import describe

OPS_DEF = Path(utsuwa.__file__).parent / "init" / "c" / "ops.def"


def _spelled(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).upper()


def _rows(kind: str) -> list[list[str]]:
    rows = re.findall(rf"^{kind}\((.*)\)$", OPS_DEF.read_text(), re.MULTILINE)
    return [[field.strip().strip('"') for field in row.split(",")] for row in rows]


def test_every_row_of_ops_def_is_a_class_with_the_same_fields() -> None:
    owner = {name: (int(code), types, tuple(fields.split())) for name, code, types, fields in _rows("OP")}
    ours = {_spelled(op.__name__): (op.code, op.types, op.fields) for op in ops.OPS}
    assert ours == owner


def test_requests_and_flags_have_the_numbers_of_ops_def() -> None:
    requests = {name: int(number) for name, number in _rows("REQUEST")}
    assert {name: getattr(ops, name) for name in requests} == requests
    for name, number in _rows("FLAG"):
        assert getattr(ops, name.split("_", 1)[1]) == int(number)


def test_values_are_positional_named_or_default() -> None:
    bind = ops.Bind("/a", target="/b", recursive=1)
    assert bind.values() == ("/a", "/b", 1, 0, 0, 0, 0, 0, 0, "", "", "")
    assert bind == ops.Bind("/a", "/b", 1)
    assert hash(bind) == hash(ops.Bind("/a", "/b", 1))
    assert bind != ops.Bind("/a", "/c", 1)
    assert ops.Pivot() != ops.MoveRoot()


@pytest.mark.parametrize("make", [
    lambda: ops.Bind("/a"),
    lambda: ops.Bind(target="/b"),
    lambda: ops.Workdir("/a", "/b"),
    lambda: ops.Chroot("/a", path="/b"),
    lambda: ops.Chroot("/a", root="/b"),
    lambda: ops.Pivot("/a"),
])  # fmt: skip
def test_wrong_values_are_refused(make) -> None:
    with pytest.raises(TypeError):
        make()


def test_an_operation_can_not_be_changed() -> None:
    with pytest.raises(AttributeError, match=r"Chroot\.path can't be changed"):
        ops.Chroot("/a").path = "/b"  # type: ignore[misc]


def test_repr_shows_every_field() -> None:
    assert repr(ops.Mkdir("/a", 0o755)) == "Mkdir(path='/a', mode=493)"


# Numbers that mean something: a kind of node, a type of propagation, a request.
_NUMBERS = {ops.Mknod: 0o020001, ops.Propagate: MS_PRIVATE, ops.RootPropagation: MS_PRIVATE}


def _made_up(op: type[ops.Op]) -> ops.Op:
    """An operation of that class with a value for every field."""
    values = {"u": _NUMBERS.get(op, 1), "s": "thing", "l": ("one",), "b": bytes(8), "n": (1,), "f": "slot"}
    return op(*(values[letter] for letter in op.types))


@pytest.mark.parametrize("op", ops.OPS, ids=lambda op: op.__name__)
def test_every_operation_has_words(op: type[ops.Op]) -> None:
    words = describe(_made_up(op))
    assert words == words.strip() and words[0].islower() and not words.endswith(".") and "\n" not in words


def test_all_operations_occur_in_golden_plans() -> None:
    seen = {type(step) for make in CASES.values() for step in make().ops}
    assert set(ops.OPS) - seen == set()


@pytest.mark.parametrize(("op", "words"), [
    (ops.Mount("proc", "proc", "/proc", (), 14), "mount proc at /proc (nosuid, noexec, nodev)"),
    (ops.Bind("/srv/data", "/data", set=1), "bind /srv/data at /data (read-only)"),
    (ops.Bind("/s", "/t", 1, rec_set=1, clear=8), "bind /s at /t (recursive, exec, read-only all the way down)"),
    (ops.Rlimit(7, 1024, 2**64 - 1), "limit RLIMIT_NOFILE to 1024 (hard unlimited)"),
    (ops.DropBounding(1 | 1 << 27), "drop all capabilities but CAP_CHOWN, CAP_MKNOD from the bounding set"),
    (ops.DropBounding(0), "drop all capabilities from the bounding set"),
    (ops.Exec(("sh", "-c", "echo it's"), ()), r"execute sh -c 'echo it'\''s'"),
    (ops.Exec(("",), ()), "execute ''"),
    (ops.FindExecutable("sh", ""), "find executable sh in an empty PATH"),
    (ops.Unshare(0x02000000), "make a new cgroup namespace"),
    (ops.SetIdentity(0, 0, (), 0o22, 1), "become user 0:0 (the caller's groups, umask 0022)"),
])  # fmt: skip
def test_words(op: ops.Op, words: str) -> None:
    assert op.describe() == words
