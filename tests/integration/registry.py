"""Debian's docker-registry on a free loopback port, and skopeo to fill it."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}/storage}}}}
http: {{addr: "{host}"}}
"""
# user:secret, as htpasswd -B has it; docker-registry takes bcrypt alone
_LOGIN = "user:$2b$05$wX3lKDP9AcTM2SPF0BtpBO/WHbf6KKkKCJzYIlyRKLnvQS/tRjpTO\n"


@contextmanager
def running(root: Path, *, login: bool = False) -> Iterator[str]:
    """Start a registry that keeps its things beneath ``root``; yields ``127.0.0.1:port``. ``login``: it is for ``user``
    with the password ``secret``.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config = _CONFIG.format(root=root, host=host)
    if login:
        (root / "htpasswd").write_text(_LOGIN)
        config += f"auth: {{htpasswd: {{realm: tests, path: {root}/htpasswd}}}}\n"
    (root / "config.yml").write_text(config)
    with open(root / "log", "wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", root / "config.yml"], stdout=log, stderr=log)
    try:
        _await(host, process)
        yield host
    finally:
        process.terminate()
        process.wait()


def _await(host: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the registry answers; there is no event to wait for, only its port."""
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://{host}/v2/", timeout=5):
                return
        except urllib.error.HTTPError:  # it wants a login, so it is there
            return
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > until or process.poll() is not None:
                raise
            time.sleep(0.02)


def push(source: str, target: str, *options: str) -> None:
    """``skopeo copy`` of ``source`` to ``target`` (host/name:tag) without TLS."""
    subprocess.run(
        [
            "skopeo",
            "copy",
            "-q",
            "--insecure-policy",
            "--dest-tls-verify=false",
            *options,
            source,
            f"docker://{target}",
        ],
        check=True,
        capture_output=True,
    )
