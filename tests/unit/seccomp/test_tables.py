"""The checked-in system call tables are what their generator writes, and what this kernel's headers say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.needs import needs
from tests.unit.seccomp import tables
from utsuwa.seccomp.syscalls import numbers

_HEADERS = {"SCMP_ARCH_X86_64": "unistd_64.h", "SCMP_ARCH_X86": "unistd_32.h"}


@needs("libseccomp")
def test_the_generator_would_write_the_same() -> None:
    assert tables.TARGET.read_text() == tables.source()


@pytest.mark.parametrize("architecture", sorted(_HEADERS))
def test_the_kernel_headers_agree(architecture: str) -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm") / _HEADERS[architecture]
    if not header.exists():
        pytest.skip(f"no {header}")
    listed = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
    assert len(listed) > 300
    known = numbers(architecture)
    assert {name: known.get(name) for name in listed} == listed


def test_x32_numbers_carry_their_bit() -> None:
    known = numbers("SCMP_ARCH_X32")
    assert known["read"] == 0x40000000
    assert known["execve"] == 0x40000000 + 520
