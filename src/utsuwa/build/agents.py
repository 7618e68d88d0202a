"""``RUN --mount=type=ssh``: the user's ssh agent handed into a container.

Not the agent's own socket: it may belong to somebody whose user the container does not have, and whoever reaches it can
add keys and remove them. What is handed in is a socket of ours, and what passes it is asking for keys and signing with
them (draft-miller-ssh-agent, section 3).
"""

from __future__ import annotations

import os
import threading
from socket import AF_UNIX, SHUT_RDWR, SOCK_CLOEXEC, SOCK_STREAM, socket

from utsuwa.errors import InvalidArgument, NotFound, from_oserror
from utsuwa.runtime.console import through_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_REQUEST_IDENTITIES, _SIGN_REQUEST = 11, 13
_PASSED = (_REQUEST_IDENTITIES, _SIGN_REQUEST)
_FAILURE = b"\0\0\0\1\5"
_LONGEST = 256 << 10
"""Bytes of one message, as OpenSSH has it."""


def parse(texts: list[str], agent_of: Callable[[str, list[str]], str]) -> dict[str, str]:
    """The agents' sockets by id, of ``default``, ``id=SOCKET`` and ``id=KEYFILE,…``; ``agent_of`` makes one for an id
    and its files. Raises NotFound, InvalidArgument.
    """
    found = {}
    for text in texts:
        name, _, place = text.partition("=")
        place = place or os.environ.get("SSH_AUTH_SOCK", "")
        if not name:
            raise InvalidArgument(f"invalid ssh {text!r} (default, id=SOCKET or id=KEYFILE)")
        if not place:
            raise NotFound(f"ssh {name}: SSH_AUTH_SOCK is not set (start ssh-agent, or give --ssh {name}=SOCKET)")
        if name in found:
            raise InvalidArgument(f"ssh {name} is given more than once")
        files = [os.path.abspath(each) for each in place.split(",")]
        is_key = all(map(os.path.isfile, files))
        found[name] = agent_of(name, files) if is_key else os.path.abspath(place)
        _connect(name, found[name]).close()
    return found


def _connect(name: str, path: str) -> socket:
    agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    try:
        through_directory(path, agent.connect)
    except OSError as error:
        agent.close()
        raise from_oserror(error, f"ssh {name}: connect to the agent at {path}") from error
    return agent


class Agent:
    """A socket at ``path`` behind which the agent at ``target`` is to be found, until it is closed."""

    def __init__(self, name: str, target: str, path: str, owner: tuple[int, int], mode: int) -> None:
        self.path = path
        self._name, self._target = name, target
        self._open: set[socket] = set()
        self._guard = threading.Lock()
        self._listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        through_directory(path, self._listener.bind)
        os.chmod(path, mode)
        os.chown(path, *owner)
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve, name="utsuwa-ssh", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody."""
        self._listener.shutdown(SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        with self._guard:
            for connection in self._open:
                connection.shutdown(SHUT_RDWR)
        os.unlink(self.path)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            with self._guard:
                self._open.add(client)
            threading.Thread(target=self._attend, args=(client,), name="utsuwa-ssh-client", daemon=True).start()

    def _attend(self, client: socket) -> None:
        """One connection: a question, its answer, and so on."""
        try:
            with client, _connect(self._name, self._target) as agent:
                while (question := _message(client)) is not None:
                    if question[4] not in _PASSED:
                        client.sendall(_FAILURE)
                        continue
                    agent.sendall(question)
                    answer = _message(agent)
                    if answer is None:
                        return
                    client.sendall(answer)
        except Exception:  # the client, or the agent, has gone: whoever still asks sees the connection end
            return
        finally:
            with self._guard:
                self._open.discard(client)


def _message(peer: socket) -> bytes | None:
    """A whole message with its length, None at the end, and for one that is none."""
    head = _exactly(peer, 4)
    length = int.from_bytes(head, "big")
    if len(head) < 4 or not 0 < length <= _LONGEST:
        return None
    body = _exactly(peer, length)
    return head + body if len(body) == length else None


def _exactly(peer: socket, count: int) -> bytes:
    found = b""
    while len(found) < count and (more := peer.recv(count - len(found))):
        found += more
    return found
