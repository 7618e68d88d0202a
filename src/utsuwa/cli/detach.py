"""The keys that leave a container alone: Docker's ``ctrl-p,ctrl-q``."""

from __future__ import annotations

from utsuwa.cli.flags import BadUsage

DEFAULT = "ctrl-p,ctrl-q"
_SPECIAL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


class DetachKeys:
    """Finds the sequence in what is typed. ``text`` as of --detach-keys: letters and ``ctrl-LETTER``, commas between.

    Raises BadUsage.
    """

    def __init__(self, text: str = DEFAULT) -> None:
        self._keys = b"".join(_key(part, text) for part in (text or DEFAULT).split(","))
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What is to be passed on, and whether the sequence was typed; the beginning of one is kept back until it is
        known to be none.
        """
        whole = self._held + data
        at = whole.find(self._keys)
        if at >= 0:
            self._held = b""
            return whole[:at], True
        size = min(len(whole), len(self._keys) - 1)
        while size and not self._keys.startswith(whole[len(whole) - size :]):
            size -= 1
        self._held = whole[len(whole) - size :]
        return whole[: len(whole) - size], False


def _key(part: str, text: str) -> bytes:
    name = part.lower().removeprefix("ctrl-")
    if part.lower().startswith("ctrl-") and len(name) == 1:
        if "a" <= name <= "z":
            return bytes((ord(name) - ord("a") + 1,))
        if name in _SPECIAL:
            return bytes((_SPECIAL[name],))
    elif len(part) == 1 and part.isascii():
        return part.encode()
    raise BadUsage(f'invalid argument "{text}" for "--detach-keys" flag: unknown character "{part}"')
