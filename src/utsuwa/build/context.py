"""The build context: a directory, a tar archive or a git repository, and the Dockerfile in it, beside it, or elsewhere.

What comes from standard input or a network is unpacked into the build's own directory, and looked at as a hostile tree.
"""

from __future__ import annotations

import os

from utsuwa.build import fetching
from utsuwa.build.archives import plain
from utsuwa.build.filling import take
from utsuwa.build.patterns import read_ignore_file
from utsuwa.build.places import read_file
from utsuwa.errors import InvalidArgument, NotFound, from_oserror
from utsuwa.snapshot.merged import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.build import git

LIMIT = 16 << 20
"""Largest Dockerfile or .dockerignore read, in bytes."""
_MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")


class Context:
    """``directory`` to copy from, the Dockerfile's bytes and name, and the patterns of what is left out."""

    def __init__(self, directory: str, dockerfile: bytes, name: str, ignored: list[str]) -> None:
        self.directory, self.dockerfile, self.name = directory, dockerfile, name
        self.ignored = tuple(ignored)


def open_context(
    where: str,
    dockerfile: str,
    scratch: Callable[[], str],
    read: Callable[[int], bytes],
    cwd: str,
    access: Callable[[], git.Access] | None = None,
) -> Context:
    """The context at ``where``: a directory, a git repository, a URL of an archive or Dockerfile, or "-", standard
    input, which ``read`` delivers.

    ``dockerfile``: what ``-f`` says, or "". ``scratch`` makes a directory to unpack into; ``access``: what git may use.
    Raises NotFound, InvalidArgument, and what fetching raises.
    """
    if not os.path.isdir(os.path.join(cwd, where)) and where != "-":
        from utsuwa.build import git

        repository = git.parse(where)
        if repository:
            given = access() if access else git.Access()
            directory = git.Repository(repository, given).check_out_part(scratch())
            return _within(directory, dockerfile, scratch, read, ("**/.git",))
    if where == "-" or fetching.is_url(where):
        if where == "-" and dockerfile == "-":
            raise InvalidArgument("invalid argument: can't use stdin for both build context and dockerfile")
        return _from_stream(dockerfile, scratch, _stream(where, scratch, read), read)
    directory = os.path.join(cwd, where)
    if not os.path.isdir(directory):
        raise NotFound(f'unable to prepare context: path "{where}" not found')
    directory = os.path.realpath(directory)
    if dockerfile == "-" or fetching.is_url(dockerfile):
        data, name = _dockerfile_from_elsewhere(dockerfile, scratch, read)
        return Context(directory, data, name, _ignored(directory, ""))
    path = os.path.join(cwd, dockerfile) if dockerfile else f"{directory}/Dockerfile"
    if dockerfile and not os.path.exists(path):
        path = f"{directory}/{dockerfile}"
    return Context(
        directory, _file(path, dockerfile or "Dockerfile"), dockerfile or "Dockerfile", _ignored(directory, path)
    )


def unpacked(url: str, scratch: Callable[[], str]) -> str:
    """The directory of an archive behind a URL. Raises Unavailable, InvalidArgument for what is no archive."""
    directory = scratch()
    take(directory, plain(_stream(url, scratch, bytes)))
    return directory


def _stream(where: str, scratch: Callable[[], str], read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """What reads standard input, or a URL's file."""
    if where == "-":
        return read
    folder = scratch()
    name, _ = fetching.fetch(where, folder, "")
    file = open(f"{folder}/{name}", "rb", buffering=0)
    return file.read


def _from_stream(
    dockerfile: str, scratch: Callable[[], str], stream: Callable[[int], bytes], read: Callable[[int], bytes]
) -> Context:
    """An archive to copy from, or a Dockerfile that has nothing to copy."""
    head = b""
    while len(head) < 512 and (more := stream(512 - len(head))):
        head += more
    directory = scratch()
    if not (head.startswith(_MAGIC) or head[257:262] == b"ustar"):
        return Context(directory, head + _all(stream), "Dockerfile", [])
    held = [head]
    take(directory, plain(lambda count: held.pop() if held else stream(count)))
    return _within(directory, dockerfile, scratch, read)


def _within(
    directory: str,
    dockerfile: str,
    scratch: Callable[[], str],
    read: Callable[[int], bytes],
    hidden: tuple[str, ...] = (),
) -> Context:
    """A context that somebody else has written, its Dockerfile in it unless it is elsewhere."""
    data, name = b"", dockerfile or "Dockerfile"
    if dockerfile == "-" or fetching.is_url(dockerfile):
        data, name = _dockerfile_from_elsewhere(dockerfile, scratch, read)
    with Merged.of([directory]) as root:
        data = data or read_file(root, name, LIMIT)
        if not data:
            raise NotFound(f"failed to read dockerfile: open {name}: no such file or directory")
        ignored = read_file(root, f"{name}.dockerignore", LIMIT) or read_file(root, ".dockerignore", LIMIT)
    return Context(directory, data, name, [*read_ignore_file(ignored), *hidden])


def _dockerfile_from_elsewhere(
    where: str, scratch: Callable[[], str], read: Callable[[int], bytes]
) -> tuple[bytes, str]:
    """Its bytes and its name."""
    return _all(_stream(where, scratch, read)), "Dockerfile"


def _all(read: Callable[[int], bytes]) -> bytes:
    data = b""
    while more := read(1 << 16):
        data += more
        if len(data) > LIMIT:
            raise InvalidArgument(f"the Dockerfile is over the limit of {LIMIT} bytes")
    return data


def _file(path: str, name: str) -> bytes:
    """The Dockerfile, which is the user's own: a link may lead anywhere."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(LIMIT)
    except FileNotFoundError:
        raise NotFound(f"failed to read dockerfile: open {name}: no such file or directory") from None
    except OSError as error:
        raise from_oserror(error, f"failed to read dockerfile: open {name}") from error


def _ignored(directory: str, dockerfile: str) -> list[str]:
    """The patterns of ``<Dockerfile>.dockerignore``, or else of the context's ``.dockerignore``."""
    for path in (f"{dockerfile}.dockerignore" if dockerfile else "", f"{directory}/.dockerignore"):
        try:
            if path:
                with open(path, "rb", buffering=0) as file:
                    return read_ignore_file(file.read(LIMIT))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise from_oserror(error, path) from error
    return []
