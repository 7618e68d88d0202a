"""The executor's decoder against plans of random operations, whole or damaged, under the compiler's sanitizers.

python -m tests.security.fuzz_decoder [RUNS] [FIRST]      100 000 plans
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.security.fuzz_plan import plan
from tests.security.sanitized import decoder

_AT_ONCE = 5000


def campaign(program: Path, first: int, runs: int) -> tuple[int, int]:
    """How many of the plans number ``first`` and on were accepted, and how many refused. Raises AssertionError."""
    totals = [0, 0]
    for begin in range(first, first + runs, _AT_ONCE):
        seeds = range(begin, min(begin + _AT_ONCE, first + runs))
        plans = [plan(random.Random(f"plan {seed}"), 50, 51) for seed in seeds]
        given = b"".join([len(each).to_bytes(8, "little") + each for each in plans])
        done = subprocess.run(
            [program],
            input=given,
            capture_output=True,
            timeout=300,
            check=False,
            env={"ASAN_OPTIONS": "detect_leaks=0"},
        )
        assert done.returncode == 0, f"plans {seeds}: {done.returncode}: {done.stderr.decode()[-2000:]}"
        accepted, refused, _ = map(int, done.stdout.split())
        assert accepted + refused == len(plans), f"plans {seeds}: {len(plans) - accepted - refused} were not seen"
        totals = [totals[0] + accepted, totals[1] + refused]
    return totals[0], totals[1]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        arguments = [int(word) for word in sys.argv[1:]] + [100_000, 0][len(sys.argv) - 1 :]
        print("{} accepted, {} refused, no problem".format(*campaign(decoder(Path(made)), arguments[1], arguments[0])))
