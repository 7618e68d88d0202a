"""The engine's services in one process, opened once, and shared by both faces of the library."""

from __future__ import annotations

import os

from utsuwa.engine.containers import Containers
from utsuwa.engine.execs import Execs
from utsuwa.engine.images import Images
from utsuwa.engine.metadata import Metadata
from utsuwa.engine.networks import Networks
from utsuwa.engine.paths import ROOT, RUN, Paths
from utsuwa.engine.readiness import Readiness
from utsuwa.engine.volumes import Volumes


class Services:
    """What there is below one pair of directories."""

    def __init__(self, root: str | None = None, run: str | None = None) -> None:
        """``root`` and ``run`` are those of UTSUWA_ROOT and UTSUWA_RUN unless given, or else the system's."""
        root = os.path.abspath(root or os.environ.get("UTSUWA_ROOT") or ROOT)
        run = os.path.abspath(run or os.environ.get("UTSUWA_RUN") or RUN)
        self.paths = Paths(root, run)
        self.images = Images(self.paths)
        self.containers = Containers(self.paths, self.images)
        self.execs = Execs(self.paths, self.containers)
        self.readiness = Readiness(self.paths, self.containers)
        self.networks = Networks(self.paths)
        self.volumes = Volumes(self.paths, Metadata(self.paths))
