"""Names of units: ``linux.cgroupsPath`` as ``slice:prefix:name``, and where systemd puts a slice (systemd.slice(5))."""

from __future__ import annotations

from utsuwa import errors

_PREFIX = "urun"
_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\")
_LONGEST = 255
_KINDS = (".scope", ".slice")
_WANTED = 'cgroupsPath to be of format "slice:prefix:name" for systemd cgroups'


def unit_of(cgroups_path: str | None, container_id: str, default_slice: str) -> tuple[str, str]:
    """The slice and the unit that ``linux.cgroupsPath`` names; without one, ``urun-<id>.scope`` in ``default_slice``.

    A name that ends in ``.slice`` is a slice itself, any other becomes the scope ``<prefix>-<name>.scope``.
    InvalidArgument for everything else, with the words of runc that callers look for.
    """
    parts = (cgroups_path or f":{_PREFIX}:{container_id}").split(":")
    if len(parts) != 3 or not parts[2]:
        raise errors.InvalidArgument(f'linux.cgroupsPath: expected {_WANTED}, got "{cgroups_path}" instead')
    parent, prefix, name = parts
    unit = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    if not is_unit(unit):
        raise errors.InvalidArgument(f'linux.cgroupsPath: "{unit}" can\'t be the name of a systemd unit')
    return parent or default_slice, unit


def is_unit(name: object) -> bool:
    """Whether ``name`` can be the name of a scope or a slice."""
    return type(name) is str and len(name) <= _LONGEST and _LETTERS.issuperset(name) and name.endswith(_KINDS)


def expand_slice(name: str) -> str:
    """Where the slice is: ``a-b-c.slice`` is ``/a.slice/a-b.slice/a-b-c.slice``, ``-.slice`` (or ``-``) the root.

    InvalidArgument for what is not the name of a slice.
    """
    stem = name.removesuffix(".slice")
    if stem == "-":
        return ""
    parts = stem.split("-")
    if (stem == name) or "" in parts or len(name) > _LONGEST or not _LETTERS.issuperset(name):
        raise errors.InvalidArgument(f'linux.cgroupsPath: "{name}" is not the name of a slice as "machine.slice"')
    return "".join(f"/{'-'.join(parts[: count + 1])}.slice" for count in range(len(parts)))


def slice_name(name: str) -> str:
    """``name`` as systemd spells it: the root slice is ``-.slice``."""
    return "-.slice" if name == "-" else name
