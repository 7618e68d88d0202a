"""Device rules: the emulator, v1's lines, and the eBPF program, which must decide alike."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable

import pytest

from utsuwa import errors
from utsuwa.cgroup import device_program, devices
from utsuwa.cgroup.devices import ANY, MKNOD, READ, WRITE, Access
from utsuwa.cgroup.devices_v1 import lines, transition
from utsuwa.spec.runtime import DeviceRule

ALL = MKNOD | READ | WRITE
TYPES = {"b": 1, "c": 2}


def rule(allow: bool, kind: str | None = None, major: int | None = None, minor: int | None = None, access: str = "rwm"):
    return DeviceRule(allow=allow, type=kind, major=major, minor=minor, access=access)


def run(program: bytes, kind: str, major: int, minor: int, access: int) -> bool:
    """Interpret the instructions that the assembler uses, as bpf(2)'s instruction set defines them."""
    context = struct.pack("<III", access << 16 | TYPES[kind], major, minor)
    registers = [0] * 11
    counter = 0
    for _ in range(len(program)):
        code, both, offset, value = struct.unpack_from("<BBhi", program, counter * 8)
        target, source = both & 15, both >> 4
        counter += 1
        low = value & 0xFFFFFFFF
        match code:
            case 0x61:
                assert source == 1
                (registers[target],) = struct.unpack_from("<I", context, offset)
            case 0xBC:
                registers[target] = registers[source] & 0xFFFFFFFF
            case 0x54:
                registers[target] = registers[target] & low
            case 0x74:
                registers[target] = (registers[target] & 0xFFFFFFFF) >> low
            case 0x16:
                counter += offset * (registers[target] & 0xFFFFFFFF == low)
            case 0x56:
                counter += offset * (registers[target] & 0xFFFFFFFF != low)
            case 0xB7:
                registers[target] = value
            case 0x95:
                return bool(registers[0])
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")
    raise AssertionError("the program does not end")


def test_the_defaults_follow_a_denial_of_all() -> None:
    access = devices.wanted([rule(False)])
    assert access == devices.wanted([])
    assert access.allows("c", 1, 3, ALL)
    assert access.allows("b", 8, 0, MKNOD)
    assert access.allows("c", 136, 77, READ | WRITE)
    assert not access.allows("b", 8, 0, READ)
    assert not access.allows("c", 1, 1, READ)


def test_a_rule_for_all_forgets_what_was_before() -> None:
    access = devices.wanted([rule(True, "c", 1, 1), rule(True)])
    assert access == Access(default_allow=True)
    assert device_program.assemble(access) is None
    assert not devices.wanted([rule(True, "c", 1, 1), rule(False)]).allows("c", 1, 1, READ)


def test_permissions_of_two_rules_do_not_add_up_as_in_the_kernel() -> None:
    access = devices.wanted([rule(True, "c", 4, 4, "r"), rule(True, "c", 4, None, "w")])
    assert access.allows("c", 4, 4, READ)
    assert access.allows("c", 4, 4, WRITE)
    assert not access.allows("c", 4, 4, READ | WRITE)


def test_a_hole_in_a_wildcard_is_refused_by_name() -> None:
    with pytest.raises(errors.InvalidArgument, match=r"linux\.resources\.devices\[1\]: c 4:4 r: cannot punch hole"):
        devices.wanted([rule(True, "c", 4, None, "rw"), rule(False, "c", 4, 4, "r")])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (DeviceRule(allow=True, type="c"), "access field cannot be empty"),
        (rule(True, "c", 1, 1, "rx"), "expected some of the letters rwm"),
        (rule(True, "c", -2, 1), "expected a device number"),
        (rule(True, "p", 1, 1), "invalid cgroup device type"),
    ],
)
def test_bad_rules_are_named(bad: DeviceRule, message: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=rf"linux\.resources\.devices\[0\].*{message}"):
        devices.wanted([bad])


def test_a_listing_reads_back() -> None:
    access = devices.wanted([rule(False), rule(True, "b", 8, None, "r")])
    listing = "\n".join(devices.line(node, mask) for node, mask in access.exceptions.items())
    assert devices.parse(listing) == access
    assert devices.parse("a *:* rwm") == Access(default_allow=True)


def test_only_differences_are_written() -> None:
    now = Access(False, {("c", 1, 3): READ | WRITE, ("c", 1, 5): ALL})
    then = Access(False, {("c", 1, 3): READ | MKNOD})
    assert transition(now, then) == (["c 1:3 w", "c 1:5 rwm"], ["c 1:3 m"])
    assert transition(then, then) == ([], [])
    assert transition(Access(True), then) == (["a"], ["c 1:3 rm"])
    assert transition(now, Access(True)) == ([], ["a"])


def test_the_order_of_the_configuration_is_kept_and_the_defaults_come_last() -> None:
    """The specification has entries applied in the order in which they are listed; v1's devices.list shows it."""
    rules = [rule(False), rule(True, "c", 10, 229), rule(True, "b", 8, 20, "rw"), rule(True, "b", 10, 200, "r")]
    denied, *allowed = lines(rules)
    assert denied == "devices.deny a"
    assert allowed[:3] == ["devices.allow c 10:229 rwm", "devices.allow b 8:20 rw", "devices.allow b 10:200 r"]
    assert allowed[3:] == [f"devices.allow {devices.line(node, mask)}" for node, mask in devices.DEFAULTS]
    # what was taken back and given again comes where it was given again, as with the kernel's own list
    again = [*rules, rule(False, "c", 10, 229), rule(True, "c", 1, 3, "r"), rule(True, "c", 10, 229, "r")]
    assert lines(again)[1:5] == (
        "devices.allow b 8:20 rw",
        "devices.allow b 10:200 r",
        "devices.allow c 1:3 rwm",
        "devices.allow c 10:229 r",
    )


@pytest.mark.parametrize("seed", range(60))
def test_what_is_written_decides_like_the_rules_one_by_one(seed: int) -> None:
    """The lines for a new v1 cgroup, and those that turn one list into another, played in their order."""
    chance = random.Random(seed)
    rules = _random_rules(chance)
    expected = devices.wanted(rules)
    assert _played(lines(rules), Access(True)) == expected
    now = Access(False, _random_access(chance).exceptions)
    denied, allowed = transition(now, expected)
    written = [*(f"devices.deny {line}" for line in denied), *(f"devices.allow {line}" for line in allowed)]
    reached = _played(written, now)
    assert reached.default_allow == expected.default_allow
    assert expected.default_allow or reached == expected


def test_large_numbers_are_not_taken_for_negative_ones() -> None:
    program = device_program.assemble(Access(False, {("c", 0xFFFFFFFE, 0x80000000): ALL}))
    assert program is not None
    assert run(program, "c", 0xFFFFFFFE, 0x80000000, READ)
    assert not run(program, "c", 0x7FFFFFFE, 0x80000000, READ)


@pytest.mark.parametrize("seed", range(60))
def test_the_program_decides_like_the_emulator(seed: int) -> None:
    chance = random.Random(seed)
    access = _random_access(chance)
    program = device_program.assemble(access) or device_program.assemble(Access(True, {("c", 99, 99): MKNOD}))
    assert program is not None
    assert len(program) % 8 == 0
    for kind in "bc":
        for major in range(4):
            for minor in range(4):
                for mask in range(1, 8):
                    expected = access.allows(kind, major, minor, mask)
                    assert run(program, kind, major, minor, mask) is expected, (access, kind, major, minor, mask)


def _random_access(chance: random.Random) -> Access:
    access = Access()
    for _ in range(chance.randint(0, 25)):
        kind = chance.choice("bbbbbccccca") if chance.random() < 0.5 else chance.choice("bc")
        node = (kind, chance.choice((ANY, 0, 1, 2)), chance.choice((ANY, 0, 1, 2)))
        try:
            access.change(chance.random() < 0.6, node, chance.randint(1, 7))
        except errors.InvalidArgument:
            continue  # a hole in a wildcard changes nothing
    return access


def _random_rules(chance: random.Random) -> list[DeviceRule]:
    """Rules of which none makes a hole in a wildcard."""
    access, rules = Access(), []
    for _ in range(chance.randint(0, 25)):
        kind = chance.choice("bc") if chance.random() < 0.9 else "a"
        major, minor, mask = chance.choice((ANY, 0, 1, 5)), chance.choice((ANY, 0, 3)), chance.randint(1, 7)
        allow = chance.random() < 0.6
        try:
            access.change(allow, (kind, major, minor), mask)
        except errors.InvalidArgument:
            continue
        rules.append(rule(allow, kind, major, minor, devices.letters(mask)))
    return rules


def _played(written: Iterable[str], before: Access) -> Access:
    """What the kernel's list is after ``FILE LINE`` upon ``FILE LINE``: it takes away what is just the same."""
    access = Access(before.default_allow, dict(before.exceptions))
    for entry in written:
        name, _, line = entry.partition(" ")
        allow = name == "devices.allow"
        if line == "a":
            access = Access(allow)
            continue
        ((node, mask),) = devices.parse(line).exceptions.items()
        left = access.exceptions.pop(node, 0)
        left = left | mask if allow != access.default_allow else left & ~mask
        if left:
            access.exceptions[node] = left
    return access
