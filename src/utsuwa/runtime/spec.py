"""`urun spec`: a configuration to begin with."""

from __future__ import annotations

import os

from utsuwa.errors import Conflict, from_oserror
from utsuwa.runtime.bundle import CONFIG


def write_spec(bundle: str, rootless: bool = False) -> None:
    """Write the default config.json into the directory ``bundle``. Raises Conflict when there is one."""
    from utsuwa.linux.host import probe
    from utsuwa.spec.codec import dumps, encode
    from utsuwa.spec.default import default_spec

    chosen = default_spec(rootless=rootless, cgroup2=probe().cgroup_mode == "v2")
    text = dumps(encode(chosen), indent="\t") + "\n"
    path = os.path.join(bundle, CONFIG)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Conflict(f"File {CONFIG} exists. Remove it first") from None
    except OSError as error:
        raise from_oserror(error, f"write {path}") from error
    with open(descriptor, "wb", buffering=0) as file:
        file.write(text.encode())
