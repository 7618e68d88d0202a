"""Docker's profile format: conditions, architectures, and what is wrong with a file."""

from __future__ import annotations

import json

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.seccomp.docker_profile import parse_profile

X86 = "SCMP_ARCH_X86_64"


def names(rules: list[dict[str, object]], *capabilities: str) -> list[str]:
    text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})
    profile = parse_profile(text, capabilities, "6.1.0-13-amd64", X86)
    return [name for rule in profile.syscalls or () for name in rule.names]


def rule(name: str, **conditions: object) -> dict[str, object]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", **conditions}


def test_conditions_choose_rules() -> None:
    rules = [
        rule("a", includes={"caps": ["CAP_X", "CAP_Y"]}),
        rule("b", excludes={"caps": ["CAP_X", "CAP_Z"]}),
        rule("c", includes={"arches": ["amd64", "x32"]}),
        rule("d", includes={"arches": ["arm64"]}),
        rule("e", excludes={"arches": ["amd64"]}),
        rule("f", includes={"minKernel": "4.8"}),
        rule("g", includes={"minKernel": "6.10"}),
        rule("h", excludes={"minKernel": "6.1"}),
        {"name": "i", "action": "SCMP_ACT_ALLOW", "includes": {}, "comment": "one name, as profiles once had"},
    ]
    assert names(rules) == ["b", "c", "f", "i"]
    assert names(rules, "CAP_X", "CAP_Y") == ["a", "c", "f", "i"]


def test_architectures_come_from_the_map() -> None:
    document = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "defaultErrnoRet": 1,
        "archMap": [
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": X86, "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        ],
    }
    profile = parse_profile(json.dumps(document), (), "6.1", X86)
    assert profile.architectures == (X86, "SCMP_ARCH_X86", "SCMP_ARCH_X32")
    assert profile.defaultErrnoRet is None
    assert parse_profile('{"defaultAction":"SCMP_ACT_ALLOW"}', (), "6.1", X86).architectures == (X86,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BAD", "seccomp profile: json: line 1, column 1"),
        ("[]", "seccomp profile: expected an object"),
        ("{}", "seccomp profile: defaultAction: missing"),
        ('{"defaultAction":"SCMP_ACT_MAYBE"}', "seccomp profile: defaultAction: expected one of"),
        ('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":7}', "seccomp profile: syscalls: expected a list"),
        ('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[7]}', "seccomp profile: syscalls: expected a list of objects"),
        (
            '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"]}]}',
            "seccomp profile: both name and names are specified for 'a'",
        ),
        (
            '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"includes":{"minKernel":"six"}}]}',
            "seccomp profile: minKernel: expected a version as 4.8, found 'six'",
        ),
        (
            f'{{"defaultAction":"SCMP_ACT_ALLOW","architectures":["{X86}"],"archMap":[{{"architecture":"{X86}"}}]}}',
            "seccomp profile: both architectures and archMap are specified",
        ),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_profile(text, (), "6.1", X86)
    assert str(caught.value).startswith(message)
