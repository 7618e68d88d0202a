"""Reading a container's lines back from systemd's journal, with journalctl(1)."""

from __future__ import annotations

from utsuwa.engine.logs import Line
from utsuwa.errors import Error, Unsupported
from utsuwa.monitor.jsonlog import Clock
from utsuwa.spec.codec import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def read(identifier: str, tail: int | None, follow: bool) -> Iterator[Line]:
    """The lines of a container, the last ``tail`` of them; with ``follow`` it never ends. Raises Unsupported without
    journalctl.
    """
    import subprocess

    words = ["journalctl", "--quiet", "--no-pager", "--output=json", "--all", f"CONTAINER_ID_FULL={identifier}"]
    words += [f"--lines={'all' if tail is None else tail}", *(["--follow"] if follow else [])]
    try:
        reader = subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise Unsupported("the log is in the journal, and there is no journalctl to read it with") from None
    assert reader.stdout is not None
    clock = Clock()
    try:
        for record in reader.stdout:
            line = line_of(record, clock)
            if line:
                yield line
    finally:
        reader.kill()
        reader.communicate()


def line_of(record: bytes, clock: Clock) -> Line | None:
    """The line of a message as journalctl prints it, None when it is none; text that is not UTF-8 comes as numbers."""
    try:
        found = parse(record)
        text = found["MESSAGE"]
        if isinstance(text, list):
            text = bytes(text).decode("utf-8", "replace")
        end = "" if found.get("CONTAINER_PARTIAL_MESSAGE") == "true" else "\n"
        stream = "stderr" if found.get("PRIORITY") == "3" else "stdout"
        return Line(text + end, stream, clock.text(int(found["__REALTIME_TIMESTAMP"]) * 1000))
    except (Error, KeyError, TypeError, ValueError):
        return None
