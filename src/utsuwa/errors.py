"""The one error vocabulary of utsuwa: kinds, not places.

    Error
    ├── NotFound             the named thing does not exist
    ├── Conflict             it exists already, or another one is in the way
    ├── InvalidArgument      what was asked can't be understood or is not allowed by a specification
    ├── FailedPrecondition   understood, but not in this state
    ├── PermissionDenied     the kernel or a policy says no
    ├── Unavailable          someone else (a registry, a daemon) does not answer as it should
    ├── Unsupported          understood, and this version can't do it
    └── Internal             our own fault

Messages are lower case, name the object (path, id, JSON path), say what to do, and end without a full stop.
Context is added once per floor with ``error.within("pull debian:12")``. Every door maps every kind.
"""

from __future__ import annotations


class Error(Exception):
    """Something a user can be told; ``str(error)`` is the whole message."""

    def within(self, context: str) -> Error:
        """The same kind of error with ``context: `` before its message; raise it ``from`` the original."""
        return type(self)(f"{context}: {self}")


class NotFound(Error):
    """The named thing does not exist."""


class Conflict(Error):
    """The named thing exists already, or another is in the way."""


class InvalidArgument(Error):
    """What was asked can't be understood, or a specification forbids it."""


class FailedPrecondition(Error):
    """What was asked can't be done in the state the object is in."""


class PermissionDenied(Error):
    """The kernel or a policy refused."""


class Unavailable(Error):
    """Somebody else (a registry, a daemon, the network) did not answer as it should."""


class Unsupported(Error):
    """What was asked is understood, but this version or this host can't do it."""


class Internal(Error):
    """A fault of utsuwa itself."""


def printable(text: str) -> str:
    """``text`` for a terminal: what an image or a registry put into a message moves no cursor and hides no words."""
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text])


KINDS = (NotFound, Conflict, InvalidArgument, FailedPrecondition, PermissionDenied, Unavailable, Unsupported, Internal)


def from_oserror(error: OSError, context: str) -> Error:
    """The kind of error that an errno amounts to, worded ``context: strerror`` in lower case."""
    import errno

    kinds = {
        errno.ENOENT: NotFound,
        errno.EEXIST: Conflict,
        errno.EBUSY: FailedPrecondition,
        errno.EPERM: PermissionDenied,
        errno.EACCES: PermissionDenied,
        errno.EINVAL: InvalidArgument,
        errno.ENOTDIR: InvalidArgument,
        errno.ENAMETOOLONG: InvalidArgument,
        errno.ENOSYS: Unsupported,
        errno.EOPNOTSUPP: Unsupported,
        errno.ENODEV: Unsupported,
        errno.ENOSPC: Unavailable,
        errno.EDQUOT: Unavailable,
    }
    text = (error.strerror or str(error)).lower()
    return kinds.get(error.errno or 0, Internal)(f"{context}: {text}")
