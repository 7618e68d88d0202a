"""`utsuwa network ls` (docker network ls)."""

from __future__ import annotations

from utsuwa.cli import times
from utsuwa.cli.flags import LIST, SWITCH, WORD, Option
from utsuwa.cli.house import House, Verb
from utsuwa.cli.listing import formatted, table
from utsuwa.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from utsuwa.network.records import Network

VERB = Verb(
    "network ls [OPTIONS]",
    "List networks",
    (
        Option("filter", "f", LIST, 'Provide filter values (e.g. "driver=bridge")'),
        Option("format", "", WORD, "Format output: 'json', 'table TEMPLATE' or a Go template"),
        Option("no-trunc", "", SWITCH, "Do not truncate the output"),
        Option("quiet", "q", SWITCH, "Only display network IDs"),
    ),
    most=0,
)
_HEADER = {"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE"}
_FURTHER = {
    "CreatedAt": "CREATED AT",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "Label": None,
}


def run(words: list[str]) -> int:
    """Print the table, by name."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.networks import Networks

    networks = Networks(House().paths)
    wanted = _filters(arguments.list("filter"))
    used = networks.wanted() if "dangling" in wanted else set()
    found = [network for network in networks.all() if _matches(network, wanted, used)]
    found.sort(key=lambda network: network.name)
    rows = [_row(network, arguments.on("no-trunc")) for network in found]
    if arguments.text("format") not in ("", "table"):
        text = formatted(arguments.text("format"), {**_HEADER, **_FURTHER}, rows)  # type: ignore[dict-item]
    elif arguments.on("quiet"):
        text = "\n".join(row["ID"] for row in rows)
    else:
        text = table(tuple(_HEADER.values()), [[row[name] for name in _HEADER] for row in rows])
    if text:
        print(text)
    return 0


def _row(network: Network, whole: bool) -> dict[str, Any]:
    return {
        "ID": network.id if whole else network.id[:12],
        "Name": network.name,
        "Driver": network.driver,
        "Scope": "local",
        "CreatedAt": times.local(network.createdAt),
        "IPv4": str(network.driver == "bridge").lower(),
        "IPv6": str(network.ipv6).lower(),
        "Internal": str(network.internal).lower(),
        "Labels": ",".join(f"{key}={network.labels[key]}" for key in sorted(network.labels)),
        "Label": lambda key: network.labels.get(key, ""),
    }


def _filters(texts: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in ("dangling", "driver", "id", "label", "name", "scope", "type"):
            raise InvalidArgument(f"invalid filter '{text}'")
        if key == "type" and value not in ("builtin", "custom"):
            raise InvalidArgument(f"invalid filter: 'type'='{value}'")
        if key == "dangling" and value not in ("true", "false", "1", "0"):
            raise InvalidArgument(f"invalid filter 'dangling=[{value}]'")
        found.setdefault(key, []).append(value)
    return found


def _matches(network: Network, wanted: dict[str, list[str]], used: set[str]) -> bool:
    """Of the values of one key one must fit, of labels all."""
    from utsuwa.engine.labels import has_labels
    from utsuwa.engine.names import name_matches
    from utsuwa.engine.networks import PREDEFINED

    builtin = network.name in PREDEFINED
    checks: dict[str, Callable[[str], bool]] = {
        "driver": lambda value: value == network.driver,
        "id": lambda value: value in network.id,
        "name": lambda value: name_matches(value, network.name),
        "scope": lambda value: value == "local",
        "type": lambda value: value == ("builtin" if builtin else "custom"),
        "dangling": lambda value: (value in ("true", "1")) == (not builtin and network.id not in used),
    }
    if not has_labels(network.labels, wanted.get("label", ())):
        return False
    return all(any(checks[key](value) for value in values) for key, values in wanted.items() if key != "label")
