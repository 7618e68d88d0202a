"""A bundle: a directory with config.json and, usually, the root file system (bundle.md)."""

from __future__ import annotations

import os

from utsuwa.errors import InvalidArgument, NotFound, from_oserror
from utsuwa.spec.codec import parse
from utsuwa.spec.record import decode
from utsuwa.spec.runtime import Linux, Spec
from utsuwa.spec.validate import validate

CONFIG = "config.json"


class Bundle:
    """A bundle that was read and found valid: its absolute path, the configuration as bytes and as record, the root."""

    def __init__(self, path: str, config: bytes, spec: Spec, rootfs: str) -> None:
        self.path = path
        self.config = config
        self.spec = spec
        self.rootfs = rootfs

    @property
    def linux(self) -> Linux:
        """The part of the configuration that is about Linux; an empty one when there is none."""
        return self.spec.linux or Linux()


def load(path: str) -> Bundle:
    """Read and check the bundle in directory ``path`` (relative to the working directory, "" is that itself).

    Raises NotFound without a directory or a config.json, InvalidArgument with the JSON path of what is wrong in it.
    """
    absolute = os.path.abspath(path or ".")
    config = read_config(absolute)
    spec: Spec = decode(Spec, parse(config))
    validate(spec)
    return Bundle(absolute, config, spec, rootfs(absolute, spec))


def read_config(bundle: str) -> bytes:
    """The bytes of the bundle's config.json."""
    path = f"{bundle}/{CONFIG}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if not os.path.isdir(bundle):
            raise NotFound(f"bundle {bundle}: no such file or directory") from None
        raise NotFound(f"JSON specification file {CONFIG} not found in {bundle}") from None
    except OSError as error:
        raise from_oserror(error, f"open {path}") from error
    try:
        size = os.fstat(descriptor).st_size
        data = os.read(descriptor, size + 1)
        while len(data) < size and (more := os.read(descriptor, size - len(data))):
            data += more
        return data
    except OSError as error:
        raise from_oserror(error, f"read {path}") from error
    finally:
        os.close(descriptor)


def rootfs(bundle: str, spec: Spec) -> str:
    """The directory of the root file system, without symbolic links: a relative root.path counts from the bundle."""
    if spec.root is None:
        raise InvalidArgument("root: missing, a container on Linux needs a root file system")
    path = os.path.join(bundle, spec.root.path)
    try:
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, f"root.path: invalid rootfs {path}") from error
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
