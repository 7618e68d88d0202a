"""Cold start: `urun run` of /bin/true against crun and runc, with rests between (as in use) and back to back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
    """A command in a mount namespace of its own. crun refuses a hybrid host whose unified hierarchy has no controllers:
    hide that hierarchy from it.
    """
    hide = "[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified"
    return ["unshare", "-m", "sh", "-c", f'{hide}; exec "$@"', "-", *argv]


def alone(name: str) -> bool:
    """Whether this process is the benchmark ``name`` in such a namespace; if not, it has been run there by now.

    All candidates are run there, so that none pays for getting in.
    """
    if os.environ.get("UTSUWA_BENCH_NS") == "1":
        return True
    environment = os.environ | {"UTSUWA_BENCH_NS": "1"}
    subprocess.run(on_unified([sys.executable, "-m", "bench", name]), check=True, env=environment)
    return False


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for bundles and the runtimes' roots, in memory, as /run is where runtimes keep these."""
    with tempfile.TemporaryDirectory(prefix="utsuwa-bench-") as temporary:
        subprocess.run(["mount", "-t", "tmpfs", "none", temporary], check=True)
        try:
            yield Path(temporary)
        finally:
            subprocess.run(["umount", "-l", temporary], check=True)


def candidates(root: Path) -> list[Candidate]:
    """The runtimes that are installed, ours first."""
    found = [Candidate("urun", [str(URUN), "--root", f"{root}/u", "run", "-b", str(root), "bench-urun"])]
    for name in ("crun", "runc"):
        if shutil.which(name):
            found.append(Candidate(name, [name, "--root", f"{root}/{name}", "run", "-b", str(root), f"bench-{name}"]))
    return found


def main() -> None:
    """Print the tables of the cold start."""
    if not alone("start"):
        return
    with scratch() as root:
        runs = candidates(bundle(root))
        table("cold start of /bin/true, 60 ms apart [ms]", interleave(runs, 25, idle=0.06))
        table("cold start of /bin/true, back to back [ms]", interleave(runs, 40))
        table(
            "cold start of a configuration never seen, 60 ms apart [ms]", interleave(unseen(runs, root), 25, idle=0.06)
        )


def unseen(runs: list[Candidate], root: Path) -> list[Candidate]:
    """The same candidates, but nobody has started the like before: no plan of it is kept."""
    path = root / "config.json"

    def change() -> None:
        path.write_text(path.read_text() + " ")

    return [Candidate(each.name, each.argv, before=change) for each in runs]


if __name__ == "__main__":
    main()
