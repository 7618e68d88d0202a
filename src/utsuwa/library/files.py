"""The files of a container in the hands of a program: copied in and out, whether it runs or not."""

from __future__ import annotations

import io
import os
import tarfile

from utsuwa.engine.copies import Copies
from utsuwa.errors import InvalidArgument
from utsuwa.library.envoy import indoors, indoors_by_pieces
from utsuwa.library.parcels import Chunks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    from utsuwa.engine.metadata import ContainerRecord
    from utsuwa.library.services import Services


class Files:
    """Paths in the container are absolute, and never lead out of it, whatever links it has made."""

    def __init__(self, services: Services, name: str) -> None:
        """For the library's own use."""
        self.services, self._name = services, name

    @indoors
    def put(self, source: str | PathLike[str], path: str) -> None:
        """Copy a file or a directory of the host to ``path``: into it where it is a directory, else to that name.

        A ``source`` that ends in ``/.`` stands for what is in the directory. Raises NotFound.
        """
        self._copies().put(os.fspath(source), path)

    @indoors
    def get(self, path: str, destination: str | PathLike[str]) -> None:
        """Copy a file or a directory to the host, by the same rules."""
        self._copies().get(path, os.fspath(destination))

    def read(self, path: str) -> bytes:
        """The content of a file; links are followed. Raises NotFound, InvalidArgument for what is no file."""
        with tarfile.open(fileobj=io.BytesIO(b"".join(self.archive(path)))) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() else None
                if file is not None:
                    return file.read()
                break
        raise InvalidArgument(f"{self._name}:{path} is no regular file")

    def write(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Put a file in place, root's; the directory has to be there."""
        content = data.encode() if isinstance(data, str) else data
        directory, _, name = path.rpartition("/")
        if not name:
            raise InvalidArgument(f"{self._name}:{path} is no name of a file")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
        self.extract([buffer.getvalue()], directory or "/")

    @indoors_by_pieces
    def archive(self, path: str) -> Iterator[bytes]:
        """What is at ``path`` as a tar archive, in chunks; a link at its end is followed."""
        return self._copies().archive(path, follow=True)

    def extract(self, chunks: Iterable[bytes], path: str) -> None:
        """Unpack a tar archive into a directory. Raises NotFound when there is none."""
        self._extract(Chunks(chunks), path)

    @indoors
    def _extract(self, chunks: Chunks, path: str) -> None:
        self._copies().extract(iter(chunks), path)

    def _copies(self) -> Copies:
        record: ContainerRecord = self.services.containers.find(self._name)
        return Copies(self.services.paths, record)
