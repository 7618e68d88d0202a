"""Which interpreter this is: the launcher's own, which can't load extension modules (decision 0004), or a whole one."""

from __future__ import annotations

import sys


def interpreter() -> str:
    """Its version, and whether it is the launcher's: ``3.11.2 embedded``."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{version} embedded" if "_utsuwa" in sys.modules else version


def need_extensions() -> None:
    """Start over as the plain interpreter where this is the launcher's: what follows needs extension modules.

    Called before anything is printed or changed, since all that has been done so far is done again.
    """
    try:
        from _utsuwa import plain
    except ImportError:
        return
    plain()
