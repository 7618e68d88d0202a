"""Cold start: `urun run` of /bin/true against crun and runc, with rests between (as in use) and back to back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.measure import Candidate, interleave, table

URUN = Path(__file__).resolve().parent.parent / ".venv/bin/urun"


def bundle(directory: Path) -> Path:
    """A busybox bundle with the runtime's default configuration, /bin/true as its process."""
    rootfs = directory / "rootfs"
    (rootfs / "bin").mkdir(parents=True)
    for name in ("dev", "etc", "proc", "sys", "tmp"):
        (rootfs / name).mkdir()
    shutil.copy("/bin/busybox", rootfs / "bin/busybox")
    os.link(rootfs / "bin/busybox", rootfs / "bin/true")
    subprocess.run([URUN, "spec", "-b", directory], check=True)
    config = json.loads((directory / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["/bin/true"]}
    config["process"].pop("rlimits", None)
    config["ociVersion"] = "1.0.2"  # crun 1.8 knows no later one
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def on_unified(argv: list[str]) -> list[str]:
    """crun refuses a hybrid host whose unified hierarchy has no controllers: hide that hierarchy from it."""
    if not os.path.isdir("/sys/fs/cgroup/unified"):
        return argv
    return ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup/unified; exec "$@"', "-", *argv]


def candidates(root: Path) -> list[Candidate]:
    """The runtimes that are installed, ours first."""
    found = [Candidate("urun", [str(URUN), "--root", f"{root}/u", "run", "-b", str(root), "bench-urun"])]
    for name in ("crun", "runc"):
        if shutil.which(name):
            found.append(Candidate(name, [name, "--root", f"{root}/{name}", "run", "-b", str(root), f"bench-{name}"]))
    return found


def main() -> None:
    """Print the tables of the cold start."""
    with tempfile.TemporaryDirectory(prefix="utsuwa-bench-") as temporary:
        root = bundle(Path(temporary))
        runs = candidates(root)
        if os.path.isdir("/sys/fs/cgroup/unified") and os.environ.get("UTSUWA_BENCH_NS") != "1":
            # All candidates run inside one mount namespace that hides it, so that none pays for the wrapper.
            environment = os.environ | {"UTSUWA_BENCH_NS": "1"}
            subprocess.run(on_unified([sys.executable, "-m", "bench", "start"]), check=True, env=environment)
            return
        table("cold start of /bin/true, 60 ms apart [ms]", interleave(runs, 25, idle=0.06))
        table("cold start of /bin/true, back to back [ms]", interleave(runs, 40))


if __name__ == "__main__":
    main()
