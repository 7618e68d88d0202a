"""``--filter`` of the verbs for volumes."""

from __future__ import annotations

from utsuwa.cli.flags import BadUsage
from utsuwa.engine.labels import has_labels
from utsuwa.engine.names import name_matches
from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.engine.volumes import VolumeRecord

LIST_KEYS = ("dangling", "driver", "label", "name")
PRUNE_KEYS = ("all", "label", "label!")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def parse(texts: Sequence[str], keys: Sequence[str]) -> dict[str, list[str]]:
    """The conditions by key. Raises BadUsage and InvalidArgument."""
    wanted: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadUsage(
                f'invalid argument "{text}" for "-f, --filter" flag: bad format of filter (expected name=value)'
            )
        if key not in keys:
            raise InvalidArgument(f"invalid filter '{key}' (use {', '.join(keys)})")
        if key in ("dangling", "all") and value not in _TRUTHS:
            raise InvalidArgument(f"invalid filter '{text}': neither true nor false")
        wanted.setdefault(key, []).append(value)
    return wanted


def match(wanted: dict[str, list[str]], record: VolumeRecord, used: bool = False) -> bool:
    """A volume fulfils the conditions: values of one key are alternatives, but for labels; ``used``: containers have
    it.
    """
    return (
        has_labels(record.labels or {}, wanted.get("label", ()), wanted.get("label!", ()))
        and ("dangling" not in wanted or used is not _TRUTHS[wanted["dangling"][-1]])
        and ("driver" not in wanted or record.driver in wanted["driver"])
        and ("name" not in wanted or any(name_matches(value, record.name) for value in wanted["name"]))
    )


def includes_named(wanted: dict[str, list[str]]) -> bool:
    """Volumes with a name are to be removed, too (``--filter all=1``)."""
    return any(_TRUTHS[value] for value in wanted.get("all", ()))
