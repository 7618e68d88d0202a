"""Propagation of binds: mounts made later on one side are seen on the other (mount_namespaces(7))."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.spec.runtime import Mount


def check(source: str, wanted: str) -> None:
    """Raise InvalidArgument when the mount that ``source`` is on does not propagate as wanted, in Docker's words."""
    kind = wanted.removeprefix("r")
    if kind == "private":
        return
    place, tags = _mount_of(os.path.realpath(source))
    if kind == "shared" and not any(tag.startswith("shared:") for tag in tags):
        raise InvalidArgument(f"path {source} is mounted on {place} but it is not a shared mount.")
    if kind == "slave" and not any(tag.startswith(("shared:", "master:")) for tag in tags):
        raise InvalidArgument(f"path {source} is mounted on {place} but it is not a shared or slave mount.")


def of_root(mounts: Iterable[Mount]) -> str | None:
    """What linux.rootfsPropagation has to be so that the binds' propagation has an effect; None: no matter."""
    words = {option.removeprefix("r") for mount in mounts for option in mount.options or ()}
    if "shared" in words:
        return "rshared"
    return "rslave" if "slave" in words else None


def _mount_of(path: str) -> tuple[str, list[str]]:
    """Where the mount is that holds ``path``, and its optional fields in /proc/self/mountinfo (proc(5))."""
    best, found = "", []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            place = _unescaped(fields[4])
            inside = path == place or path.startswith(f"{place.rstrip('/')}/")
            if inside and len(place) >= len(best):
                best, found = place, fields[6 : fields.index("-")]
    return best or "/", found


def _unescaped(text: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, letter)
    return text
