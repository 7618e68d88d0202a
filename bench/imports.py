"""The lean budget: what `urun state` costs over the bare interpreter."""

from __future__ import annotations

import tempfile

from bench.measure import Candidate, interleave, table
from bench.start import URUN


def main() -> None:
    """Print the start-up table: bare interpreter, then the smallest verb."""
    with tempfile.TemporaryDirectory(prefix="utsuwa-bench-") as root:
        figures = interleave(
            [
                Candidate("python3 -I -S -c pass", ["/usr/bin/python3", "-I", "-S", "-c", "pass"]),
                Candidate("urun --root DIR list", [str(URUN), "--root", root, "list", "-q"]),
                Candidate("urun --version", [str(URUN), "--version"]),
            ],
            40,
        )
    table("lean budget: at most 3 ms over the bare interpreter [ms]", figures)


if __name__ == "__main__":
    main()
