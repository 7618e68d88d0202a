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


@contextmanager
def running(root: Path) -> Iterator[str]:
    """Start a registry that keeps its things beneath ``root``; yields ``127.0.0.1:port``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    (root / "config.yml").write_text(_CONFIG.format(root=root, host=host))
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
