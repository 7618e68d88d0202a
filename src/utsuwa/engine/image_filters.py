"""Conditions on images, as ``--filter`` of `images` and `image prune` has them."""

from __future__ import annotations

from utsuwa.engine.labels import has_labels
from utsuwa.errors import InvalidArgument
from utsuwa.spec import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from utsuwa.engine.images import Images
    from utsuwa.image.store import Image

LIST_KEYS = ("before", "dangling", "label", "reference", "since", "until")
PRUNE_KEYS = ("dangling", "label", "label!", "until")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class ImageFilters:
    """``key=value`` texts: labels must all be there, references are alternatives, all keys go together.

    ``moment`` reads a time (RFC 3339, Unix seconds, or how long ago) as Unix seconds. Raises InvalidArgument, NotFound
    for an image to compare with that is not here.
    """

    def __init__(
        self,
        texts: Sequence[str],
        keys: Sequence[str],
        images: Images,
        moment: Callable[[str], float | None],
    ) -> None:
        self._wanted: dict[str, list[str]] = {}
        for text in texts:
            key, equals, value = text.partition("=")
            key = key.strip().lower()
            if not equals:
                raise InvalidArgument(f"bad format of filter {text!r} (expected name=value)")
            if key not in keys:
                raise InvalidArgument(f"invalid filter '{key}'")
            if key == "dangling" and value not in _TRUTHS:
                raise InvalidArgument(f"invalid filter 'dangling=[{value}]'")
            self._wanted.setdefault(key, []).append(value.strip())
        self._before = min((images.resolve(name).created for name in self._wanted.get("before", ())), default=None)
        self._since = max((images.resolve(name).created for name in self._wanted.get("since", ())), default=None)
        self._until = min((moment(text) or 0 for text in self._wanted.get("until", ())), default=None)

    @property
    def dangling(self) -> bool | None:
        """What is said of images without names; None when nothing is."""
        values = self._wanted.get("dangling")
        return _TRUTHS[values[-1]] if values else None

    def match(self, image: Image, dangling: bool) -> bool:
        """An image fulfils them; ``dangling``: it has no name and no child."""
        if self.dangling is not None and dangling is not self.dangling:
            return False
        if self._before is not None and image.created >= self._before:
            return False
        if self._since is not None and image.created <= self._since:
            return False
        if self._until is not None and image.created >= self._until:
            return False
        labels, unwanted = self._wanted.get("label", ()), self._wanted.get("label!", ())
        if (labels or unwanted) and not has_labels(image.config.settings.Labels or {}, labels, unwanted):
            return False
        patterns = self._wanted.get("reference", ())
        return not patterns or any(self.has_reference(name) for name in (*image.names, *image.digests))

    def has_reference(self, name: str) -> bool:
        """A name fits one of the patterns for names, or there are none."""
        patterns = self._wanted.get("reference", ())
        return not patterns or any(matches(name, pattern) for pattern in patterns)


def matches(name: str, pattern: str) -> bool:
    """A name fits a pattern for it, with or without its tag; ``*`` stands for anything but a slash, as in Go's
    path.Match. A pattern is for names as people write them; a whole name fits, too. Raises InvalidArgument.
    """
    from fnmatch import fnmatchcase

    if pattern.rfind("[") > pattern.rfind("]"):
        raise InvalidArgument(f"invalid filter 'reference={pattern}': syntax error in pattern")
    parsed = reference.parse(name)
    if pattern in (str(parsed), parsed.repository):
        return True
    pattern = pattern.replace("[^", "[!")
    names = (parsed.familiar(), parsed.familiar_repository)
    return any(text.count("/") == pattern.count("/") and fnmatchcase(text, pattern) for text in names)
