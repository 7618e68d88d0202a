"""`utsuwa port`: which ports of the host lead to a container (docker port)."""

from __future__ import annotations

from utsuwa.cli.house import House, Verb
from utsuwa.errors import NotFound

VERB = Verb(
    "port CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    least=1,
    most=2,
)


def run(words: list[str]) -> int:
    """One line an address."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    from utsuwa.engine.network_inspection import published

    house = House()
    record = house.containers.find(arguments.words[0])
    lines = []
    wanted = ""
    if len(arguments.words) > 1:
        port, _, protocol = arguments.words[1].partition("/")
        wanted = f"{port}/{protocol or 'tcp'}"
    for each in sorted(published(house.paths, record.id), key=lambda each: (each.port, each.protocol)):
        key = f"{each.port}/{each.protocol}"
        address = f"[{each.host_ip}]" if ":" in each.host_ip else each.host_ip
        bound = f"{address}:{each.host_port}"
        if not wanted or key == wanted:
            lines.append(bound if wanted else f"{key} -> {bound}")
    if wanted and not lines:
        raise NotFound(f"No public port '{arguments.words[1]}' published for {arguments.words[0]}")
    if lines:
        print("\n".join(lines))
    return 0
