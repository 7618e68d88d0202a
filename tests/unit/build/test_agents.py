"""What passes between a container and the user's ssh agent."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from utsuwa.build.agents import Agent


def message(kind: int, text: bytes = b"") -> bytes:
    return (len(text) + 1).to_bytes(4, "big") + bytes([kind]) + text


def test_keys_may_be_used_and_not_changed(tmp_path: Path) -> None:
    heard: list[int] = []
    real = socket.socket(socket.AF_UNIX)
    real.bind(str(tmp_path / "real"))
    real.listen()

    def answer() -> None:
        peer, _ = real.accept()
        with peer:
            while head := peer.recv(4):
                body = peer.recv(int.from_bytes(head, "big"))
                heard.append(body[0])
                peer.sendall(message(body[0] + 1, b"answer"))

    thread = threading.Thread(target=answer)
    thread.start()
    agent = Agent("default", str(tmp_path / "real"), str(tmp_path / "ours"), (0, 0), 0o600)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(tmp_path / "ours"))
        for kind, expected in ((11, message(12, b"answer")), (19, message(5)), (13, message(14, b"answer"))):
            client.sendall(message(kind, b"question"))
            assert client.recv(100) == expected
        agent.close()
        assert client.recv(1) == b""
    thread.join(10)
    real.close()
    assert heard == [11, 13]
    assert not (tmp_path / "ours").exists()
