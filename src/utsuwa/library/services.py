"""The engine's services in one process, opened when they are needed, and shared by both faces of the library."""

from __future__ import annotations

import os
from functools import cached_property

from utsuwa.engine.containers import Containers
from utsuwa.engine.enclosure import enclose
from utsuwa.engine.execs import Execs
from utsuwa.engine.images import Images
from utsuwa.engine.metadata import Metadata
from utsuwa.engine.networks import Networks
from utsuwa.engine.paths import ROOT, RUN, Paths
from utsuwa.engine.readiness import Readiness
from utsuwa.engine.volumes import Volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.library.envoy import Envoy


class Services:
    """What there is below one pair of directories."""

    def __init__(self, root: str | None = None, run: str | None = None) -> None:
        """``root`` and ``run`` are those of UTSUWA_ROOT and UTSUWA_RUN unless given, or else the system's, or the
        user's.
        """
        usual = (ROOT, RUN)
        if os.geteuid() != 0:
            from utsuwa.engine import user_namespace

            usual = user_namespace.directories()
        root = os.path.abspath(root or os.environ.get("UTSUWA_ROOT") or usual[0])
        run = os.path.abspath(run or os.environ.get("UTSUWA_RUN") or usual[1])
        if os.geteuid() == 0:
            enclose(root)
        self.paths = Paths(root, run)
        self.readiness = Readiness(self.paths)

    @cached_property
    def envoy(self) -> Envoy | None:
        """Who uses the services below in an ordinary user's place; None where that is root."""
        if os.geteuid() == 0:
            return None
        from utsuwa.library.envoy import Envoy

        return Envoy(self)

    @cached_property
    def images(self) -> Images:
        """The images."""
        return Images(self.paths)

    @cached_property
    def containers(self) -> Containers:
        """The containers."""
        return Containers(self.paths, self.images)

    @cached_property
    def execs(self) -> Execs:
        """Further processes in them."""
        return Execs(self.paths, self.containers)

    @cached_property
    def networks(self) -> Networks:
        """The networks."""
        return Networks(self.paths)

    @cached_property
    def volumes(self) -> Volumes:
        """The volumes."""
        return Volumes(self.paths, Metadata(self.paths))
