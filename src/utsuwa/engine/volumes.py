"""Volumes: directories of the engine's (``ROOT/volumes/NAME/_data``) and of the host's, as binds of a container."""

from __future__ import annotations

import os

from utsuwa.errors import NotFound, from_oserror
from utsuwa.identifiers import new_engine_id
from utsuwa.spec.request import Volume
from utsuwa.spec.runtime import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.engine.images import Images
    from utsuwa.engine.paths import Paths
    from utsuwa.image.store import Image
    from utsuwa.spec.image import Settings
    from utsuwa.spec.request import RunRequest

_OWNER = "owner"
"""A file beside _data of a volume that nobody named: the id of the container that it goes with (``rm -v``, ``run
--rm``). A volume whose owner exists no more was left by somebody who was killed; ``rm`` without -v takes the mark
away."""


class Volumes:
    """The named and anonymous volumes below the paths."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def prepare(self, owner: str, request: RunRequest, settings: Settings, image: Image, images: Images) -> list[Mount]:
        """The binds of a container: what was asked for, and an anonymous volume for each that the image declares."""
        wanted = list(request.volumes)
        taken = {volume.target.rstrip("/") for volume in wanted} | {each.target.rstrip("/") for each in request.tmpfs}
        for target in sorted(settings.Volumes or ()):
            if target.rstrip("/") not in taken:
                wanted.append(Volume(kind="volume", target=target))
        wanted.sort(key=lambda volume: volume.target.rstrip("/").count("/"))
        return [self._bind(owner, volume, image, images) for volume in wanted]

    def owned(self, identifier: str) -> list[str]:
        """The directories of the anonymous volumes of a container."""
        found = []
        for name in self._names():
            directory = f"{self._paths.volumes}/{name}"
            if _owner(directory) == identifier:
                found.append(directory)
        return found

    def disown(self, identifier: str) -> None:
        """Let the anonymous volumes of a container outlive it."""
        for directory in self.owned(identifier):
            os.unlink(f"{directory}/{_OWNER}")

    def sweep(self) -> None:
        """Remove anonymous volumes whose container has gone."""
        from utsuwa.snapshot.tree import remove

        for name in self._names():
            directory = f"{self._paths.volumes}/{name}"
            owner = _owner(directory)
            if owner and not os.path.exists(self._paths.container(owner)):
                remove(directory)

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._paths.volumes)
        except FileNotFoundError:
            return []

    def _bind(self, owner: str, volume: Volume, image: Image, images: Images) -> Mount:
        bound = volume.kind == "bind"
        source = self._host_directory(volume) if bound else self._volume(owner, volume, image, images)
        options = ["rbind" if volume.recursive else "bind", volume.propagation or "rprivate"]
        options.append("ro" if volume.read_only else "rw")
        return Mount(destination=volume.target, type="bind", source=source, options=tuple(options))

    def _host_directory(self, volume: Volume) -> str:
        """The host path of a bind, which is made as a directory when there is none, as Docker does for ``-v``."""
        source = volume.source or ""
        if not os.path.lexists(source):
            try:
                os.makedirs(source, 0o755, exist_ok=True)
            except OSError as error:
                raise from_oserror(error, f"make the bind source {source}") from error
        elif not os.path.exists(source):
            raise NotFound(f"the bind source {source} is a broken symbolic link")
        return source

    def _volume(self, owner: str, volume: Volume, image: Image, images: Images) -> str:
        """The data directory of a volume; one that is new gets what the image has at its target."""
        name = volume.source or new_engine_id()
        directory = f"{self._paths.volumes}/{name}"
        data = f"{directory}/_data"
        try:
            os.makedirs(self._paths.volumes, 0o711, exist_ok=True)
            os.makedirs(directory, 0o711, exist_ok=True)
            if volume.source is None:
                with open(f"{directory}/{_OWNER}", "wb", buffering=0) as file:
                    file.write(owner.encode())
            os.makedirs(data, 0o755, exist_ok=True)
            if volume.copy and not os.listdir(data):
                from utsuwa.engine.copyup import copy_up

                copy_up(images.trees(image), volume.target, data)
        except OSError as error:
            raise from_oserror(error, f"make volume {name}") from error
        return data


def _owner(directory: str) -> str:
    try:
        with open(f"{directory}/{_OWNER}", "rb", buffering=0) as file:
            return file.read().decode("ascii", "replace")
    except OSError:
        return ""
