"""What a snapshotter is, for whoever needs a root file system.

Two kinds of trees, two kinds of words:

*name*  A **layer**, committed and never changed again, is named by its chain ID, which its content determines: the same
name means the
        same tree on every machine. Layers form a forest by their parents. ``""`` is the empty tree that every base
        layer stands on.
*key*   A **snapshot** in use is known by a key that its user chooses (a container's ID). It has a layer as parent, can
be written to
        unless it was prepared read-only, and is gone when removed.

Layers come in through :class:`utsuwa.snapshot.layers.LayerStore`, the same for every snapshotter. Nothing is mounted on
the host: :meth:`Snapshotter.mounts` says what a container's plan mounts in the container's own mount namespace.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from utsuwa.snapshot.layers import LayerStore
    from utsuwa.spec.mount import Mount
else:
    Protocol = object


class Snapshotter(Protocol):
    """The tree of a container, made from a stack of layers."""

    layers: LayerStore

    def prepare(self, key: str, parent: str, read_only: bool = False) -> None:
        """Make a snapshot of the layer ``parent``; raises Conflict for a key in use, NotFound without the layer."""

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """What to mount as the root of the container; raises NotFound.

        An overlay has options in mount(8)'s words: ``lowerdir=TOP:…:BASE`` (a colon or backslash in a name has a
        backslash before it), ``upperdir=`` and ``workdir=`` unless it is read-only, then flags. A tree of its own is a
        ``bind`` of its directory.
        """

    def upper(self, key: str) -> str:
        """The host directory that takes what the container writes, "" for a read-only snapshot; raises NotFound."""

    def directory(self, key: str) -> str:
        """The host directory of a snapshot with all that belongs to it."""

    def parent(self, key: str) -> str:
        """The layer that a snapshot stands on; raises NotFound."""

    def keys(self) -> list[str]:
        """Every snapshot there is."""

    def usage(self, key: str) -> int:
        """Bytes on disk that belong to the snapshot alone."""

    def remove(self, key: str) -> None:
        """Remove a snapshot and all that was written to it; one that is gone already is fine."""
