"""Snapshots by overlayfs: the layers below, one writable directory above (kernel: filesystems/overlayfs.rst).

<root>/keys/<key>/{upper,work,snapshot.json}
"""

from __future__ import annotations

import os
import stat

from utsuwa.linux.host import in_user_namespace
from utsuwa.snapshot.keyed import KeyedSnapshots, Snapshot
from utsuwa.spec.mount import Mount


class OverlaySnapshotter(KeyedSnapshots):
    """Preparing costs three directories, whatever the size of the image."""

    def fill(self, directory: str, snapshot: Snapshot) -> None:
        """A merged tree's root has the attributes of the upper directory, which takes them from the top layer."""
        if snapshot.readOnly:
            if not snapshot.parent:
                os.mkdir(f"{directory}/empty")
                os.chmod(f"{directory}/empty", 0o755)
            return
        os.mkdir(f"{directory}/work", 0o700)
        os.mkdir(f"{directory}/upper")
        os.chmod(f"{directory}/upper", 0o755)
        if snapshot.parent:
            top = os.stat(self.layers.tree(snapshot.parent))
            os.chown(f"{directory}/upper", top.st_uid, top.st_gid)
            os.chmod(f"{directory}/upper", stat.S_IMODE(top.st_mode))

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """See :meth:`Snapshotter.mounts`; with a single directory there is nothing to overlay, and it is bound instead.

        ``index=off`` lets several containers stand on one layer, ``redirect_dir`` and ``metacopy`` would put into the
        upper directory what makes no sense without the layers.
        """
        snapshot = self.get(key)
        directory = self.directory(key)
        lower = [self.layers.tree(name) for name in self.layers.stack(snapshot.parent)]
        if not lower:
            source = f"{directory}/empty" if snapshot.readOnly else f"{directory}/upper"
            return (Mount(type="bind", source=source, options=("rbind", "ro" if snapshot.readOnly else "rw")),)
        if snapshot.readOnly:
            return (merged(lower),)
        options = [f"lowerdir={':'.join(map(escaped, lower))}"]
        options += [f"upperdir={directory}/upper", f"workdir={directory}/work", *flags()]
        return (Mount(type="overlay", source="overlay", options=tuple(options)),)

    def upper(self, key: str) -> str:
        """See :meth:`Snapshotter.upper`."""
        return "" if self.get(key).readOnly else f"{self.directory(key)}/upper"


def flags() -> tuple[str, ...]:
    """Mount options that all overlays have, at this moment: a process may enter a user namespace after it has begun."""
    own = ("userxattr",) if in_user_namespace() else ()
    return ("index=off", "redirect_dir=nofollow", "metacopy=off", *own)


def merged(lower: list[str]) -> Mount:
    """One or more directories (top first) as one that is read-only."""
    if len(lower) == 1:
        return Mount(type="bind", source=lower[0], options=("rbind", "ro"))
    return Mount(type="overlay", source="overlay", options=(f"lowerdir={':'.join(map(escaped, lower))}", *flags()))


def escaped(path: str) -> str:
    """A path for the list in lowerdir, where a colon separates, and a comma ends the option: it may be of an image."""
    for letter in "\\:,":
        path = path.replace(letter, f"\\{letter}")
    return path
