"""The kernel and the root image of the machine, made once and kept in a cache directory."""

from __future__ import annotations

import glob
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "utsuwa" / "vm"
_META_PACKAGE = "linux-image-cloud-amd64"

_OF_CRIU = ("criu", "tar", "gzip", "iptables-restore", "ip6tables-restore")
_PROGRAMS = (
    *("runc", "crun", "setpriv", "unshare", "nsenter", "strace", "podman", "conmon", "apparmor_parser"),
    *("newuidmap", "newgidmap"),
    *_OF_CRIU,
)
"""Copied to the root image with their libraries, where the host has them; busybox is the rest."""

_MATCHES = ("libxt_mark", "libxt_standard")
"""Extensions of iptables-restore that CRIU's rules need."""

_SYSTEMD = (
    "systemctl",
    "systemd-run",
    "dbus-daemon",
    "busctl",
    "/lib/systemd/systemd",
    "/lib/systemd/systemd-executor",  # since systemd 255
)
_SYSTEMD_FILES = (
    *("/usr/share/dbus-1/*.conf", "/usr/share/dbus-1/system.d/org.freedesktop.systemd1.conf"),
    *("/usr/share/dbus-1/s*-services/org.freedesktop.systemd1.service", "/lib/systemd/system/dbus.s*"),
    *("/usr/lib/systemd/user/dbus.s*", "/lib/systemd/system/*.target", "/usr/lib/systemd/user/*.target"),
    *("/lib/systemd/system/*.slice", "/usr/share/containers/*", "/etc/containers/*"),
)
"""What it takes to have systemd and a message bus as on the host; the units that start are those of tests/vm/units."""

_PACKAGES = ("py.py", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "p*.dist-info")
_SKIPPED = ("test", "idlelib", "lib2to3", "tkinter", "ensurepip", "turtledemo", "pydoc_data")
_DIRECTORIES = ["dev", "etc", "proc", "sys", "tmp", "run", "root", "project", "var/tmp", "usr/local/bin"]
_LINKS = ("bin", "sbin", "lib", "lib64")


def kernel() -> tuple[Path, Path]:
    """Debian's cloud kernel and its modules: downloaded and unpacked, never installed."""
    package = _dependency()
    home = CACHE / package
    if not home.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            os.chmod(scratch, 0o755)
            subprocess.run(["apt-get", "-qq", "download", package], cwd=scratch, check=True, stderr=subprocess.DEVNULL)
            (archive,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", str(archive), f"{scratch}/tree"], check=True)
            os.rename(f"{scratch}/tree", home)
    (image,) = home.glob("boot/vmlinuz-*")
    (modules,) = home.glob("lib/modules/*")
    return image, modules


def _dependency() -> str:
    """The versioned package behind the meta package; what is cached will do where apt knows no better."""
    answer = subprocess.run(["apt-cache", "depends", _META_PACKAGE], capture_output=True, text=True, check=False).stdout
    names = [line.split()[-1] for line in answer.splitlines() if "Depends: linux-image-" in line]
    names += sorted(path.name for path in CACHE.glob("linux-image-*"))
    if not names:
        raise SystemExit(f"tests/vm: apt knows no {_META_PACKAGE}: run apt-get update")
    return names[0]


def root_image(site_packages: Path) -> Path:
    """An ext4 image with Python, pytest and busybox; another one when any of its files has changed."""
    files = dict(_root_files(site_packages))
    busybox = subprocess.run(["/bin/busybox", "--list-full"], capture_output=True, text=True, check=True).stdout.split()
    listing = "\n".join(f"{name} {source} {os.stat(source).st_mtime_ns}" for name, source in sorted(files.items()))
    recipe = Path(__file__).read_bytes()
    digest = hashlib.sha256(recipe + f"{listing}{busybox}".encode()).hexdigest()[:16]
    image = CACHE / f"root-{digest}.ext4"
    if not image.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for old in CACHE.glob("root-*.ext4"):
            old.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            tree = Path(scratch, "tree")
            _lay_out(tree, files, busybox)
            made = Path(scratch, "image")
            options = ["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", str(tree)]
            mke2fs = shutil.which("mke2fs", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or "mke2fs"
            subprocess.run([mke2fs, *options, str(made), "512m"], check=True, stdout=subprocess.DEVNULL)
            os.rename(made, image)
    return image


def _root_files(site_packages: Path) -> list[tuple[str, str]]:
    """Names in the image, and the host files that they are copies of."""
    found = [("bin/busybox", "/bin/busybox")]
    version = site_packages.parent.name  # python3.11
    programs = [f"/usr/bin/{version}"]
    names = (*_PROGRAMS, *_SYSTEMD)
    programs += [path for path in (shutil.which(name, path="/usr/bin:/usr/sbin") for name in names) if path]
    found += [(path if "/systemd/" in path else f"usr/bin/{Path(path).name}", path) for path in programs]
    found += [(path, path) for pattern in _SYSTEMD_FILES for path in glob.glob(pattern) if os.path.isfile(path)]
    units = Path(__file__).with_name("units")
    found += [(f"etc/systemd/system/{path.name}", str(path)) for path in sorted(units.iterdir())]
    library = Path("/usr/lib", version)
    modules = [path for path in library.rglob("*") if path.relative_to(library).parts[0] not in _SKIPPED]
    modules += [path for name in _PACKAGES for top in site_packages.glob(name) for path in (top, *top.rglob("*"))]
    for path in modules:
        if path.is_file():
            beneath = path.relative_to(library if path.is_relative_to(library) else site_packages)
            found.append((f"usr/lib/{version}/{beneath}", str(path)))
    extensions = [str(path) for path in library.glob("lib-dynload/*.so")]
    matches = [str(path) for path in Path("/usr/lib").glob("*/xtables/libxt_*.so") if path.stem in _MATCHES]
    found += [(path, path) for path in matches]
    found += [(path, path) for path in _libraries(programs + extensions)]
    return [(_merged(name), path) for name, path in found]


def _merged(name: str) -> str:
    """A name in the image: /bin, /lib … are links to what is below /usr."""
    name = name.lstrip("/")
    return f"usr/{name}" if name.partition("/")[0] in _LINKS else name


def _libraries(programs: list[str]) -> list[str]:
    """The shared libraries that ``programs`` load."""
    answer = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    words = {word for line in answer.splitlines() if line.startswith("\t") for word in line.split()}
    return sorted(word for word in words if word.startswith("/"))


def _lay_out(tree: Path, files: dict[str, str], busybox: list[str]) -> None:
    for name in _DIRECTORIES:
        (tree / name).mkdir(parents=True)
    for name in _LINKS:
        (tree / "usr" / name).mkdir(exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    for name, source in files.items():
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    for name in busybox:
        link = tree / _merged(name)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to("/bin/busybox")
    (python,) = (tree / "usr/bin").glob("python3.*")
    (tree / "usr/bin/python3").symlink_to(python.name)
    (tree / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
        "messagebus:x:100:100::/:/bin/false\nuser:x:1000:1000::/tmp:/bin/sh\n"
    )
    (tree / "etc/group").write_text("root:x:0:\ntty:x:5:\nnogroup:x:65534:\nmessagebus:x:100:\nuser:x:1000:\n")
    (tree / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tree / "etc/hostname").write_text("vm\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost vm\n")
    (tree / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")


def project(root: Path, command: str) -> bytes:
    """The project as a tar archive, byte code included (to compile it again takes longer there), with the command."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("pyproject.toml", "src", "tests", "tools", "dev"):
            if (root / name).exists():
                archive.add(root / name, name)
        archive.add(root / "tests/vm/start.sh", ".vm/start")
        entry = tarfile.TarInfo(".vm/command")
        entry.size = len(command)
        archive.addfile(entry, io.BytesIO(command.encode()))
    return buffer.getvalue()
