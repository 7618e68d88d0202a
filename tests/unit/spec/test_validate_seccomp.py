"""What the seccomp filter of a config.json must satisfy, each rule by a filter that breaks it."""

from __future__ import annotations

import pytest

from tests.unit.spec.test_validate import RULE, changed, verdict

BAD = [
    ({}, "linux.seccomp.defaultAction: missing, expected one of "),
    (
        {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1},
        "linux.seccomp.defaultErrnoRet: goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only, the action is SCMP_ACT_ALLOW",
    ),
    (
        {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [RULE | {"errnoRet": 1}]},
        "linux.seccomp.syscalls[0].errnoRet: goes with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only, "
        "the action is SCMP_ACT_ALLOW",
    ),
    (
        {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [RULE | {"names": []}]},
        "linux.seccomp.syscalls[0].names: must not be empty",
    ),
    (
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [RULE | {"args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}],
        },
        "linux.seccomp.syscalls[0].args[0].index: a system call has arguments 0 to 5, found 6",
    ),
    (
        {"defaultAction": "SCMP_ACT_ERRNO", "listenerMetadata": "x"},
        "linux.seccomp.listenerMetadata: must not be set without listenerPath",
    ),
    (
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_NOTIFY"}]},
        "linux.seccomp.listenerPath: missing, syscalls[0] asks it by SCMP_ACT_NOTIFY",
    ),
    (
        {"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/run/x"},
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be used as default action",
    ),
    (
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": "/run/x",
            "syscalls": [{"names": ["a", "write"], "action": "SCMP_ACT_NOTIFY"}],
        },
        "linux.seccomp.syscalls[0].names: SCMP_ACT_NOTIFY cannot be used for the write syscall",
    ),
]


@pytest.mark.parametrize(("seccomp", "message"), BAD, ids=range(len(BAD)))
def test_refuses(seccomp: object, message: str) -> None:
    found = verdict(changed("linux/seccomp", seccomp))
    assert found.startswith(message) if message.endswith(" ") else found == message


def test_crun_s_annotation_stands_for_the_listener_s_path() -> None:
    document = changed(
        "linux/seccomp",
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_NOTIFY"}]},
    )
    assert verdict(document | {"annotations": {"run.oci.seccomp.receiver": "/run/x"}}) == ""
