"""What is typed about networks: ``-p``, ``--expose``, ``--network``, ``--add-host``, addresses."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.spec.request import NetworkWish, PublishedPort

_PROTOCOLS = ("tcp", "udp", "sctp")
_PORTS_AT_ONCE = 4096


def parse_publish(text: str) -> list[PublishedPort]:
    """``[[IP:]HOST:]CONTAINER[/PROTOCOL]``, ports and ranges; a range of the host's is matched one to one."""
    if "=" in text:
        return _publish_by_fields(text)
    rest, _, protocol = text.partition("/")
    host, _, container = rest.rpartition(":")
    address, published = "", host
    if host.startswith("["):
        address, _, published = host[1:].partition("]")
        published = published.removeprefix(":")
    elif ":" in host:
        address, _, published = host.rpartition(":")
    return _published(text, address, published, container, protocol or "tcp")


def _publish_by_fields(text: str) -> list[PublishedPort]:
    """``target=80,published=8080,protocol=tcp,mode=ingress``."""
    fields = dict.fromkeys(("target", "published", "protocol", "mode"), "")
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key not in fields:
            raise InvalidArgument(f"invalid field key {key}")
        fields[key] = value
    if fields["mode"] not in ("", "host", "ingress"):
        raise InvalidArgument(f"invalid publish mode value {fields['mode']}")
    return _published(text, "", fields["published"], fields["target"], fields["protocol"] or "tcp")


def _published(text: str, address: str, host: str, container: str, protocol: str) -> list[PublishedPort]:
    protocol = protocol.lower()
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}")
    if not container:
        raise InvalidArgument(f"no port specified: {text}")
    first, last = _range(container, "containerPort")
    ports = range(first, last + 1)
    if not host:
        hosts: list[int] = [0] * len(ports)
    else:
        low, high = _range(host, "hostPort")
        if high - low != last - first:
            if first != last:
                raise InvalidArgument(f"invalid ranges specified for container and host Ports: {container} and {host}")
            raise Unsupported(f"unsupported: a range of host ports to choose from ({text})")
        hosts = list(range(low, high + 1))
    ip = address_of(address) if address else ""
    return [
        PublishedPort(port=port, protocol=protocol, host_ip=ip, host_port=number)
        for port, number in zip(ports, hosts, strict=True)
    ]


def parse_expose(text: str) -> list[str]:
    """``80``, ``80/udp``, ``80-90``; as ``80/tcp``."""
    ports, _, protocol = text.partition("/")
    protocol = (protocol or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}")
    first, last = _range(ports, "range format for --expose")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _range(text: str, what: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    numbers = []
    for digits in (first, last or first):
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) <= 65535):
            raise InvalidArgument(f"invalid {what}: {text}")
        numbers.append(int(digits))
    if not 0 <= numbers[1] - numbers[0] < _PORTS_AT_ONCE:
        raise InvalidArgument(f"invalid {what}: {text}")
    return numbers[0], numbers[1]


def parse_network(text: str) -> NetworkWish:
    """A name, or ``name=NET,alias=WEB,ip=ADDRESS,ip6=ADDRESS,mac-address=MAC,link-local-ip=ADDRESS,gw-priority=N``."""
    if "=" not in text:
        if not text:
            raise InvalidArgument("network: must not be empty, use a network's name, bridge, host or none")
        return NetworkWish(network=text)
    fields: dict[str, str] = {}
    aliases, further = [], []
    for part in text.split(","):
        key, equals, value = part.partition("=")
        key = key.lower()
        if key == "alias":
            aliases.append(value)
        elif key == "link-local-ip":
            further.append(link_local(value))
        elif key == "driver-opt":
            raise Unsupported(f"unsupported: driver-opt {value}")
        elif not equals or key not in ("name", "ip", "ip6", "mac-address", "gw-priority"):
            raise InvalidArgument(f"invalid field {part} in --network {text}")
        else:
            fields[key] = value
    if not fields.get("name"):
        raise InvalidArgument(f"network name is not specified: {text}")
    return NetworkWish(
        network=fields["name"],
        aliases=tuple(aliases),
        ip=address_of(fields["ip"], 4) if "ip" in fields else "",
        ip6=address_of(fields["ip6"], 6) if "ip6" in fields else "",
        mac=mac_of(fields["mac-address"]) if "mac-address" in fields else "",
        link_local=tuple(further),
        priority=priority_of(fields.get("gw-priority", "0")),
    )


def link_local(text: str) -> str:
    """An address that counts on one link only. Raises InvalidArgument for another."""
    address = address_of(text)
    if not address.startswith(("169.254.", "fe8", "fe9", "fea", "feb")):
        raise InvalidArgument(f"{text} is no link-local address: they are in 169.254.0.0/16 and fe80::/10")
    return address


def priority_of(text: str) -> int:
    """A whole number. Raises InvalidArgument."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise InvalidArgument(f"invalid gw-priority {text!r}: expected a whole number")
    return int(text)


def address_of(text: str, version: int = 0) -> str:
    """An address in its usual form. Raises InvalidArgument, also for another version than wanted."""
    family = AF_INET6 if ":" in text else AF_INET
    try:
        if version and version != (6 if family == AF_INET6 else 4):
            raise ValueError
        return inet_ntop(family, inet_pton(family, text))
    except (OSError, ValueError):
        raise InvalidArgument(f"invalid IPv{version or 4} address: {text}") from None


def mac_of(text: str) -> str:
    """``02:42:ac:11:00:02``. Raises InvalidArgument."""
    parts = text.lower().replace("-", ":").split(":")
    if len(parts) != 6 or any(len(part) != 2 or not set(part) <= set("0123456789abcdef") for part in parts):
        raise InvalidArgument(f"{text} is not a valid mac address")
    if int(parts[0], 16) & 1:
        raise InvalidArgument(f"{text} is the address of a group, not of one interface")
    return ":".join(parts)


def parse_add_host(text: str) -> str:
    """``NAME:ADDRESS`` or ``NAME=ADDRESS``; the address may be ``host-gateway``."""
    name, mark, address = text.partition("=") if "=" in text else text.partition(":")
    address = address.strip()
    if not mark or not name or any(letter.isspace() for letter in name):
        raise InvalidArgument(f'bad format for add-host: "{text}"')
    if address != "host-gateway":
        try:
            address = address_of(address.strip("[]"))
        except InvalidArgument:
            raise InvalidArgument(f'invalid IP address in add-host: "{address}"') from None
    return f"{name}:{address}"


def parse_dns_word(text: str, flag: str) -> str:
    """A word of resolv.conf: one line of it can't become two."""
    if not text or not text.isprintable() or any(letter.isspace() for letter in text):
        raise InvalidArgument(f"{text!r} is not a valid --{flag}")
    return text
