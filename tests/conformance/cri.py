"""As much of a kubelet as conformance needs: CRI v1 calls over gRPC, with messages written by field numbers.

The numbers are those of k8s.io/cri-api/pkg/apis/runtime/v1/api.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc

Message = Mapping[int, Any]
CREATED, RUNNING, EXITED = 0, 1, 2
POD, NODE = 0, 2


def encode(message: Message) -> bytes:
    """Field number -> int, str, bytes, message, or a list of them, as protocol buffers have it on the wire."""
    out = bytearray()
    for number, value in message.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, int):
                out += _varint(number << 3) + _varint(each & (1 << 64) - 1)
            else:
                data = each.encode() if isinstance(each, str) else each if isinstance(each, bytes) else encode(each)
                out += _varint(number << 3 | 2) + _varint(len(data)) + data
    return bytes(out)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def decode(data: bytes) -> dict[int, Any]:
    """Field number -> the last int or bytes of that number; nested messages are decoded by who knows them."""
    found: dict[int, Any] = {}
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        value: Any = number()
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        found[key >> 3] = value
    return found


class Runtime:
    """The RuntimeService, and the ImageService, at a Unix socket."""

    def __init__(self, socket: str) -> None:
        self._channel = grpc.insecure_channel(f"unix://{socket}")

    def __call__(self, method: str, request: Message, service: str = "Runtime") -> dict[int, Any]:
        """The response. Raises grpc.RpcError."""
        call = self._channel.unary_unary(
            f"/runtime.v1.{service}Service/{method}", request_serializer=encode, response_deserializer=decode
        )
        response: dict[int, Any] = call(request, timeout=60)
        return response

    def close(self) -> None:
        """Let go of the socket."""
        self._channel.close()

    def execute(self, container: str, *words: str) -> tuple[int, str]:
        """Exit code and output of one more program."""
        done = self("ExecSync", {1: container, 2: list(words), 3: 30})
        return done.get(3, 0), done.get(1, b"").decode()

    def status(self, container: str) -> tuple[int, int, str]:
        """State, exit code and reason."""
        status = decode(self("ContainerStatus", {1: container})[1])
        return status.get(3, 0), status.get(7, 0), status.get(10, b"").decode()
