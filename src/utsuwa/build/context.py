"""The build context: a directory, or a tar on standard input; the Dockerfile in it, beside it, or on standard input."""

from __future__ import annotations

import os

from utsuwa.build.filling import take
from utsuwa.build.patterns import read_ignore_file
from utsuwa.build.places import read_file
from utsuwa.errors import InvalidArgument, NotFound, Unsupported, from_oserror
from utsuwa.snapshot import compression
from utsuwa.snapshot.merged import Merged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 16 << 20
"""Largest Dockerfile or .dockerignore read, in bytes."""
_REMOTE = ("http://", "https://", "git://", "git@", "ssh://", "github.com/")
_MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\0")


class Context:
    """``directory`` to copy from, the Dockerfile's bytes and name, and the patterns of what is left out."""

    def __init__(self, directory: str, dockerfile: bytes, name: str, ignored: list[str]) -> None:
        self.directory, self.dockerfile, self.name = directory, dockerfile, name
        self.ignored = tuple(ignored)


def open_context(
    where: str, dockerfile: str, scratch: Callable[[], str], read: Callable[[int], bytes], cwd: str
) -> Context:
    """The context at ``where`` ("-": standard input, which ``read`` delivers). ``dockerfile``: what ``-f`` says, or "".

    ``scratch`` makes a directory to unpack into. Raises NotFound, InvalidArgument; Unsupported for contexts on a
    network.
    """
    if where.startswith(_REMOTE):
        raise Unsupported(f"unsupported: the remote build context {where} (fetch it, and give its directory)")
    if where == "-":
        return _from_stream(dockerfile, scratch, read)
    directory = os.path.join(cwd, where)
    if not os.path.isdir(directory):
        raise NotFound(f'unable to prepare context: path "{where}" not found')
    directory = os.path.realpath(directory)
    if dockerfile == "-":
        data = _all(read)
        return Context(directory, data, "Dockerfile", _ignored(directory, ""))
    path = os.path.join(cwd, dockerfile) if dockerfile else f"{directory}/Dockerfile"
    if dockerfile and not os.path.exists(path):
        path = f"{directory}/{dockerfile}"
    return Context(
        directory, _file(path, dockerfile or "Dockerfile"), dockerfile or "Dockerfile", _ignored(directory, path)
    )


def _from_stream(dockerfile: str, scratch: Callable[[], str], read: Callable[[int], bytes]) -> Context:
    """An archive to copy from, or a Dockerfile that has nothing to copy."""
    if dockerfile == "-":
        raise InvalidArgument("invalid argument: can't use stdin for both build context and dockerfile")
    head = b""
    while len(head) < 512 and (more := read(512 - len(head))):
        head += more
    directory = scratch()
    if not (head.startswith(_MAGIC) or head[257:262] == b"ustar"):
        return Context(directory, head + _all(read), "Dockerfile", [])
    rest = [head]
    take(directory, compression.decompressed(lambda count: rest.pop() if rest else read(count)))
    name = dockerfile or "Dockerfile"
    with Merged.of([directory]) as root:
        data = read_file(root, name, LIMIT)
        if not data:
            raise NotFound(f"failed to read dockerfile: open {name}: no such file or directory")
        ignored = read_file(root, f"{name}.dockerignore", LIMIT) or read_file(root, ".dockerignore", LIMIT)
    return Context(directory, data, name, read_ignore_file(ignored))


def _all(read: Callable[[int], bytes]) -> bytes:
    data = b""
    while more := read(1 << 16):
        data += more
        if len(data) > LIMIT:
            raise InvalidArgument(f"the Dockerfile on standard input is over the limit of {LIMIT} bytes")
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
