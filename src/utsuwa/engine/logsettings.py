"""What a container's log driver is told: sizes that keep disks from filling up, and what stands beside every line."""

from __future__ import annotations

import os

from utsuwa.errors import FailedPrecondition, InvalidArgument
from utsuwa.spec.request import Logging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT, FILES = 20 << 20, 5
"""Bytes a file, and files, where nobody says otherwise: Docker's json-file logs grow until the disk is full."""
_JOURNAL = "/run/systemd/journal/socket"


class Names:
    """What a tag may speak of."""

    def __init__(self, identifier: str, name: str, image: str, image_id: str) -> None:
        digest = image_id.removeprefix("sha256:")
        self.words = {
            "ID": identifier[:12],
            "FullID": identifier,
            "Name": name,
            "ImageName": image,
            "ImageID": digest[:12],
            "ImageFullID": digest,
            "DaemonName": "utsuwa",
        }

    def tag(self, template: str) -> str:
        """``{{.Name}}/{{.ID}}`` with the words in place. Raises InvalidArgument for any that there isn't."""
        pieces = template.split("{{")
        out = pieces[0]
        for piece in pieces[1:]:
            word, closed, rest = piece.partition("}}")
            key = word.strip().removeprefix(".")
            if not closed or key not in self.words:
                known = ", ".join(f"{{{{.{name}}}}}" for name in self.words)
                raise InvalidArgument(f"log-opt tag {template!r}: expected text and any of {known}")
            out += self.words[key] + rest
        return out


def sizes(logging: Logging) -> tuple[int, int, bool]:
    """Bytes a file (0: no limit), how many files, and whether those put aside are compressed."""
    if logging.driver not in ("json-file", "local"):
        return 0, 1, False
    usual = logging.max_size is None or logging.driver == "local"
    limit = LIMIT if logging.max_size is None else max(logging.max_size, 0)
    files = (FILES if usual else 1) if logging.max_file is None else logging.max_file
    return limit, files, logging.driver == "local" if logging.compress is None else logging.compress


def attributes(logging: Logging, names: Names, labels: dict[str, str], env: Iterable[str]) -> dict[str, str]:
    """What the driver writes beside every line. Raises FailedPrecondition for a journal that is not there."""
    variables = dict(entry.partition("=")[::2] for entry in env)
    chosen = {name: labels[name] for name in labels if _is_chosen(name, logging.labels, logging.labels_regex)}
    chosen |= {name: variables[name] for name in variables if _is_chosen(name, logging.env, logging.env_regex)}
    if logging.driver != "journald":
        return {**chosen, "tag": names.tag(logging.tag)} if logging.tag else chosen
    if not os.path.exists(_JOURNAL):
        raise FailedPrecondition("journald is not enabled on this host: use another log driver")
    tag = names.tag(logging.tag or "{{.ID}}")
    return {
        **{_field(name): value for name, value in chosen.items()},
        "CONTAINER_ID": names.words["ID"],
        "CONTAINER_ID_FULL": names.words["FullID"],
        "CONTAINER_NAME": names.words["Name"],
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": names.words["ImageName"],
        "SYSLOG_IDENTIFIER": tag,
    }


def _is_chosen(name: str, names: tuple[str, ...], pattern: str | None) -> bool:
    if name in names:
        return True
    if pattern is None:
        return False
    import re

    try:
        return bool(re.search(pattern, name))
    except re.error as error:
        raise InvalidArgument(f"log-opt: {pattern!r} is no regular expression: {error}") from None


def _field(name: str) -> str:
    """A name that the journal takes: capital letters, digits and underscores, the first a letter."""
    clean = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name.upper())
    return clean.lstrip("_0123456789") or "X"
