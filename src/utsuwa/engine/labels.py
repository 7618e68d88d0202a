"""Labels as filters ask for them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def has_labels(labels: Mapping[str, str], wanted: Iterable[str], unwanted: Iterable[str] = ()) -> bool:
    """All of ``wanted`` (``key`` or ``key=value``) are there, and none of ``unwanted``."""
    return all(_has(labels, text) for text in wanted) and not any(_has(labels, text) for text in unwanted)


def _has(labels: Mapping[str, str], text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)
