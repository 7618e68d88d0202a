"""libseccomp through ctypes: the reference that our compiler and our tables are measured against."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from collections.abc import Sequence

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
ARCHITECTURES = {
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_ARM": 0x40000028,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
}
"""The library's own tokens; x32's is made up by it, the others are the kernel's AUDIT_ARCH_*."""


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def _load() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("seccomp")
    if name is None:
        return None
    library = ctypes.CDLL(name, use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_release.restype = None
    library.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_arch_remove.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Compare),
    )
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_syscall_resolve_num_arch.argtypes = (ctypes.c_uint32, ctypes.c_int)
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    return library


_library = _load()
_libc = ctypes.CDLL(None)
_libc.free.argtypes = (ctypes.c_void_p,)


def present() -> bool:
    """The shared library is installed."""
    return _library is not None


def native() -> int:
    """The token of the architecture that the library was built for."""
    assert _library is not None
    return int(_library.seccomp_arch_native())


def name_of(architecture: str, number: int) -> str | None:
    """The name that the library has for ``number``, None where it knows none."""
    assert _library is not None
    token = ctypes.c_uint32(ARCHITECTURES[architecture])
    pointer = _library.seccomp_syscall_resolve_num_arch(token, ctypes.c_int32(number))
    if not pointer:
        return None
    text = ctypes.string_at(pointer).decode()
    _libc.free(pointer)
    return text


def knows(name: str) -> bool:
    """The library's tables have this system call, on whichever architecture."""
    assert _library is not None
    return bool(_library.seccomp_syscall_resolve_name(name.encode()) != -1)


class Filter:
    """A libseccomp filter under construction; ``with`` releases it."""

    def __init__(self, default: int, architectures: Sequence[str]) -> None:
        assert _library is not None
        self._library = _library
        self._handle = _library.seccomp_init(default)
        assert self._handle
        for architecture in architectures:
            token = ARCHITECTURES[architecture]
            if token != native():
                self._check(_library.seccomp_arch_add(self._handle, token))
        if native() not in [ARCHITECTURES[name] for name in architectures]:
            self._check(_library.seccomp_arch_remove(self._handle, native()))

    def __enter__(self) -> Filter:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.seccomp_release(self._handle)

    @staticmethod
    def _check(result: int) -> None:
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def add(self, name: str, action: int, conditions: Sequence[tuple[int, str, int, int]] = ()) -> bool:
        """Add one rule; False where the library does not know the system call.

        A condition is (argument index, operator, first datum, second datum).
        """
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return False
        array = (_Compare * max(1, len(conditions)))()
        for slot, (index, operator, first, second) in zip(array, conditions, strict=False):
            slot.arg, slot.op, slot.datum_a, slot.datum_b = index, OPERATORS[operator], first, second
        self._check(self._library.seccomp_rule_add_array(self._handle, action, number, len(conditions), array))
        return True

    def export(self) -> bytes:
        """The program as struct sock_filter[]."""
        descriptor = os.memfd_create("libseccomp")
        try:
            self._check(self._library.seccomp_export_bpf(self._handle, descriptor))
            size = os.lseek(descriptor, 0, os.SEEK_END)
            return os.pread(descriptor, size, 0)
        finally:
            os.close(descriptor)
