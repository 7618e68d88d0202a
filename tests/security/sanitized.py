"""What executes plans, built so that the compiler's sanitizers end it where it does what C leaves undefined."""

from __future__ import annotations

import subprocess
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SOURCES = _HERE.parents[1] / "src/utsuwa/init/c"


def executor(directory: Path) -> Path:
    """The executor itself: it has no C library, so what is found traps (SIGILL)."""
    program = directory / "utsuwa-init"
    compiler = "cc -fsanitize=undefined -fsanitize-undefined-trap-on-error"
    subprocess.run(["make", "-s", "-C", str(_SOURCES), f"OUT={program}", f"CC={compiler}"], check=True)
    return program


def decoder(directory: Path) -> Path:
    """Its decoder alone, in a program with a C library, whose every access to memory is checked."""
    program = directory / "decoder"
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [str(_HERE / "decoder.c"), str(_SOURCES / "decode.c")]
    subprocess.run(
        ["cc", "-std=gnu11", "-O1", "-g", *checks, f"-I{_SOURCES}", *sources, "-o", str(program)], check=True
    )
    return program
