"""Building images from a program."""

from __future__ import annotations

import io
import os
import sys

from utsuwa.build.build import build as build_image
from utsuwa.build.context import open_context
from utsuwa.build.contexts import parse
from utsuwa.build.git import access_of
from utsuwa.build.progress import Progress, Step
from utsuwa.build.request import BuildRequest
from utsuwa.build.workshop import Workshop
from utsuwa.errors import Internal, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from utsuwa.image.store import Image
    from utsuwa.library.images import Images
    from utsuwa.library.services import Services
    from utsuwa.spec.platform import Platform


def build(
    services: Services,
    images: Images,
    context: str,
    dockerfile: str,
    report: Callable[[str], None] | None,
    stdin: bytes | None,
    *,
    pull: bool,
    named: dict[str, str],
    **fields: Any,
) -> Image:
    """Build an image; ``fields`` are those of the request, ``named`` further contexts, ``report`` is called with every
    line of progress, ``stdin`` what was read of that already.
    """
    read = sys.stdin.buffer.read if stdin is None else io.BytesIO(stdin).read
    with Workshop(services.paths, services.images) as workshop:
        scratch = workshop.directory
        secrets = {secret.id: secret.data for secret in fields["secrets"]}
        access = access_of(secrets, fields["agents"].get("default", ""), workshop.lock, own_keys=True)
        found = open_context(context, dockerfile, scratch, read, os.getcwd(), lambda: access)
        contexts = parse([f"{name}={where}" for name, where in named.items()], scratch, access)
        request = BuildRequest(
            context=found.directory,
            dockerfile=found.dockerfile,
            name=found.name,
            ignored=found.ignored,
            contexts=contexts,
            **fields,
        )
        progress = _Told(report) if report else Progress()
        bring = _bring(services, images, pull)
        made = build_image(request, services.paths, services.images, workshop, progress, bring)
    if made is None:
        raise Internal("a build without another output has given no image")
    return made


def _bring(services: Services, images: Images, pull: bool) -> Callable[[str, Platform | None], Image]:
    """What finds the images that a Dockerfile names, and pulls them when they are not here."""

    def bring(name: str, platform: Platform | None) -> Image:
        if not pull:
            try:
                return services.images.resolve(name, str(platform or ""))
            except NotFound:
                pass
        images.pull(name, platform=str(platform) if platform else None)
        return services.images.resolve(name, str(platform or ""))

    return bring


class _Told(Progress):
    """Tells a function, line by line."""

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self._report = report

    def tell(self, step: Step, kind: str, text: str) -> None:
        """One line, under the number of its step."""
        self._report(f"#{step.number} {text}")
