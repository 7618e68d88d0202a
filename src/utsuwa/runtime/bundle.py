"""A bundle: a directory with config.json and, usually, the root file system (bundle.md)."""

from __future__ import annotations

import os

from utsuwa.errors import Error, InvalidArgument, NotFound, from_oserror
from utsuwa.spec.codec import parse
from utsuwa.spec.record import decode
from utsuwa.spec.runtime import Linux, Spec
from utsuwa.spec.validate import validate
from utsuwa.spec.validate_linux import sysctl_path

CONFIG = "config.json"


class Bundle:
    """A bundle that was read: its absolute path, and the configuration as bytes. What that says is read when asked for,
    and raises InvalidArgument with the JSON path of what is wrong in it.
    """

    def __init__(self, path: str, config: bytes, spec: Spec | None = None, rootfs: str | None = None) -> None:
        self.path = path
        self.config = config
        self._spec = spec
        self._rootfs = rootfs
        self._document: object = None

    @property
    def document(self) -> object:
        """The configuration as JSON says it: nobody has looked yet whether it is one."""
        if self._document is None:
            self._document = parse(self.config)
        return self._document

    @property
    def spec(self) -> Spec:
        """The valid configuration."""
        if self._spec is None:
            spec: Spec = decode(Spec, self.document)
            validate(spec)
            if spec.linux is not None and spec.linux.sysctl:
                _check_sysctl(spec.linux)
            self._spec = spec
        return self._spec

    @spec.setter
    def spec(self, spec: Spec) -> None:
        self._spec = spec

    @property
    def rootfs(self) -> str:
        """The absolute path of the root file system, which is there."""
        if self._rootfs is None:
            if self.spec.root is None:
                raise InvalidArgument("root: missing, a container on Linux needs a root file system")
            self.find_root(self.spec.root.path)
            assert self._rootfs is not None
        return self._rootfs

    def find_root(self, given: str) -> str:
        """The same, for who knows what the configuration has as root.path: relative to the bundle, or absolute."""
        self._rootfs = _rootfs(os.path.join(self.path, given))
        return self._rootfs

    def take_root(self, rootfs: str) -> None:
        """Believe what another says of it."""
        self._rootfs = rootfs

    def has_root(self, given: str, rootfs: str) -> bool:
        """Whether root.path, given as in the configuration, leads there."""
        try:
            return self.find_root(given) == rootfs
        except Error:
            return False

    @property
    def linux(self) -> Linux:
        """The part of the configuration that is about Linux; an empty one when there is none."""
        return self.spec.linux or Linux()


def load(path: str) -> Bundle:
    """Read and check the bundle in directory ``path`` (relative to the working directory, "" is that itself).

    Raises NotFound without a directory or a config.json, InvalidArgument with the JSON path of what is wrong in it.
    """
    bundle = read(path)
    bundle.rootfs  # noqa: B018 - asked for, it is checked
    return bundle


def read(path: str) -> Bundle:
    """Read the bundle in directory ``path``, but don't look at what it says. Raises NotFound."""
    absolute = os.path.abspath(path or ".")
    return Bundle(absolute, read_config(absolute))


def _check_sysctl(linux: Linux) -> None:
    """A network namespace that is joined may be the host's own, and its settings are the host's."""
    namespace = linux.namespace("network")
    keys = [key for key in linux.sysctl or () if sysctl_path(key).startswith("net/")]
    if not keys or namespace is None or not namespace.path:
        return
    try:
        joined, own = os.stat(namespace.path), os.stat("/proc/self/ns/net")
    except OSError as error:
        raise from_oserror(error, f"linux.namespaces: {namespace.path}") from error
    if (joined.st_dev, joined.st_ino) == (own.st_dev, own.st_ino):
        raise InvalidArgument(f'linux.sysctl["{keys[0]}"]: not allowed in host network namespace')


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


def _rootfs(path: str) -> str:
    """The directory without symbolic links."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise from_oserror(error, f"root.path: invalid rootfs {path}") from error
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
