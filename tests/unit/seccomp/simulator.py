"""What the kernel would answer: classic BPF run over struct seccomp_data, with the checks of its verifier.

See Documentation/userspace-api/seccomp_filter.rst and kernel/seccomp.c (seccomp_check_filter).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_WORD_AT = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_RETURN = 0x06  # BPF_RET | BPF_K
_CONDITIONS = {
    0x15: lambda a, k: a == k,
    0x25: lambda a, k: a > k,
    0x35: lambda a, k: a >= k,
    0x45: lambda a, k: bool(a & k),
}

Program = list[tuple[int, int, int, int]]


def parse(filter: bytes) -> Program:
    """struct sock_filter[] as (code, jt, jf, k)."""
    assert len(filter) % 8 == 0
    return list(struct.iter_unpack("<HBBI", filter))


def verify(program: Program) -> None:
    """Fail where the kernel's verifier would: size, opcodes, jumps past the end, no return at the end."""
    assert 0 < len(program) <= 4096
    for at, (code, yes, no, k) in enumerate(program):
        if code == _WORD_AT:
            assert k % 4 == 0 and k < 64, f"load of {k} at {at}"
        elif code == _JUMP:
            assert at + 1 + k < len(program), f"jump past the end at {at}"
        elif code in _CONDITIONS:
            assert at + 1 + max(yes, no) < len(program), f"branch past the end at {at}"
        else:
            assert code in (_AND, _RETURN), f"unexpected instruction {code:#x} at {at}"
    assert program[-1][0] == _RETURN


def run(program: Program, audit_arch: int, number: int, arguments: Sequence[int] = ()) -> int:
    """The verdict (SECCOMP_RET_*) for one call."""
    padded = (tuple(arguments) + (0,) * 6)[:6]
    data = struct.unpack("<16I", struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit_arch, 0x7F0000001000, *padded))
    accumulator = at = 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        if code == _WORD_AT:
            accumulator = data[k >> 2]
        elif code == _AND:
            accumulator &= k
        elif code == _JUMP:
            at += k
        elif code == _RETURN:
            return k
        else:
            at += yes if _CONDITIONS[code](accumulator, k) else no
