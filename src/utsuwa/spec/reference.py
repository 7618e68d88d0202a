"""Image names as people write them: the reference grammar of Docker and of the distribution specification.

    reference := [domain "/"] path [":" tag] ["@" digest]

``debian`` means ``docker.io/library/debian:latest``; a first component with a dot, a colon or upper case, or
``localhost``, is a domain.
"""

from __future__ import annotations

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.spec import digest as digests
from utsuwa.spec.record import Record

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
NAME_LIMIT = 255
"""Longest domain and path together, in characters."""

_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ALPHANUMERIC = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TAG = _ALPHANUMERIC | frozenset("_.-")
_HEX = frozenset("0123456789abcdef")


class Reference(Record):
    """A name in full; ``tag`` and ``digest`` are None where not given (see :meth:`tagged`)."""

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def repository(self) -> str:
        """Domain and path: ``docker.io/library/debian``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The repository as people write it: ``debian``, ``user/app``, ``localhost:5000/app``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        rest = self.path.removeprefix("library/")
        return rest if "/" not in rest else self.path

    @property
    def target(self) -> str:
        """What to ask a registry for: the digest if there is one, else the tag, else ``latest``."""
        return self.digest or self.tag or DEFAULT_TAG

    def tagged(self) -> Reference:
        """This reference, with the tag ``latest`` when it has neither tag nor digest."""
        return self if self.tag or self.digest else self.replace(tag=DEFAULT_TAG)

    def familiar(self) -> str:
        """The whole name as people write it."""
        return self.familiar_repository + self._suffix()

    def __str__(self) -> str:
        return self.repository + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """The reference that ``text`` is, its repository normalised, no tag added.

    Raises InvalidArgument; a bare 64-digit hexadecimal word is refused because it is an image ID.
    """
    if len(text) == 64 and _HEX.issuperset(text):
        raise InvalidArgument(f'"{text}" is an image ID, expected a name')
    rest, at, digest = text.partition("@")
    if at:
        try:
            digest = digests.parse(digest)
        except (InvalidArgument, Unsupported) as error:
            raise InvalidArgument(f'invalid reference "{text[:300]}": {error}') from None
    name, tag = _split_tag(rest)
    domain, path = _split_domain(name)
    problem = _problem(domain, path, tag)
    if problem:
        raise InvalidArgument(f'invalid reference "{text[:300]}": {problem}')
    return Reference(domain=domain, path=path, tag=tag, digest=digest or None)


def _split_tag(text: str) -> tuple[str, str | None]:
    """A colon after the last slash starts a tag; one before it starts a port."""
    colon = text.rfind(":")
    if colon > text.rfind("/"):
        return text[:colon], text[colon + 1 :]
    return text, None


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        first, rest = DEFAULT_DOMAIN, name
    if first == "index.docker.io":
        first = DEFAULT_DOMAIN
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = f"library/{rest}" if rest else rest
    return first, rest


def _problem(domain: str, path: str, tag: str | None) -> str:
    if not path:
        return "the repository name is empty"
    if len(domain) + 1 + len(path) > NAME_LIMIT:
        return f"the name is longer than {NAME_LIMIT} characters"
    if not _is_domain(domain):
        return f'"{domain}" is not a registry host'
    if path.lower() != path:
        return "the repository name must be lower case"
    for component in path.split("/"):
        if not _is_component(component):
            return f'"{component}" is not a path component (letters and digits, separated by one of . _ __ or dashes)'
    if tag is not None and not (0 < len(tag) <= 128 and tag[0] not in ".-" and _TAG.issuperset(tag)):
        return f'"{tag}" is not a tag (up to 128 letters, digits, _ . -, not starting with . or -)'
    return ""


def _is_domain(domain: str) -> bool:
    host, port = domain, None
    if domain.startswith("["):
        host, bracket, after = domain[1:].partition("]")
        if not bracket or not host or not set(host) <= _HEX | set("ABCDEF:"):
            return False
        if after and not after.startswith(":"):
            return False
        port = after[1:] if after else None
    else:
        host, colon, digits = domain.partition(":")
        port = digits if colon else None
        if not all(_is_label(label) for label in host.split(".")):
            return False
    return port is None or (port.isascii() and port.isdigit() and 0 < int(port[:9]) < 65536)


def _is_label(label: str) -> bool:
    return bool(label) and label[0] != "-" and label[-1] != "-" and (_ALPHANUMERIC | {"-"}).issuperset(label)


def _is_component(component: str) -> bool:
    """Lower-case alphanumerics, separated by ``.``, ``_``, ``__`` or any number of ``-``."""
    if not component or component[0] not in _LOWER or component[-1] not in _LOWER:
        return False
    separator = ""
    for character in component:
        if character in _LOWER:
            if separator and separator not in (".", "_", "__") and separator.strip("-"):
                return False
            separator = ""
        elif character in "._-":
            separator += character
        else:
            return False
    return True
