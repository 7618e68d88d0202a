"""Where the engine keeps things: what outlives a reboot (root) and what only means something while the host runs
(run).
"""

from __future__ import annotations

from utsuwa.monitor.records import monitor_directory, runtime_root

ROOT, RUN = "/var/lib/utsuwa", "/run/utsuwa"
"""The defaults."""


class Paths:
    """Names of files and directories; nothing is made here."""

    __slots__ = ("root", "run")

    def __init__(self, root: str = ROOT, run: str = RUN) -> None:
        self.root, self.run = root, run

    @property
    def containers(self) -> str:
        """One directory a container."""
        return f"{self.root}/containers"

    @property
    def names(self) -> str:
        """One symbolic link a name, to the id."""
        return f"{self.root}/names"

    @property
    def volumes(self) -> str:
        """One directory a named volume."""
        return f"{self.root}/volumes"

    @property
    def workshops(self) -> str:
        """One directory a build, locked while it goes on; its containers are called after it, NAME-NUMBER."""
        return f"{self.root}/build/work"

    @property
    def snapshots(self) -> str:
        """The snapshotter's root, which image.store chose."""
        return f"{self.root}/snapshots"

    @property
    def runtime(self) -> str:
        """The OCI runtime's root."""
        return runtime_root(self.run)

    def container(self, identifier: str) -> str:
        """The directory, and bundle, of a container."""
        return f"{self.root}/containers/{identifier}"

    def monitor(self, identifier: str) -> str:
        """The run directory of a container."""
        return monitor_directory(self.run, identifier)
