"""``--progress rawjson``: steps as BuildKit's clients tell them to programs, one JSON document a line."""

from __future__ import annotations

import time
from base64 import b64encode

from utsuwa.build.progress import Progress
from utsuwa.spec import codec, digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from utsuwa.build.progress import Step

_STDOUT = 1


class RawJson(Progress):
    """``vertexes`` for what begins and ends, ``logs`` for what is printed, its bytes in base64."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._begun: dict[int, str] = {}

    def tell(self, step: Step, kind: str, text: str) -> None:
        """One line."""
        now = _stamp(time.time_ns())
        name = digest.of(f"{step.number} {step.title}".encode("utf-8", "surrogateescape"))
        if kind in ("output", "note"):
            said = text.partition(" ")[2] if kind == "output" else text
            data = b64encode(f"{said}\n".encode("utf-8", "surrogateescape")).decode()
            told = {"logs": [{"vertex": name, "stream": _STDOUT, "data": data, "timestamp": now}]}
        else:
            started = self._begun.setdefault(step.number, now)
            vertex: dict[str, object] = {"digest": name, "name": step.title, "started": started}
            if kind == "end":
                vertex["completed"] = now
                if text == "CACHED":
                    vertex["cached"] = True
                elif text.startswith("ERROR: "):
                    vertex["error"] = text.removeprefix("ERROR: ")
            told = {"vertexes": [vertex]}
        self._out.write(codec.dumps(told) + "\n")
        self._out.flush()


def _stamp(moment: int) -> str:
    seconds, rest = divmod(moment, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09}Z"
