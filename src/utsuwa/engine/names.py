"""Names that ``--filter name=`` looks for: a text that occurs in them, or a regular expression that is found there."""

from __future__ import annotations


def name_matches(pattern: str, *names: str) -> bool:
    """One of the names has it. What is no regular expression fits nothing, as with Docker."""
    if any(pattern in name for name in names):
        return True
    if pattern.replace("_", "").replace("-", "").isalnum():
        return False
    import re

    try:
        found = re.compile(pattern)
    except re.error:
        return False
    return any(found.search(name) for name in names)
