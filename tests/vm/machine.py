"""The virtual machine: its disks, its boot, and the exit status that it leaves."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.vm import disks, initramfs

ROOT = Path(__file__).resolve().parents[2]

OURS = ["-q", "-k", "not crun and not runc"]
OCI = ("checkpoint", "cli", "config", "exec", "labels", "limits", "notify", "rootless")
FILES = ["tests/contract/test_cgroup_manager.py", *(f"tests/contract/test_oci_{part}.py" for part in OCI)]
DEFAULT = [*OURS, "-m", "cgroups", *FILES]
REQUIRED = "root,cgroup2"
SYSTEMD = [*OURS, "tests/contract/test_systemd_cgroup.py", "tests/conformance/test_podman_systemd.py"]
BOOT_SECONDS = 150
BOOT_ATTEMPTS = 2
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet loglevel=3 panic=-1 reboot=t no_timer_check cgroup_no_v1=all psi=1 random.trust_cpu=on"
)
SYSTEMD_ARGUMENTS = "utsuwa.systemd systemd.show_status=no systemd.log_target=console systemd.log_level=warning"


def main(arguments: list[str]) -> int:
    """Boot, run, and return the command's status."""
    if not arguments:
        return max(leg(DEFAULT, systemd=False), leg(SYSTEMD, systemd=True))
    systemd = arguments[0] == "--systemd"
    return leg(arguments[systemd:] or SYSTEMD, systemd=systemd)


def leg(arguments: list[str], *, systemd: bool) -> int:
    """One machine, whose first process is a shell or systemd."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        sys.exit("tests/vm: qemu-system-x86_64 is missing: apt-get install qemu-system-x86")
    kernel, modules = disks.kernel()
    (site_packages,) = (ROOT / ".venv/lib").glob("python3*/site-packages")
    root_image = disks.root_image(site_packages)
    with tempfile.TemporaryDirectory(prefix="utsuwa-vm-") as scratch:
        status = Path(scratch, "status")
        status.write_bytes(bytes(512))
        Path(scratch, "project").write_bytes(disks.project(ROOT, command(arguments, REQUIRED + ",systemd" * systemd)))
        Path(scratch, "initramfs").write_bytes(
            initramfs.build(modules, Path("/bin/busybox"), ROOT / "tests/vm/init.sh")
        )
        words = f"{KERNEL_ARGUMENTS} {SYSTEMD_ARGUMENTS}" if systemd else KERNEL_ARGUMENTS
        machine = [qemu, *hardware(scratch, root_image, status), "-kernel", str(kernel), "-append", words]
        return boot(machine, status)


def command(arguments: list[str], required: str = REQUIRED) -> str:
    """The shell script that the machine runs."""
    if arguments[:1] == ["--shell"]:
        return "\n".join(arguments[1:]) + "\n"
    clock = f"date -s @{int(time.time())} >/dev/null"
    required = shlex.quote(os.environ.get("UTSUWA_TEST_REQUIRE", required))
    settings = f"export PYTHONPATH=src PYTHONDONTWRITEBYTECODE=1 UTSUWA_TEST_REQUIRE={required}"
    pytest = shlex.join(["python3", "-m", "pytest", "-p", "no:cacheprovider", *(arguments or DEFAULT)])
    return f"{clock}\n{settings}\n{pytest}\n"


def hardware(scratch: str, root_image: Path, status: Path) -> list[str]:
    """A machine without graphics and network.

    Not microvm, which boots 0.8 s faster: it has no clock but the one that an emulated CPU on a busy host fails to
    calibrate, and then hangs.
    """
    accelerator = os.environ.get("UTSUWA_VM_ACCEL", "tcg")
    drives = [
        (str(root_image), "snapshot=on"),
        (f"{scratch}/project", "readonly=on"),
        (str(status), "cache=writethrough"),
    ]
    options = [
        *("-M", "q35", "-accel", accelerator, "-cpu", "max", "-smp", "2", "-m", "1024"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-initrd", f"{scratch}/initramfs"),
    ]
    for number, (path, mode) in enumerate(drives):
        options += ["-drive", f"id=d{number},if=none,format=raw,file={path},{mode}"]
        options += ["-device", f"virtio-blk-pci,drive=d{number}"]
    return options


def boot(machine: list[str], status: Path) -> int:
    """Run the machine to its end; once more when it did not get as far as the command."""
    for attempt in range(BOOT_ATTEMPTS):
        with subprocess.Popen(machine, stdin=subprocess.DEVNULL) as process:
            try:
                in_time = await_end(process, status)
            finally:
                process.kill()
        told = status.read_bytes().rstrip(b"\0").decode("ascii", "replace")
        if told or attempt == BOOT_ATTEMPTS - 1:
            break
        print("tests/vm: the machine did not come up, trying again", file=sys.stderr)
    if not in_time:
        print("tests/vm: the machine took too long and was stopped", file=sys.stderr)
        return 124
    word, _, number = told.partition(" ")
    if word != "status" or not number.strip().isdecimal():
        print(f"tests/vm: the machine ended without a status: {told!r}", file=sys.stderr)
        return 125
    return int(number)


def await_end(process: subprocess.Popen[bytes], status: Path) -> bool:
    """Wait for the machine to end; False when it takes too long to boot (no word on the status disk) or to run."""
    started = time.monotonic()
    patience = float(os.environ.get("UTSUWA_VM_TIMEOUT", "600"))
    while True:
        try:
            process.wait(1)
            return True
        except subprocess.TimeoutExpired:
            elapsed = time.monotonic() - started
            if elapsed > patience or (elapsed > BOOT_SECONDS and not status.read_bytes().strip(b"\0")):
                return False
