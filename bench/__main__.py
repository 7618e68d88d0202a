"""`./dev bench [name ...]`: run the named benchmarks, or all of them."""

from __future__ import annotations

import importlib
import sys

NAMES = ("imports", "start", "verbs", "engine", "pull", "peers", "scale")


def main() -> None:
    """Run each benchmark by name and print its tables."""
    wanted = sys.argv[1:] or NAMES
    for name in wanted:
        if name not in NAMES:
            raise SystemExit(f"bench: no benchmark called {name}, there are {', '.join(NAMES)}")
        importlib.import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
