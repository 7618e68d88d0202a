"""A program that is killed at any moment loses no container that runs, and leaves nothing of one that did not yet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import utsuwa
from tests.integration.household import IMAGE, Household, until
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]
PROGRAM = f"""
import sys, utsuwa
engine = utsuwa.Engine(sys.argv[1], sys.argv[2])
engine.images.get({IMAGE!r})
print("ready", flush=True)
command = ["sh", "-c", "read x; exit 3"]
engine.run({IMAGE!r}, command, input="x" * (1 << 20), name="orphan", check=False)
"""


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 4, 8, 16, 32])
def test_a_program_that_is_killed(engine: utsuwa.Engine, house: Household, milliseconds: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(house.root), str(house.run_directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        time.sleep(milliseconds / 1000)
        os.kill(program.pid, signal.SIGKILL)
    # Its container ends when it finds nothing more to read, and goes; one that had not begun is found and removed.
    until(lambda: not engine.containers.list(all=True))
    until(lambda: house.leftovers() == [], house.leftovers)
    assert engine.run(IMAGE, ["echo", "on"], name="orphan").text == "on\n"
