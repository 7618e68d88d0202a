"""Records: construction, equality, and decoding with the path of what does not fit."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.spec.record import OneOf, Record, decode, fields, shown, u16

Colour = OneOf("red", "blue")


class Leaf(Record):
    """A record with every kind of field."""

    name: str
    count: u16 = 3
    colour: Colour | None = None
    class_: str | None = None
    anything: object | None = None
    ratio: float | None = None


class Tree(Record):
    """A record that holds others, and itself."""

    leaves: tuple[Leaf, ...] | None = None
    named: dict[str, Leaf] | None = None
    matrix: tuple[tuple[int, ...], ...] | None = None
    child: Tree | None = None
    open: bool = False


class Bigger(Leaf):
    """A record with a field more than its base."""

    extra: str


def test_built_from_keywords_with_defaults() -> None:
    leaf = Leaf(name="a")
    assert (leaf.name, leaf.count, leaf.colour) == ("a", 3, None)
    assert repr(leaf) == "Leaf(name='a', count=3)"
    assert list(fields(Bigger)) == ["name", "count", "colour", "class_", "anything", "ratio", "extra"]


def test_refuses_unknown_and_missing_keywords() -> None:
    with pytest.raises(TypeError, match="Leaf has no field 'nmae'"):
        Leaf(name="a", nmae="b")
    with pytest.raises(TypeError, match="Leaf needs the field 'name'"):
        Leaf(count=1)
    with pytest.raises(TypeError, match="Bigger needs the field 'extra'"):
        Bigger(name="a")


def test_frozen() -> None:
    leaf = Leaf(name="a")
    with pytest.raises(AttributeError, match=r"Leaf is frozen, use replace\(name=…\)"):
        leaf.name = "b"
    with pytest.raises(AttributeError, match="frozen"):
        del leaf.name
    assert leaf.replace(name="b") == Leaf(name="b")
    assert leaf.name == "a"


def test_equal_by_class_and_value() -> None:
    assert Leaf(name="a") == Leaf(name="a", count=3, colour=None)
    assert Leaf(name="a") != Leaf(name="a", count=4)
    assert Leaf(name="a") != Bigger(name="a", extra="")
    assert hash(Leaf(name="a")) == hash(Leaf(name="a", count=3))
    assert len({Leaf(name="a"), Leaf(name="a", colour=None), Leaf(name="b")}) == 2


def test_decodes_every_kind() -> None:
    tree = decode(
        Tree,
        {
            "leaves": [{"name": "a", "colour": "red", "class": "x", "anything": {"b": [1]}, "ratio": 2}],
            "named": {"k": {"name": "b"}, "gone": None},
            "matrix": [[1, 2], []],
            "child": {"open": True, "child": {}},
            "unknown": 1,
        },
    )
    assert tree.leaves == (Leaf(name="a", colour="red", class_="x", anything={"b": [1]}, ratio=2.0),)
    assert tree.named == {"k": Leaf(name="b")}
    assert tree.matrix == ((1, 2), ())
    assert tree.child == Tree(open=True, child=Tree())


def test_null_is_absent_and_a_trailing_underscore_is_no_property() -> None:
    assert decode(Leaf, {"name": "a", "count": None, "colour": None, "class_": 7}) == Leaf(name="a")
    with pytest.raises(InvalidArgument, match=r"^name: missing, expected a string$"):
        decode(Leaf, {"name": None})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected an object, found a list"),
        ({"leaves": {}}, "leaves: expected a list, found an object"),
        ({"leaves": [{"name": "a"}, {}]}, "leaves[1].name: missing, expected a string"),
        ({"leaves": [{"name": "a"}, None]}, "leaves[1]: expected an object, found null"),
        (
            {"leaves": [{"name": "a", "count": 65536}]},
            "leaves[0].count: expected an integer from 0 to 65535, found 65536",
        ),
        (
            {"leaves": [{"name": "a", "count": True}]},
            "leaves[0].count: expected an integer from 0 to 65535, found true",
        ),
        ({"leaves": [{"name": "a", "count": 1.0}]}, "leaves[0].count: expected an integer from 0 to 65535, found 1.0"),
        ({"leaves": [{"name": 10**80}]}, "leaves[0].name: expected a string, found a huge integer"),
        (
            {"leaves": [{"name": "a", "colour": "gr\x1been"}]},
            'leaves[0].colour: expected one of red, blue, found "gr\\u001been"',
        ),
        (
            {"leaves": [{"name": "a", "colour": ["red"]}]},
            "leaves[0].colour: expected one of red, blue, found a list",
        ),
        ({"named": {"a b": {"name": []}}}, 'named["a b"].name: expected a string, found a list'),
        ({"named": 3}, "named: expected an object, found 3"),
        ({"matrix": [[1], [2, "3"]]}, 'matrix[1][1]: expected an integer, found "3"'),
        ({"child": {"child": {"open": 1}}}, "child.child.open: expected true or false, found 1"),
        ({"leaves": [{"name": "a", "ratio": "x"}]}, 'leaves[0].ratio: expected a number, found "x"'),
    ],
)
def test_tells_where_and_what(value: object, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(Tree, value)
    assert str(caught.value) == message


def test_shows_long_strings_shortened() -> None:
    assert shown("x" * 100) == '"' + "x" * 57 + '..."'
    assert shown("a\0b\n") == '"a\\u0000b\\n"'


def test_an_annotation_outside_the_grammar_is_our_own_fault() -> None:
    class Wrong(Record):
        """Its field is of a kind that JSON has not."""

        field: bytes

    with pytest.raises(TypeError, match="a record can't hold 'bytes'"):
        decode(Wrong, {"field": "x"})
