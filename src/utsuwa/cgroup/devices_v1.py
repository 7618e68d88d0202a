"""Device access on cgroup v1: lines written to ``devices.allow`` and ``devices.deny``."""

from __future__ import annotations

from utsuwa import errors
from utsuwa.cgroup import devices
from utsuwa.cgroup.directory import Directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.spec.runtime import DeviceRule


def apply(path: str | None, rules: Iterable[DeviceRule] | None) -> None:
    """Bring the `devices` cgroup at ``path`` to ``linux.resources.devices``, and check that it got there.

    Only what differs is written: a cgroup that has children can't take a new default, and one that is in use must at no
    moment allow more than before and after.
    """
    if path is None:
        raise errors.FailedPrecondition(
            "linux.resources.devices: the devices controller is not available: mount it as cgroup v1"
        )
    target = devices.wanted(rules or ())
    with Directory(path) as cgroup:
        current = devices.parse(cgroup.read("devices.list"))
        denied, allowed = transition(current, target)
        cgroup.write_each("devices.deny", denied)
        cgroup.write_each("devices.allow", allowed)
        if target.default_allow:
            cgroup.write_each("devices.deny", _lines(target.exceptions))
        reached = devices.parse(cgroup.read("devices.list"))
    if reached.default_allow != target.default_allow or not (target.default_allow or reached == target):
        raise errors.FailedPrecondition(f"cgroup {path}: devices.list is {reached} where {target} was written")


def lines(rules: Iterable[DeviceRule] | None) -> tuple[str, ...]:
    """What brings a new cgroup without children there, whatever it inherited: ``FILE VALUE``, to be written in order.

    The kernel refuses what the parent cgroup does not have with EPERM, so there is nothing to check afterwards.
    """
    target = devices.wanted(rules or ())
    first, then = ("allow", "deny") if target.default_allow else ("deny", "allow")
    return (f"devices.{first} a", *[f"devices.{then} {line}" for line in _lines(target.exceptions)])


def transition(current: devices.Access, target: devices.Access) -> tuple[list[str], list[str]]:
    """Lines for devices.deny, then lines for devices.allow, that turn ``current`` into ``target``'s default and,
    where that is "deny", its exceptions."""
    if target.default_allow:
        return [], ["a"]
    if current.default_allow:
        return ["a"], _lines(target.exceptions)
    surplus = {node: mask & ~target.exceptions.get(node, 0) for node, mask in current.exceptions.items()}
    lacking = {node: mask & ~current.exceptions.get(node, 0) for node, mask in target.exceptions.items()}
    return _lines(surplus), _lines(lacking)


def _lines(exceptions: dict[devices.Node, int]) -> list[str]:
    """In the order of the configuration, the default devices behind it: so ``devices.list`` shows them."""
    return [devices.line(node, mask) for node, mask in exceptions.items() if mask]
