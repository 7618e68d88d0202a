"""Mutated configurations: whatever comes in, out comes a Spec or an error of our own, never another exception."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from utsuwa.errors import Error
from utsuwa.spec import codec
from utsuwa.spec.default import default_spec
from utsuwa.spec.runtime import Spec
from utsuwa.spec.validate import validate

STRANGE = [
    None, True, -1, 0, 1, 2**31, 2**63, 2**64, 10**90, 0.5, "", "/", "..", "a\0b", "\ud800", "é" * 99, "0-3",
    "SCMP_ACT_ALLOW", [], [[]], [None], [""], [{}], {}, {"": ""}, {"a": None}, {"path": "/x"}, {"type": "user"},
    [{"type": "user"}],
]  # fmt: skip


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found.append((value, key))
        _places(value[key], found)
    return found


FULL: dict[str, Any] = {
    "domainname": "x",
    "annotations": {"a": "b"},
    "hooks": {kind: [{"path": "/a", "args": ["a"], "timeout": 3}] for kind in ("prestart", "poststop")},
}
FULL_LINUX: dict[str, Any] = {
    "sysctl": {"kernel.shmmax": "1"},
    "cgroupsPath": "/a",
    "devices": [{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 438}],
    "seccomp": {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}
        ],
    },
    "rootfsPropagation": "slave",
    "intelRdt": {"closID": ""},
    "resources": {
        "devices": [{"allow": True, "type": "c", "major": 1, "minor": -1, "access": "rw"}],
        "memory": {"limit": 10, "swap": 20},
        "cpu": {"cpus": "0", "shares": 2},
        "pids": {"limit": 3},
        "blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 1, "minor": 2, "rate": 3}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 3}],
        "network": {"classID": 1, "priorities": [{"name": "a", "priority": 1}]},
        "unified": {"memory.high": "1"},
    },
}


@pytest.mark.parametrize("rootless", [False, True])
def test_any_mutation_ends_in_a_spec_or_an_error_of_ours(rootless: bool) -> None:
    random_ = random.Random(20 + rootless)
    base = codec.encode(default_spec(rootless, uid=1, gid=1))
    base |= FULL
    base["linux"] |= FULL_LINUX
    validate(codec.decode(Spec, base))
    outcomes = {"accepted": 0, "refused": 0}
    for _ in range(1000):
        document = copy.deepcopy(base)
        for _ in range(random_.randrange(1, 4)):
            holder, key = random_.choice(_places(document, []))
            if random_.random() < 0.2:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(random_.choice(STRANGE))
        text = codec.dumps(document)
        try:
            spec = codec.decode(Spec, text)
            validate(spec)
        except Error as error:
            assert str(error)
            assert "\0" not in str(error)
            outcomes["refused"] += 1
        else:
            assert codec.decode(Spec, codec.dumps(spec)) == spec
            outcomes["accepted"] += 1
    assert min(outcomes.values()) > 20


def test_broken_text_of_a_config_ends_in_an_error_of_ours() -> None:
    random_ = random.Random(5)
    data = codec.dumps(default_spec(), "\t").encode()
    for _ in range(600):
        broken = bytearray(data)
        for _ in range(random_.randrange(1, 4)):
            position = random_.randrange(len(broken))
            broken[position : position + random_.randrange(2)] = random_.randbytes(random_.randrange(3))
        try:
            validate(codec.decode(Spec, bytes(broken[: random_.choice((None, random_.randrange(len(broken))))])))
        except Error as error:
            assert str(error)
