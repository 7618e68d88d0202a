"""A build from beginning to end: the Dockerfile read, the stages that are needed built in order, the image stored."""

from __future__ import annotations

import os

from utsuwa.build.checks import check, options, violation
from utsuwa.build.crew import build_stages
from utsuwa.build.fault import StepFailed
from utsuwa.build.graph import Graph
from utsuwa.build.kitchen import Kitchen
from utsuwa.build.output import write_stream, write_tree
from utsuwa.build.parser import parse
from utsuwa.build.stage import stamp
from utsuwa.errors import Error, from_oserror
from utsuwa.spec import platform as platforms
from utsuwa.spec import reference
from utsuwa.spec.image import ImageConfig, RootFS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from utsuwa.build.checks import Warning
    from utsuwa.build.kitchen import Bring
    from utsuwa.build.output import Output
    from utsuwa.build.progress import Progress
    from utsuwa.build.request import BuildRequest
    from utsuwa.build.state import State
    from utsuwa.build.workshop import Workshop
    from utsuwa.engine.images import Images
    from utsuwa.engine.paths import Paths
    from utsuwa.image.store import Image


def build(
    request: BuildRequest,
    paths: Paths,
    images: Images,
    workshop: Workshop,
    progress: Progress,
    bring: Bring,
    outputs: Sequence[Output] = (),
) -> Image | None:
    """Build an image and give it its names. On failure, and when killed, nothing is left of it but what the cache
    keeps.

    ``bring`` finds an image by name for a platform, and may pull it. ``outputs``: where the result goes; the image is
    kept here when one of them says so, or when there are none. Returns it then. Raises Fault, StepFailed, and what
    reading a context and storing an image raise.
    """
    tags = [_tag(text) for text in (*request.tags, *(name for output in outputs for name in output.names))]
    step = progress.begin(f"[internal] load build definition from {request.name}")
    step.note(f"transferring dockerfile: {len(request.dockerfile)}B done")
    graph = Graph(parse(request.dockerfile), request)
    target = graph.target(request.target)
    order = graph.order(target)
    step.done()
    if options(graph.dockerfile, request).fatal:
        _refuse(check(graph, request, lambda name: bring(name, request.platform)))
    lease = images.store.lease()
    try:
        kitchen = Kitchen(request, graph, paths, images, workshop, progress, bring)
        try:
            build_stages(kitchen, order)
        finally:
            progress.warnings = check(graph, request, lambda name: here(images, name))
        state = kitchen.built[target.number]
        for each in outputs:
            if each.is_tree:
                write_tree(each, kitchen, state)
        if outputs and all(each.is_tree for each in outputs):
            return None
        stored = not outputs or any(each.is_stored for each in outputs)
        image = _deliver(kitchen, state, tags, outputs, stored)
    finally:
        os.close(lease)
    if stored:
        return image
    images.store.collect()
    return None


def _deliver(
    kitchen: Kitchen, state: State, tags: list[reference.Reference], outputs: Sequence[Output], stored: bool
) -> Image:
    """The image in the store, and in the archives that are wanted; nameless and forgotten unless ``stored``."""
    image = _store(kitchen, state, tags if stored else [])
    for each in outputs:
        if not each.is_tree and each.place:
            from utsuwa.image.save import save_as

            step = kitchen.progress.begin(f"exporting to {each.kind} image format")
            try:
                write_stream(each.place, save_as(kitchen.store, image, tags))
            except OSError as error:
                raise from_oserror(error, f"write {each.place}") from error
            step.done()
    if not stored:
        with kitchen.store.changing():
            if not kitchen.store.names_of(image.id):
                kitchen.store.forget(image.record)
    return image


def check_only(request: BuildRequest, images: Images) -> list[Warning]:
    """What the checks find, and nothing built. Raises Fault, and StepFailed for a target that is not there."""
    graph = Graph(parse(request.dockerfile), request)
    graph.order(graph.target(request.target))
    return check(graph, request, lambda name: here(images, name))


def here(images: Images, name: str) -> Image | None:
    """The image of a name, None when it is not here, or no name."""
    try:
        return images.resolve(name)
    except Error:
        return None


def _refuse(found: list[Warning]) -> None:
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
    settings = state.finished()
    if request.labels:
        settings = settings.replace(Labels={**(settings.Labels or {}), **request.labels})
    platform = base.config.platform if base else (request.platform or platforms.host().replace(variant=""))
    config = ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant or None,
        created=stamp(state.made),
        author=state.author,
        config=settings,
        rootfs=RootFS(type="layers", diff_ids=()),
    )
    image = assemble(kitchen.store, base, state.layers, config, state.history, tags, annotations=request.annotations)
    step.note(f"writing image {image.id} done")
    for tag in tags:
        step.note(f"naming to {tag} done")
    step.done()
    return image
