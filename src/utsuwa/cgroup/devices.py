"""Which devices a container may touch: the rules of ``linux.resources.devices`` brought into the form of cgroup v1.

v1's `devices` controller is a default (allow or deny) and exceptions to it; a rule of type ``a`` sets the default and
forgets the exceptions, other rules add or take away exceptions (kernel Documentation/admin-guide/cgroup-v1/devices).
Both versions start from the same ``Access``: v1 is told the difference to what it has, v2 gets a program.
"""

from __future__ import annotations

from utsuwa import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from utsuwa.spec.runtime import DeviceRule

    Node = tuple[str, int, int]

MKNOD, READ, WRITE = 1, 2, 4
"""Bits of an access mask, as BPF_DEVCG_ACC_* in linux/bpf.h."""

ANY = -1
"""A major or minor number that stands for all."""

_LETTERS = (("r", READ), ("w", WRITE), ("m", MKNOD))
_ALL = READ | WRITE | MKNOD

DEFAULTS: tuple[tuple[Node, int], ...] = (
    (("c", ANY, ANY), MKNOD),
    (("b", ANY, ANY), MKNOD),
    (("c", 1, 3), _ALL),  # null
    (("c", 1, 5), _ALL),  # zero
    (("c", 1, 7), _ALL),  # full
    (("c", 1, 8), _ALL),  # random
    (("c", 1, 9), _ALL),  # urandom
    (("c", 5, 0), _ALL),  # tty
    (("c", 5, 2), _ALL),  # ptmx
    (("c", 136, ANY), _ALL),  # the pseudo-terminals
    (("c", 10, 200), _ALL),  # net/tun
)
"""Allowed to every container after its own rules, as runc and crun do."""


class Access:
    """A default and the exceptions to it: access mask by (type, major, minor)."""

    __slots__ = ("default_allow", "exceptions")

    def __init__(self, default_allow: bool = False, exceptions: dict[Node, int] | None = None) -> None:
        self.default_allow = default_allow
        self.exceptions = exceptions or {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Access) and (self.default_allow, self.exceptions) == (
            other.default_allow,
            other.exceptions,
        )

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        rules = ", ".join(line(node, mask) for node, mask in sorted(self.exceptions.items()))
        return f"Access({'allow' if self.default_allow else 'deny'} all but: {rules or 'nothing'})"

    def change(self, allow: bool, node: Node, mask: int) -> None:
        """Apply one rule; InvalidArgument when it would make a hole in a wildcard, which v1 can't and would ignore."""
        if node[0] == "a":
            self.default_allow = allow
            self.exceptions = {}
        elif allow != self.default_allow:
            self.exceptions[node] = self.exceptions.get(node, 0) | mask
        else:
            self._check_hole(node, mask)
            self._forget(node, mask)

    def _check_hole(self, node: Node, mask: int) -> None:
        kind, major, minor = node
        for wider in ((kind, ANY, minor), (kind, major, ANY), (kind, ANY, ANY)):
            if wider != node and self.exceptions.get(wider, 0) & mask:
                raise errors.InvalidArgument(
                    f"{line(node, mask)}: cannot punch hole in existing wildcard rule "
                    f"{line(wider, self.exceptions[wider])}: write the rules so that none overrides a part of another"
                )

    def _forget(self, node: Node, mask: int) -> None:
        left = self.exceptions.get(node, 0) & ~mask
        if left:
            self.exceptions[node] = left
        else:
            self.exceptions.pop(node, None)

    def allow_defaults(self) -> None:
        """The devices that every container has."""
        for node, mask in DEFAULTS:
            if self.default_allow:
                self._forget(node, mask)  # what a wildcard denies on purpose stays denied
            else:
                self.change(True, node, mask)

    def allows(self, kind: str, major: int, minor: int, mask: int) -> bool:
        """The kernel's decision: an exception to "deny" must cover the access, one to "allow" only touch it."""
        for (rule_kind, rule_major, rule_minor), rule_mask in self.exceptions.items():
            if rule_kind != kind or rule_major not in (ANY, major) or rule_minor not in (ANY, minor):
                continue
            if self.default_allow and mask & rule_mask:
                return False
            if not self.default_allow and not mask & ~rule_mask:
                return True
        return self.default_allow


def wanted(rules: Iterable[DeviceRule]) -> Access:
    """What ``linux.resources.devices`` amounts to, with the default devices; it starts from "deny all"."""
    access = Access()
    for index, rule in enumerate(rules):
        try:
            access.change(rule.allow, *_read_rule(rule))
        except errors.InvalidArgument as error:
            raise error.within(f"linux.resources.devices[{index}]") from error
    access.allow_defaults()
    return access


def _read_rule(rule: DeviceRule) -> tuple[Node, int]:
    kind = rule.type or "a"
    if kind not in ("a", "b", "c"):
        raise errors.InvalidArgument(f'type: invalid cgroup device type "{kind}": expected a, b or c')
    if not rule.access:
        raise errors.InvalidArgument("access: device access field cannot be empty: write some of rwm")
    return (kind, _number("major", rule.major), _number("minor", rule.minor)), _mask(rule.access)


def _number(name: str, value: int | None) -> int:
    if value is None:
        return ANY
    if not ANY <= value <= 0xFFFF_FFFF:
        raise errors.InvalidArgument(f"{name}: {value}: expected a device number, or -1 for any")
    return value


def _mask(text: str) -> int:
    mask = 0
    for letter in text:
        bit = dict(_LETTERS).get(letter)
        if bit is None and letter != "a":  # runc lets that one pass, and it adds nothing
            raise errors.InvalidArgument(f'access: "{text}": expected some of the letters rwm')
        mask |= bit or 0
    if not mask:
        raise errors.InvalidArgument(f'access: "{text}": expected some of the letters rwm')
    return mask


def line(node: Node, mask: int) -> str:
    """A rule as v1 reads and writes it: ``c 136:* rwm``."""
    kind, *numbers = node
    major, minor = ("*" if number == ANY else number for number in numbers)
    return f"{kind} {major}:{minor} {letters(mask)}"


def letters(mask: int) -> str:
    """An access mask in letters: ``rwm``."""
    return "".join(letter for letter, bit in _LETTERS if mask & bit)


def parse(listing: str) -> Access:
    """v1's ``devices.list``. A default of "allow" prints as ``a *:* rwm`` and hides its exceptions."""
    access = Access()
    for text in listing.splitlines():
        kind, numbers, access_letters = text.split()
        major, minor = (ANY if number == "*" else int(number) for number in numbers.split(":"))
        access.change(True, (kind, major, minor), _mask(access_letters))
    return access
