"""Loading rules: by nft(8), a process of 6 ms, which only the first start in a network and published ports pay for."""

from __future__ import annotations

import os
from select import POLLIN, poll

from utsuwa.errors import Error, FailedPrecondition, Unsupported
from utsuwa.linux.nftables import has_table
from utsuwa.network import ruleset
from utsuwa.network.flows import redirect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.network.records import Endpoint, Network
    from utsuwa.network.state import Places
    from utsuwa.spec.request import PublishedPort

_PLACES = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft")
_SHOWN = 400


def program() -> str:
    """The path of nft(8), "" where it is not installed."""
    for path in _PLACES:
        if os.access(path, os.X_OK):
            return path
    return ""


def is_standing() -> bool:
    """Our table is there: nobody has flushed the rules since."""
    try:
        return has_table(ruleset.TABLE)
    except OSError:
        return False


def raise_up(places: Places, network: Network) -> None:
    """Have the table, and a network's elements in it. A table that somebody has flushed is made again as a whole."""
    script = ruleset.adding(ruleset.of_network(network))
    if is_standing():
        load(script)
        return
    running: list[Endpoint] = []
    for other in places.networks():
        if other.bridge and other.id in places.active():
            script += ruleset.adding(ruleset.of_network(other))
            running += places.endpoints(other.id)
    for endpoint in running:
        script += ruleset.adding(_elements(endpoint.ports, endpoint.addresses))
    load(script, ruleset.foundation())
    for endpoint in running:
        redirect(endpoint.ports, _bare(endpoint.addresses))


def publish(ports: tuple[PublishedPort, ...], addresses: tuple[str, ...]) -> None:
    """Lead ports of the host to a container."""
    elements = _elements(ports, addresses)
    if elements:
        load(ruleset.adding(elements))
        redirect(ports, _bare(addresses))


def withdraw(ports: tuple[PublishedPort, ...], addresses: tuple[str, ...]) -> None:
    """Take them away; it does not matter which of them are there."""
    elements = _elements(ports, addresses)
    if elements and is_standing():
        _remove(elements)
        redirect(ports, [])


def tear_down(network: Network) -> None:
    """Take a network's elements away, and the table with the last."""
    if not is_standing():
        return
    _remove(ruleset.of_network(network))
    if "elements" not in _run(["list", "set", "inet", ruleset.TABLE, "same"])[1]:
        _run(["delete", "table", "inet", ruleset.TABLE])


def load(script: str, foundation: str = "") -> None:
    """Carry out a script as one transaction. Raises FailedPrecondition with what nft says."""
    status, said = _run(["-f", "-"], foundation + script)
    if status and foundation and "exists" in said:  # somebody else has just laid it
        status, said = _run(["-f", "-"], script)
    if status:
        raise FailedPrecondition(f"nft refuses the rules of the network: {' '.join(said.split())[:_SHOWN]}")


def _elements(ports: tuple[PublishedPort, ...], addresses: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return [element for port in ports for element in ruleset.of_port(port, _bare(addresses))]


def _bare(addresses: tuple[str, ...]) -> list[str]:
    return [address.partition("/")[0] for address in addresses]


def _remove(elements: list[tuple[str, str, str]]) -> None:
    """All at once, or, where one leads elsewhere by now, each for itself."""
    try:
        load("".join(map(ruleset.removing, elements)))
    except FailedPrecondition:
        for element in elements:
            try:
                load(ruleset.removing(element))
            except Error:
                continue


def _run(words: list[str], script: str = "") -> tuple[int, str]:
    """The status of nft, and what it printed."""
    path = program()
    if not path:
        raise Unsupported("nft is missing: install the package nftables, or use --network none or host")
    source = os.memfd_create("nft-script", os.MFD_CLOEXEC)
    output = os.memfd_create("nft-output", os.MFD_CLOEXEC)
    try:
        os.write(source, script.encode())
        os.lseek(source, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for fd, number in ((source, 0), (output, 1), (output, 2))]
        child = os.posix_spawn(
            path, ["nft", *words], {"PATH": "/usr/sbin:/sbin"}, file_actions=actions, setsigdef=(17,)
        )
        status = _wait(child)
        os.lseek(output, 0, os.SEEK_SET)
        said = os.read(output, 1 << 16).decode(errors="replace")
        return (int("rror" in said) if status is None else status), said
    finally:
        os.close(source)
        os.close(output)


def _wait(child: int) -> int | None:
    """Its exit status; None in a worker, whose children the kernel collects."""
    try:
        process = os.pidfd_open(child)
    except ProcessLookupError:
        return None
    try:
        waiting = poll()
        waiting.register(process, POLLIN)
        waiting.poll()
    finally:
        os.close(process)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, os.WNOHANG)[1])
    except ChildProcessError:
        return None
