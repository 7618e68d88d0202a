"""Mount options: the words of config.md#mounts and mount(8), as mount_setattr(2) attributes and fsconfig(2) flags.

Per-mount attributes have a plain and a recursive (``r…``) form. Access times are one field of two bits, not flags: a
change of any must clear the whole field (mount_setattr(2), MOUNT_ATTR__ATIME).
"""

from __future__ import annotations

MOUNT_ATTR_RDONLY = 0x00000001
MOUNT_ATTR_NOSUID = 0x00000002
MOUNT_ATTR_NODEV = 0x00000004
MOUNT_ATTR_NOEXEC = 0x00000008
MOUNT_ATTR_RELATIME = 0x00000000
MOUNT_ATTR_NOATIME = 0x00000010
MOUNT_ATTR_STRICTATIME = 0x00000020
MOUNT_ATTR__ATIME = 0x00000070
MOUNT_ATTR_NODIRATIME = 0x00000080
MOUNT_ATTR_NOSYMFOLLOW = 0x00200000

MS_REC = 1 << 14
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

PROPAGATIONS = {
    "shared": MS_SHARED,
    "slave": MS_SLAVE,
    "private": MS_PRIVATE,
    "unbindable": MS_UNBINDABLE,
    "rshared": MS_SHARED | MS_REC,
    "rslave": MS_SLAVE | MS_REC,
    "rprivate": MS_PRIVATE | MS_REC,
    "runbindable": MS_UNBINDABLE | MS_REC,
}

# word -> (bits to set, bits no longer to set, bits to clear on an existing mount)
_ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0, 0),
    "rw": (0, MOUNT_ATTR_RDONLY, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0, 0),
    "suid": (0, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0, 0),
    "dev": (0, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOEXEC),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, 0, 0),
    "diratime": (0, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NODIRATIME),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW),
    "noatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, MOUNT_ATTR__ATIME),
    "atime": (0, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    "relatime": (0, MOUNT_ATTR__ATIME, MOUNT_ATTR__ATIME),
    "norelatime": (0, 0, MOUNT_ATTR__ATIME),
    "strictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME, MOUNT_ATTR__ATIME),
    "nostrictatime": (0, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
}

# Flags of the file system itself that fsconfig(2) takes by name.
_SUPERBLOCK = ("sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand")
# Words for which the mount API has no switch any more: file systems decide on i_version themselves, and the kernel
# prints nothing that `silent` could keep quiet.
_WITHOUT_EFFECT = ("defaults", "iversion", "noiversion", "silent", "loud")
_ACTIONS = ("bind", "rbind", "remount", "idmap", "ridmap", "tmpcopyup")

WORDS = tuple(
    sorted(
        {*_ATTRIBUTES, *("r" + word for word in _ATTRIBUTES), *PROPAGATIONS, *_SUPERBLOCK, *_WITHOUT_EFFECT, *_ACTIONS}
    )
)
"""Every option that is not the file system's own: ``mountOptions`` of features.md."""


class Options:
    """What a list of mount options amounts to. Bits are MOUNT_ATTR_*; ``propagation`` is in order of appearance."""

    def __init__(self) -> None:
        self.set = self.clear = 0
        self.rec_set = self.rec_clear = 0
        self.propagation: list[int] = []
        self.superblock: list[str] = []
        self.actions: set[str] = set()
        self.data: list[str] = []

    @property
    def bind(self) -> bool:
        """A bind mount, whatever the type says (config.md#mounts)."""
        return "bind" in self.actions or "rbind" in self.actions


def parse(words: tuple[str, ...] | None) -> Options:
    """Sort mount options; those that are not in the tables are data of the file system."""
    options = Options()
    for word in words or ():
        if word in _ATTRIBUTES:
            options.set, options.clear = _apply(word, options.set, options.clear)
        elif word in PROPAGATIONS:
            options.propagation.append(PROPAGATIONS[word])
        elif word in _ACTIONS:
            options.actions.add(word)
        elif word[:1] == "r" and word[1:] in _ATTRIBUTES:
            options.rec_set, options.rec_clear = _apply(word[1:], options.rec_set, options.rec_clear)
        elif word in _SUPERBLOCK:
            options.superblock.append(word)
        elif word and word not in _WITHOUT_EFFECT:
            options.data += _parts(word)
    return options


def _parts(word: str) -> list[str]:
    """What commas separate. As overlayfs has it, one with a backslash before it is part of a name: names may be an
    image's, which must not add options of its own.
    """
    if "\\" not in word:
        return [part for part in word.split(",") if part]
    parts, escaped = [""], False
    for letter in word:
        if letter == "," and not escaped:
            parts.append("")
        else:
            parts[-1] += letter
        escaped = letter == "\\" and not escaped
    return [part for part in parts if part]


def _apply(word: str, bits: int, cleared: int) -> tuple[int, int]:
    """The later word wins: what is set is not cleared, but for the access times, which are always cleared whole."""
    on, off, clear = _ATTRIBUTES[word]
    return bits & ~off | on, cleared & ~(on & ~MOUNT_ATTR__ATIME) | clear


_ON = (
    (MOUNT_ATTR_RDONLY, "read-only", "writable"),
    (MOUNT_ATTR_NOSUID, "nosuid", "suid"),
    (MOUNT_ATTR_NOEXEC, "noexec", "exec"),
    (MOUNT_ATTR_NODEV, "nodev", "dev"),
    (MOUNT_ATTR_NODIRATIME, "nodiratime", "diratime"),
    (MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow", "symfollow"),
)


def changes(bits: int, clear: int = 0) -> list[str]:
    """Attributes that are set and cleared, in words."""
    words = [on for bit, on, _ in _ON if bits & bit] + [off for bit, _, off in _ON if clear & bit]
    if bits & MOUNT_ATTR_NOATIME:
        words.append("noatime")
    elif bits & MOUNT_ATTR_STRICTATIME:
        words.append("strictatime")
    elif clear & MOUNT_ATTR__ATIME:
        words.append("relatime")
    return words


def propagation(flags: int) -> str:
    """A propagation type in words, "" for none: ``slave all the way down``."""
    word = next((word for word, bit in PROPAGATIONS.items() if bit == flags & ~MS_REC), "")
    return f"{word} all the way down" if word and flags & MS_REC else word
