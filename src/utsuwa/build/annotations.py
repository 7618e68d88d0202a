"""``--annotation``: what is written into an image's manifest, and into the index of one for several platforms."""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, Unsupported

_LEVELS = ("manifest", "index", "manifest-descriptor", "index-descriptor")


def parse(texts: list[str]) -> dict[str, str]:
    """The annotations of the manifest, of ``key=value`` and ``manifest:key=value``. Raises InvalidArgument, and
    Unsupported for those that go elsewhere.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        levels, colon, key = name.rpartition(":")
        if colon and all(level.partition("[")[0] in _LEVELS for level in levels.split(",")):
            if levels != "manifest":
                raise Unsupported(f"unsupported: annotation of {levels} (annotations are of the manifest)")
            name = key
        if not equals or not name:
            raise InvalidArgument(f'invalid annotation "{text}", expected key=value')
        found[name] = value
    return found
