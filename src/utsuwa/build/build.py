"""A build from beginning to end: the Dockerfile read, the stages that are needed built in order, the image stored."""

from __future__ import annotations

import os

from utsuwa.build.crew import build_stages
from utsuwa.build.fault import StepFailed
from utsuwa.build.graph import Graph
from utsuwa.build.kitchen import Kitchen
from utsuwa.build.parser import parse
from utsuwa.build.stage import stamp
from utsuwa.spec import platform as platforms
from utsuwa.spec import reference
from utsuwa.spec.image import ImageConfig, RootFS

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    output: Output | None = None,
) -> Image | None:
    """Build an image and give it its names. On failure, and when killed, nothing is left of it but what the cache
    keeps.

    ``bring`` finds an image by name for a platform, and may pull it. With ``output`` the tree of the last stage goes
    there, and no image is made. Raises Fault, StepFailed, and what reading a context and storing an image raise.
    """
    tags = [_tag(text) for text in request.tags]
    step = progress.begin(f"[internal] load build definition from {request.name}")
    step.note(f"transferring dockerfile: {len(request.dockerfile)}B done")
    graph = Graph(parse(request.dockerfile), request)
    target = graph.target(request.target)
    order = graph.order(target)
    step.done()
    lease = images.store.lease()
    try:
        kitchen = Kitchen(request, graph, paths, images, workshop, progress, bring)
        build_stages(kitchen, order)
        state = kitchen.built[target.number]
        if output is None:
            return _store(kitchen, state, tags)
        output.write(kitchen, state)
        return None
    finally:
        os.close(lease)


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
    image = assemble(kitchen.store, base, state.layers, config, state.history, tags)
    step.note(f"writing image {image.id} done")
    for tag in tags:
        step.note(f"naming to {tag} done")
    step.done()
    return image
