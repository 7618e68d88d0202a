"""``--ssh id=KEYFILE``: an ssh agent of the build's own, with the private keys of files.

It is OpenSSH's. It ends with the build, also with one that is killed: the shell beside it reads from a pipe of ours.
"""

from __future__ import annotations

import subprocess

from utsuwa.errors import InvalidArgument, NotFound

_SOCKET = "agent"
_SCRIPT = """
for key; do
    ssh-add -q - <"$key" || { kill "$SSH_AGENT_PID"; exit 1; }
done
echo ready
cat >/dev/null
kill "$SSH_AGENT_PID"
"""
# A passphrase is asked for by a program that knows none: nobody may be there to be asked.
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "force"}


class KeyAgent:
    """An agent with the keys of ``files``, whose socket ``path`` is in an empty directory.

    Raises NotFound without OpenSSH, InvalidArgument for what is no key, or one with a passphrase.
    """

    def __init__(self, name: str, files: list[str], directory: str) -> None:
        self.path = f"{directory}/{_SOCKET}"
        try:
            self._process = subprocess.Popen(
                ["ssh-agent", "-a", _SOCKET, "sh", "-c", _SCRIPT, "sh", *files],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=directory,  # a socket's path may have 107 bytes
                env=_ENVIRONMENT,
            )
        except FileNotFoundError:
            raise NotFound(
                f"ssh {name}: ssh-agent is not installed, which keeps keys of files (install openssh-client, "
                f"or give an agent: --ssh {name}=SOCKET)"
            ) from None
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            said = self._process.communicate()[1].decode("utf-8", "replace").strip().partition("\n")[0]
            raise InvalidArgument(
                f"ssh {name}: {', '.join(files)}: {said or 'no private key'} (keys with a passphrase are given by an "
                f"agent: ssh-add, --ssh {name})"
            )

    def close(self) -> None:
        """End it."""
        self._process.communicate()
