"""Where COPY, ADD and mounts take things from: the context, a stage, an image."""

from __future__ import annotations

from utsuwa.build.members import Origin
from utsuwa.build.patterns import Exclusions
from utsuwa.build.request import normal
from utsuwa.errors import NotFound
from utsuwa.snapshot.merged import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.instructions import Stage
    from utsuwa.build.kitchen import Kitchen


def open_origin(kitchen: Kitchen, name: str, stage: Stage) -> Origin:
    """The tree of ``--from``, "" for the context; close its root. Raises NotFound and what bringing an image raises."""
    if not name:
        root = Merged.of([kitchen.request.context])
        return Origin(root, Exclusions(list(kitchen.request.ignored)), keeps_owners=False)
    named = kitchen.request.contexts.get(normal(name))
    if named is not None and named.directory:
        return Origin(Merged.of([named.directory]), Exclusions(list(named.ignored)), keeps_owners=False)
    return Origin(Merged.of(trees(kitchen, top_of(kitchen, name, stage))))


def top_of(kitchen: Kitchen, name: str, stage: Stage) -> str:
    """The layer that a stage or an image ends with."""
    other = kitchen.graph.find(name, stage.number)
    if other is not None:
        return kitchen.built[other.number].top
    if name == "scratch":
        raise NotFound('"scratch" has no files to copy from')
    return kitchen.image(name, kitchen.request.platform).top


def trees(kitchen: Kitchen, top: str) -> list[str]:
    """The directories of a stack of layers, the top first."""
    layers = kitchen.store.snapshotter.layers
    return [layers.tree(each) for each in (layers.stack(top) if top else ())]
