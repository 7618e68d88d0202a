"""Signals in words."""

from __future__ import annotations

from _signal import strsignal


def killed_by(number: int) -> str:
    """How a process ended that signal ``number`` has killed, with the kernel's name for it (signal(7))."""
    text = strsignal(number)
    return f"killed by signal {number}" + (f" ({text.lower()})" if text else "")
