"""Files of networks that somebody was making, changing or removing when he was killed."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.state import Places


def sweep(places: Places) -> None:
    """Remove drafts of writers that live no more, names that lead nowhere, and what is left of removed networks."""
    active = places.active()  # before what is there: a network is written down before anybody is in it
    there = _names(places.root)
    drafts = [f"{places.root}/{name}" for name in there if name[0] == "."]
    drafts += [f"{places.plugged}/{name}" for name in _names(places.plugged) if name[0] == "."]
    for path in drafts:
        _drop_dead(path)
    for identifier in active:
        if f"{identifier}.json" not in there:
            clear(f"{places.run}/{identifier}")
    names = f"{places.root}/names"
    if any(_leads_nowhere(places, f"{names}/{name}") for name in _names(names)):
        lock = places.lock("making")  # who makes a network has its name first
        try:
            for name in _names(names):
                if _leads_nowhere(places, f"{names}/{name}"):
                    os.unlink(f"{names}/{name}")
        finally:
            os.close(lock)


def clear(directory: str) -> None:
    """Remove RUN/networks/ID of a network that is no more, unless somebody has a place there still."""
    for name in _names(f"{directory}/endpoints"):
        if name[0] == ".":
            _drop_dead(f"{directory}/endpoints/{name}")
    try:
        for part in ("endpoints", "addresses"):
            if os.path.isdir(f"{directory}/{part}"):
                os.rmdir(f"{directory}/{part}")
        for name in ("last4", "last6"):
            if os.path.exists(f"{directory}/{name}"):
                os.unlink(f"{directory}/{name}")
        os.rmdir(directory)
    except OSError:
        return


def _drop_dead(path: str) -> None:
    """A draft bears the number of the process that writes it."""
    if not os.path.exists(f"/proc/{path.rpartition('.')[2]}"):
        try:
            os.unlink(path)
        except FileNotFoundError:
            return


def _leads_nowhere(places: Places, link: str) -> bool:
    try:
        return not os.path.exists(f"{places.root}/{os.readlink(link)}.json")
    except OSError:
        return False


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
