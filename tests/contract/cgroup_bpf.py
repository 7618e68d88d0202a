"""Loading and attaching a device program from Python, for tests only: the executor does it for containers."""

from __future__ import annotations

import ctypes
import os
import struct

_BPF = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _PROG_ATTACH = 5, 8
_CGROUP_DEVICE_PROGRAM, _CGROUP_DEVICE_ATTACH = 15, 6
_ALLOW_MULTI = 2


def attach(program: bytes, directory: str) -> None:
    """Have the kernel verify ``program`` and ask it for the cgroup ``directory`` (bpf(2)); OSError with the errno."""
    instructions = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "<IIQQIIQII16s",
        _CGROUP_DEVICE_PROGRAM,
        len(program) // 8,
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        *(0, 0, 0, 0, 0),
        b"",
    )
    loaded = _bpf(_PROG_LOAD, attributes)
    target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _bpf(_PROG_ATTACH, struct.pack("<IIII", target, loaded, _CGROUP_DEVICE_ATTACH, _ALLOW_MULTI))
    finally:
        os.close(target)
        os.close(loaded)


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(_BPF[os.uname().machine], command, buffer, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)
