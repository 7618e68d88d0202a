"""A build from beginning to end: the Dockerfile read, the stages that are needed built in order, the image stored."""

from __future__ import annotations

import os

from utsuwa.build.crew import build_stages
from utsuwa.build.fault import StepFailed
from utsuwa.build.graph import Graph
from utsuwa.build.kitchen import Kitchen
from utsuwa.build.ledger import ANNOTATION
from utsuwa.build.output import deliver, write_tree
from utsuwa.build.parser import parse
from utsuwa.build.stage import stamp
from utsuwa.errors import Error, NotFound
from utsuwa.spec import reference
from utsuwa.spec.image import ImageConfig, RootFS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.build.checks import Warning
    from utsuwa.build.kitchen import Bring
    from utsuwa.build.ledger import Ledger
    from utsuwa.build.output import Output
    from utsuwa.build.progress import Progress
    from utsuwa.build.request import BuildRequest
    from utsuwa.build.state import State
    from utsuwa.build.workshop import Workshop
    from utsuwa.engine.images import Images
    from utsuwa.engine.paths import Paths
    from utsuwa.image.store import Image, ImageStore
    from utsuwa.spec.platform import Platform


def build(
    request: BuildRequest,
    paths: Paths,
    images: Images,
    workshop: Workshop,
    progress: Progress,
    bring: Bring,
    outputs: Sequence[Output] = (),
    ledger: Ledger | None = None,
) -> Image | None:
    """Build an image and give it its names. On failure, and when killed, nothing is left of it but what the cache
    keeps.

    ``bring`` finds an image by name for a platform, and may pull it. ``outputs``: where the result goes; the image is
    kept here when one of them says so, or when there are none. Returns it then. ``ledger``: what may be used of other
    machines' caches, and then what was used. Raises Fault, StepFailed, and what
    reading a context and storing an image raise.
    """
    tags = [_tag(text) for text in (*request.tags, *(name for output in outputs for name in output.names))]
    wants_image = not outputs or not all(each.is_tree for each in outputs)
    stored = not outputs or any(each.is_stored for each in outputs)
    several = bool(request.platforms)
    lease = images.store.lease()
    try:
        made = []
        for platform in request.platforms or (request.platform,):
            kitchen, state = _cook(request.replace(platform=platform), paths, images, workshop, progress, bring, ledger)
            for each in outputs:
                if each.is_tree:
                    write_tree(each, kitchen, state)
            if wants_image:
                made.append(_store(kitchen, state, tags if stored and not several else []))
        if not made:
            return None
        if several and stored:
            from utsuwa.image.family import make_index, name_index

            name_index(images.store, make_index(images.store, made), made, tags)
        deliver(images.store, made, tags, outputs, progress)
        if not stored:
            _forget(images.store, made)
    finally:
        os.close(lease)
    if stored:
        return images.store.resolve(str(tags[0])) if several and tags else made[0]
    images.store.collect()
    return None


def _cook(
    request: BuildRequest,
    paths: Paths,
    images: Images,
    workshop: Workshop,
    progress: Progress,
    bring: Bring,
    ledger: Ledger | None,
) -> tuple[Kitchen, State]:
    """The stages for one platform; what the target has become."""
    step = progress.begin(f"[internal] load build definition from {request.name}")
    step.note(f"transferring dockerfile: {len(request.dockerfile)}B done")
    graph = Graph(parse(request.dockerfile), request)
    target = graph.target(request.target)
    order = graph.order(target)
    step.done()
    if graph.dockerfile.source.directives.get("check") or request.arguments.get("BUILDKIT_DOCKERFILE_CHECK"):
        _check_first(graph, request, bring)
    kitchen = Kitchen(request, graph, paths, images, workshop, progress, bring, ledger)
    try:
        build_stages(kitchen, order)
    finally:
        if progress.is_watched:
            from utsuwa.build.checks import check

            progress.warnings = check(graph, request, lambda name: here(images, name, request.platform))
    state = kitchen.built[target.number]
    kitchen.ledger.final.update(layer.diff_id for layer in state.layers)
    return kitchen, state


def _forget(store: ImageStore, made: list[Image]) -> None:
    """Images that were wanted elsewhere only, unless they have been here before under a name."""
    with store.changing():
        for each in made:
            if not store.names_of(each.id):
                store.forget(each.record)


def check_only(request: BuildRequest, images: Images) -> list[Warning]:
    """What the checks find, and nothing built. Raises Fault, and StepFailed for a target that is not there."""
    from utsuwa.build.checks import check

    graph = Graph(parse(request.dockerfile), request)
    graph.order(graph.target(request.target))
    return check(graph, request, lambda name: here(images, name, request.platform))


def here(images: Images, name: str, platform: Platform | None) -> Image | None:
    """The image of a name, for a platform if it has several, None when it is not here, or no name."""
    try:
        try:
            return images.resolve(name, str(platform or ""))
        except NotFound:
            return images.resolve(name)
    except Error:
        return None


def _check_first(graph: Graph, request: BuildRequest, bring: Bring) -> None:
    """Raise StepFailed when the checks find something, and are to be errors."""
    from utsuwa.build.checks import check, options, violation

    if not options(graph.dockerfile, request).fatal:
        return
    found = check(graph, request, lambda name: bring(name, request.platform))
    if found:
        raise StepFailed(violation(found), found[0].first, found[0].last)


def _tag(text: str) -> reference.Reference:
    name = reference.parse(text)
    if name.digest:
        raise StepFailed(f'invalid tag "{text}": a digest can\'t be given to an image')
    return name.tagged()


def _store(kitchen: Kitchen, state: State, tags: list[reference.Reference]) -> Image:
    from utsuwa.image.make import assemble

    step = kitchen.progress.begin("exporting to image")
    request, base = kitchen.request, state.base
    annotations = dict(request.annotations)
    if request.inline_cache:
        annotations[ANNOTATION] = kitchen.ledger.inline()
    settings = state.finished()
    if request.labels:
        settings = settings.replace(Labels={**(settings.Labels or {}), **request.labels})
    platform = state.platform(request)
    config = ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant or None,
        created=stamp(state.made),
        author=state.author,
        config=settings,
        rootfs=RootFS(type="layers", diff_ids=()),
    )
    image = assemble(kitchen.store, base, state.layers, config, state.history, tags, annotations=annotations)
    step.note(f"writing image {image.id} done")
    for tag in tags:
        step.note(f"naming to {tag} done")
    step.done()
    return image
