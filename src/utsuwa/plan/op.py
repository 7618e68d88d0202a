"""The base of all operations: what they are made of, and how a value of theirs travels."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, dataclass_transform

    Number = int
    Text = str
    Texts = tuple[str, ...]
    Bytes = bytes
    Numbers = tuple[int, ...]
    Slot = str
else:

    def dataclass_transform(**_options):
        """Type checkers read the real one; at run time it does nothing."""
        return lambda cls: cls


_LETTERS = {"Number": "u", "Text": "s", "Texts": "l", "Bytes": "b", "Numbers": "n", "Slot": "f"}


@dataclass_transform(kw_only_default=False, frozen_default=True)
class Op:
    """Base of all operations: positional or named values, equality, and no change after birth."""

    code: ClassVar[int] = 0
    fields: ClassVar[tuple[str, ...]] = ()
    types: ClassVar[str] = ""
    required: ClassVar[int] = 0

    def __init_subclass__(cls) -> None:
        annotations = cls.__dict__.get("__annotations__", {})  # noqa: RUF063 - inspect costs more than all of this
        cls.fields = tuple(annotations)
        cls.types = "".join([_LETTERS[kind] for kind in annotations.values()])
        cls.required = len([name for name in annotations if name not in cls.__dict__])

    def __init__(self, *values: object, **named: object) -> None:
        if not named and self.required <= len(values) <= len(self.fields):
            self.__dict__.update(zip(self.fields, values))  # noqa: B905 - the rest have defaults
        else:
            self._fill(values, named)

    def _fill(self, values: tuple[object, ...], named: dict[str, object]) -> None:
        state = self.__dict__
        fields = self.fields
        state.update(zip(fields, values))  # noqa: B905 - too many values are counted below
        state.update(named)
        complete = len(values) >= self.required or state.keys() >= set(fields[: self.required])
        if len(state) != len(values) + len(named) or not complete or not state.keys() <= set(fields):
            raise TypeError(f"{type(self).__name__} takes {', '.join(fields) or 'nothing'}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} can't be changed")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((self.code, self.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.fields)})"

    def values(self) -> tuple[object, ...]:
        """The field values in wire order."""
        return tuple([getattr(self, name) for name in self.fields])

    @property
    def asks(self) -> int:
        """The request that this operation makes of the parent, one of those in plan.ops; 0: none."""
        return 0

    def describe(self) -> str:
        """What the kernel is asked for, in words."""
        from utsuwa.plan.words import describe

        return describe(self)
