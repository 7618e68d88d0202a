"""The files of a container, for asynchronous programs."""

from __future__ import annotations

from utsuwa.aio.threads import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike

    from utsuwa.library import files


class Files:
    """Paths in the container are absolute, and never lead out of it, whatever links it has made."""

    def __init__(self, blocking: files.Files) -> None:
        """``blocking`` is the same for threads; archives in pieces are for those."""
        self.blocking = blocking

    async def put(self, source: str | PathLike[str], path: str) -> None:
        """Copy a file or a directory of the host to ``path``: into it where it is a directory, else to that name."""
        await call(self.blocking.put, source, path)

    async def get(self, path: str, destination: str | PathLike[str]) -> None:
        """Copy a file or a directory to the host, by the same rules."""
        await call(self.blocking.get, path, destination)

    async def read(self, path: str) -> bytes:
        """The content of a file. Raises NotFound, InvalidArgument for what is no file."""
        return await call(self.blocking.read, path)

    async def write(self, path: str, data: bytes | str, mode: int = 0o644) -> None:
        """Put a file in place, root's; the directory has to be there."""
        await call(self.blocking.write, path, data, mode)
