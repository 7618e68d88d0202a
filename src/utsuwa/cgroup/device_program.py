"""Device access on cgroup v2: an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE (linux/bpf.h, bpf(2)).

The kernel runs it at every open and mknod of a device with a ``struct bpf_cgroup_dev_ctx`` of three 32-bit fields:
access and type (access in the high 16 bits), major, minor. It answers 1 to allow. The program asks each exception in
turn, and answers with the default at the end; it has no loops and no memory besides registers.
"""

from __future__ import annotations

from struct import Struct

from utsuwa.cgroup.devices import ANY, MKNOD, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.cgroup.devices import Access, Node

_INSTRUCTION = Struct("<BBhi")
_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
_ALL = READ | WRITE | MKNOD

_LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOVE_REGISTER = 0xBC  # BPF_ALU | BPF_MOV | BPF_X
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_SHIFT_RIGHT = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_JUMP_EQUAL = 0x16  # BPF_JMP32 | BPF_JEQ | BPF_K: 32 bits, so that a number above 2**31 is not sign-extended
_JUMP_NOT_EQUAL = 0x56  # BPF_JMP32 | BPF_JNE | BPF_K
_MOVE = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_EXIT = 0x95  # BPF_JMP | BPF_EXIT

_VERDICT, _SCRATCH, _TYPE, _ACCESS, _MAJOR, _MINOR = range(6)  # registers; r1 comes in as the context


def assemble(access: Access) -> bytes | None:
    """The instructions, 8 bytes each; None when everything is allowed and there is nothing to attach."""
    if access.default_allow and not access.exceptions:
        return None
    program = [
        _instruction(_LOAD_WORD, _TYPE, source=1, offset=0),
        _instruction(_LOAD_WORD, _MAJOR, source=1, offset=4),
        _instruction(_LOAD_WORD, _MINOR, source=1, offset=8),
        _instruction(_MOVE_REGISTER, _ACCESS, source=_TYPE),
        _instruction(_AND, _TYPE, value=0xFFFF),
        _instruction(_SHIFT_RIGHT, _ACCESS, value=16),
    ]
    for node, mask in sorted(access.exceptions.items()):
        program += _exception(node, mask, access.default_allow)
    program += _answer(access.default_allow)
    return b"".join(program)


def _exception(node: Node, mask: int, default_allow: bool) -> list[bytes]:
    """Answer the opposite of the default when the exception matches, else fall through to what follows."""
    kind, major, minor = node
    tests: list[tuple[int, int, int]] = [(_JUMP_NOT_EQUAL, _TYPE, _TYPES[kind])]
    if major != ANY:
        tests.append((_JUMP_NOT_EQUAL, _MAJOR, major))
    if minor != ANY:
        tests.append((_JUMP_NOT_EQUAL, _MINOR, minor))
    narrow: list[bytes] = []
    if default_allow:
        # A denial needs only a part of the access.
        narrow = [_instruction(_MOVE_REGISTER, _SCRATCH, source=_ACCESS), _instruction(_AND, _SCRATCH, value=mask)]
        last = (_JUMP_EQUAL, _SCRATCH, 0)
    elif mask != _ALL:
        # A permission must cover the whole access.
        narrow = [_instruction(_MOVE_REGISTER, _SCRATCH, source=_ACCESS), _instruction(_AND, _SCRATCH, value=~mask)]
        last = (_JUMP_NOT_EQUAL, _SCRATCH, 0)
    ending = _answer(not default_allow)
    behind = len(narrow) + bool(narrow) + len(ending)
    block = [
        _instruction(code, register, value=value, offset=len(tests) - 1 - index + behind)
        for index, (code, register, value) in enumerate(tests)
    ]
    if narrow:
        code, register, value = last
        block += [*narrow, _instruction(code, register, value=value, offset=len(ending))]
    return block + ending


def _answer(allow: bool) -> list[bytes]:
    return [_instruction(_MOVE, _VERDICT, value=int(allow)), _instruction(_EXIT, 0)]


def _instruction(code: int, target: int, *, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    value &= 0xFFFF_FFFF
    return _INSTRUCTION.pack(code, target | source << 4, offset, value - (1 << 32) if value >> 31 else value)
