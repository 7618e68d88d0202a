"""`utsuwa search`: images by a word, at Docker Hub or another registry that can be searched (docker search)."""

from __future__ import annotations

from utsuwa.cli.flags import LIST, NUMBER, SWITCH, WORD, Option
from utsuwa.cli.house import Verb
from utsuwa.cli.listing import formatted, table
from utsuwa.errors import InvalidArgument, printable

VERB = Verb(
    "search [OPTIONS] TERM",
    "Search Docker Hub for images",
    (
        Option("filter", "f", LIST, "Filter output based on conditions provided (is-official=, stars=)"),
        Option("format", "", WORD, "Pretty-print search using a Go template"),
        Option("limit", "", NUMBER, "Max number of search results", 25),
        Option("no-trunc", "", SWITCH, "Don't truncate output"),
    ),
    least=1,
    most=1,
)
_HEADER = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}
_WIDTH = 45
_HUB = "index.docker.io"


def run(words: list[str]) -> int:
    """One row an image, those with most stars first."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    limit = arguments.number("limit") or 25
    if not 1 <= limit <= 100:
        raise InvalidArgument(f"invalid limit: {limit}: must be between 1 and 100")
    filters = dict(map(_filter, arguments.list("filter")))
    found = [each for each in _results(arguments.words[0], limit) if _fits(each, filters)]
    found.sort(key=lambda each: -_stars(each))
    rows = [_row(each, arguments.on("no-trunc")) for each in found]
    if arguments.text("format") not in ("", "table"):
        text = formatted(arguments.text("format"), _HEADER, rows)
    else:
        text = table(tuple(_HEADER.values()), [tuple(row.values()) for row in rows])
    if text:
        print(text)
    return 0


def _results(term: str, limit: int) -> list[dict[str, object]]:
    import asyncio

    from utsuwa.registry.once import search
    from utsuwa.spec.reference import DEFAULT_DOMAIN

    host, slash, rest = term.partition("/")
    domain, word = (host, rest) if slash and ("." in host or ":" in host or host == "localhost") else (_HUB, term)
    domain = _HUB if domain == DEFAULT_DOMAIN else domain
    return asyncio.run(search(domain, word, limit))


def _filter(text: str) -> tuple[str, int]:
    key, _, value = text.partition("=")
    if key == "is-official" and value in ("true", "1", "false", "0"):
        return key, int(value in ("true", "1"))
    if key == "stars" and value.isdigit():
        return key, int(value)
    raise InvalidArgument(f"invalid filter '{text}' (is-official=true, is-official=false or stars=NUMBER)")


def _fits(found: dict[str, object], filters: dict[str, int]) -> bool:
    official = filters.get("is-official")
    return _stars(found) >= filters.get("stars", 0) and official in (None, int(bool(found.get("is_official"))))


def _stars(found: dict[str, object]) -> int:
    count = found.get("star_count")
    return count if isinstance(count, int) else 0


def _row(found: dict[str, object], whole: bool) -> dict[str, str]:
    description = printable(" ".join(str(found.get("description") or "").split()))
    if not whole and len(description) > _WIDTH:
        description = description[: _WIDTH - 1] + "…"
    return {
        "Name": printable(str(found.get("name") or "")),
        "Description": description,
        "StarCount": str(_stars(found)),
        "IsOfficial": "[OK]" if found.get("is_official") else "",
    }
