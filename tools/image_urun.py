"""The image of `urun`: what is in it, what a start does, and containers that are run for show before it is taken.

Nothing is made in a rehearsal but files in a directory. It is `urun`'s own code that runs, with the kernel's part
played here: cgroups are plain directories, and what the container's process reports is known beforehand. So everything
that is made on first use is in the image (decoders of records, specialised byte code), and it is known which pages of
memory such a run writes to.
"""

import os
import sys

PACKAGES = ("cgroup", "criu", "errors", "identifiers", "init", "linux", "plan", "runtime", "seccomp", "spec")
COMMAND = ("cli", "cli.oci", "cli.oci_exec", "cli.oci_report", "cli.oci_usage", "cli.arguments", "cli.interpreter")
LEFT_OUT = (
    *(f"linux.{name}" for name in ["conntrack", "inotify", "mounting", "netlink", "nftables", "rtnetlink", "timer"]),
    *(
        f"spec.{name}"
        for name in ["digest", "flags", "image", "mount_flag", "network_flags", "platform", "reference", "request"]
        + ["seldom_flags"]
    ),
)
"""Modules of those packages that `urun` never needs: found as everywhere else when they are imported."""

CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "devices", "freezer", "blkio", "cpuset", "name=systemd")
PROC = {
    "self/status": b"Name:\turun\nUmask:\t0022\nState:\tR (running)\n"
    + b"".join(b"Cap%b:\t000001ffffffffff\n" % name for name in (b"Inh", b"Prm", b"Eff", b"Bnd", b"Amb")),
    "sys/kernel/cap_last_cap": b"40\n",
    "sys/kernel/random/boot_id": b"0\n",
    "self/uid_map": b"         0          0 4294967295\n",
    "self/oom_score_adj": b"0\n",
}
"""What procfs says, but for mounts and cgroups."""

CGROUP = {"freezer.state": b"THAWED\n", "cpuset.cpus": b"0-1\n", "cpuset.mems": b"0\n"}
"""What a v1 cgroup says."""

WARM_UP = 24
"""CPython 3.11 specialises functions after 8 calls, and what they hold after more."""

EVERY, RUN = 0, 1
"""Kinds of starts whose pages are known, as in src/utsuwa/cli/c/embedded.c."""

NOBODY = 1 << 23
"""A process that can't exist: pids end at 1 << 22 (proc_sys_kernel(5))."""


def lacking(name):
    """An extension module is imported: such imports stand before the first change to the system, so start over."""
    sys.modules["_utsuwa"].plain()


def begin():
    """A start."""
    sys.modules["utsuwa.cli.oci"].main()


def rehearse(watch):
    """Play some times, and then for those who watch: an act that makes no process, and one that does."""
    directory = f"{sys.argv[-1]}-{os.urandom(4).hex()}"  # beside what tools/image.py gave us: goes with it
    os.mkdir(directory)
    modules = sys.modules
    names = (
        "runtime.create",
        "runtime.kept",
        "runtime.draft",
        "runtime.run",
        "runtime.foreground",
        "runtime.undo",
        "cli.oci",
        "linux.host",
        "init.spare",
    )
    create, known, draft, run, foreground, undo, oci, host, spare = (modules[f"utsuwa.{name}"] for name in names)
    stage = Stage(directory)
    kept = [(os, name, getattr(os, name)) for name in ("_exit", "open", "read", "rmdir", "waitpid", "write")]
    kept += [
        (host, "observe", host.observe),
        (known, "observe", known.observe),
        (run, "may_begin_ahead", run.may_begin_ahead),
        (draft, "spawn", draft.spawn),
        (spare, "spawn", spare.spawn),
        (oci, "_print", oci._print),
    ]
    kept += [(host, "_read", host._read)]
    kept += [
        (undo, "raise_on_signals", undo.raise_on_signals),
        (foreground, "pthread_sigmask", foreground.pthread_sigmask),
    ]
    kept += [(create, "hold_signals", create.hold_signals)] if hasattr(create, "hold_signals") else []
    try:
        prepare_bundle(f"{directory}/bundle", oci)
        stage.take(kept)
        for mode in ("v2", "v1"):
            stage.mode, Reports.requests = mode, None
            for number in range(WARM_UP):
                ask(enter, directory)
                act(enter, directory)
                act(enter, directory, new=number + 1)
        watch([(EVERY, lambda start: ask(start, directory)), (RUN, lambda start: acts(start, directory, stage))])
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


def prepare_bundle(bundle, oci):
    """A bundle with the default configuration, but without a terminal."""
    os.makedirs(f"{bundle}/rootfs")
    if oci.invoke(["spec", "-b", bundle]):
        raise SystemExit("rehearsal: urun spec failed")
    with open(f"{bundle}/config.json") as file:
        text = file.read()
    with open(f"{bundle}/config.json", "w") as file:
        file.write(text.replace('"terminal": true', '"terminal": false'))


def enter(_home):
    """A start, but for what tools/image_script.py has to do with it."""
    begin()


def ask(start, directory):
    """One question about a container that is not there."""
    call(start, "--root", f"{directory}/root", "--log", "/dev/null", "state", "nobody")


def acts(start, directory, stage):
    """Both kinds of runs: who has made room for the one has almost made it for the other."""
    stage.stand_aside()
    act(start, directory)
    act(start, directory, new=WARM_UP + 1)


def act(start, directory, new=0):
    """One run: from the third time on it is known, but for the ``new`` ones."""
    with open(f"{directory}/bundle/config.json", "r+b", buffering=0) as file:
        text = file.read().rstrip(b" ")
        file.truncate(len(text))
        file.seek(len(text))
        file.write(b" " * new)
    option = "--bundle" if new else "-b"
    code = call(start, "--root", f"{directory}/root", "run", option, f"{directory}/bundle", "somebody")
    if code:
        raise SystemExit(f"rehearsal: urun run ended with {code}")


def call(start, *words):
    """The exit code of a command line."""
    sys.modules["_utsuwa"].chapter()
    sys.argv = ["urun", *words]
    sys.intern("".join(("ar", "gv")))
    try:
        start(sys.path[0].encode())
    except Exited as end:
        return end.code


class Exited(Exception):
    """The process would have ended."""


class Stage:
    """The kernel's part: each method stands for the function of its name."""

    def __init__(self, directory):
        self.directory = directory
        self.mode = "v1"
        self.children = []
        self.names = {}
        self.devices = [b"a *:* rwm"]
        self.real = {}

    def take(self, kept):
        """Stand in for all of these."""
        for owner, name, value in kept:
            self.real.setdefault(name, value)
            setattr(owner, name, getattr(self, name))

    def stand_aside(self):
        """Once for real what is played otherwise, in a process that has nothing to do after: starts write to it."""
        from _signal import SIGTERM, sigwaitinfo
        from _socket import AF_UNIX, SOCK_SEQPACKET, socketpair

        undo, process, spawn, errors = (
            sys.modules[f"utsuwa.{name}"] for name in ("runtime.undo", "runtime.process", "init.spawn", "errors")
        )
        self.real["raise_on_signals"]()
        undo.hold_signals()
        os.kill(os.getpid(), SIGTERM)
        sigwaitinfo([SIGTERM]).si_signo  # noqa: B018
        process.start_time(os.getpid())
        self.real["_read"]("/dev/null")
        try:
            spawn.sealed()
        except errors.Unsupported:
            pass  # it is not installed yet
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        ours.sendmsg([b"."], [])
        theirs.recvmsg(1)
        ours.send(b".")
        self.real["_exit"]

    def open(self, path, flags, mode=0o777, *, dir_fd=None):
        """Every file of a cgroup directory exists."""
        if dir_fd is not None and not flags & os.O_DIRECTORY:
            flags |= os.O_CREAT
        fd = self.real["open"](path, flags, mode, dir_fd=dir_fd)
        self.names[fd] = path if dir_fd is not None else ""
        return fd

    def write(self, fd, data):
        """A v1 cgroup remembers which devices were denied and allowed."""
        if self.names.get(fd) == "devices.deny":
            self.devices = []
        elif self.names.get(fd) == "devices.allow":
            self.devices.append(data)
        return self.real["write"](fd, data)

    def read(self, fd, size):
        """A v1 cgroup tells of its devices, and of what it has from the one above."""
        name = self.names.get(fd)
        if name == "devices.list":
            return b"\n".join(self.devices)
        return CGROUP[name] if name in CGROUP else self.real["read"](fd, size)

    def rmdir(self, path, *, dir_fd=None):
        """The files of a cgroup directory go with it."""
        self.devices = [b"a *:* rwm"]
        whole = path if dir_fd is None else f"/proc/self/fd/{dir_fd}/{path}"
        if os.path.isdir(whole):
            for name in os.listdir(whole):
                if os.path.isfile(f"{whole}/{name}"):
                    os.unlink(f"{whole}/{name}")
        return self.real["rmdir"](path, dir_fd=dir_fd)

    def waitpid(self, pid, options):
        """The executor that we started has ended, and then the container's process, both well."""
        if not self.children:
            raise ChildProcessError
        if self.children[-1] != NOBODY:
            self.real["waitpid"](self.children[-1], 0)
        return self.children.pop(), 0

    def observe(self):
        """Root asks, whoever makes the image."""
        return (*self.real["observe"]()[:-3], 0, 0, True)

    def may_begin_ahead(self, request):
        """What root may."""
        self.real["may_begin_ahead"](request)
        return True

    def _read(self, path, *, is_number=False):
        """A host that is like others: nothing of the real one shall be in the image. Its cgroups are ours."""
        names = ("",) if self.mode == "v2" else CONTROLLERS
        if path == "/proc/self/cgroup":
            return "".join(f"{number}:{name}:/\n" for number, name in enumerate(names)).encode()
        if path == "/proc/self/mountinfo":
            return "".join(self.mounts(names)).encode()
        return PROC[path.removeprefix("/proc/")]

    def mounts(self, names):
        """Lines of mountinfo: the hierarchies, and something before and behind them."""
        yield "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        for number, name in enumerate(names, 30):
            point = f"{self.directory}/cgroup/{name}"
            os.makedirs(point, exist_ok=True)
            kind = f"cgroup cgroup rw,{name}" if name else "cgroup2 cgroup2 rw"
            yield f"{number} 22 0:{number} / {point} rw,nosuid,nodev,noexec,relatime shared:9 - {kind}\n"
        yield "40 22 0:40 / /mnt rw,relatime - tmpfs tmpfs rw\n"

    def spawn(self, plan, slots=None, keep=()):
        """The plan is given to a program that ignores it; we report what the right one reports."""
        from utsuwa.init import spawn

        spawn._sealed = spawn._seal("/bin/true")
        child = self.real["spawn"](plan, slots, keep)
        os.close(spawn._sealed)
        spawn._sealed = -1
        self.children += [NOBODY, child.stage1]
        child._channel._connection.close()
        child._channel._connection = Reports(plan, child._channel)
        return child

    def _exit(self, code):
        """It goes on."""
        end = Exited()
        end.code = code
        raise end

    def pthread_sigmask(self, how, mask):
        """Nothing is blocked."""
        return set()

    def hold_signals(self):
        """Nothing is held."""

    def raise_on_signals(self):
        """Nothing is caught."""

    def _print(self, text):
        """Nothing is printed."""


class Reports:
    """A socket that gives the reports of a process which carries out the plan. What it asks is the same every time: the
    plan of a start that is known by heart is not made for being looked at.
    """

    requests = None

    def __init__(self, plan, channel):
        self._channel = channel
        self._data = None

    def _reports(self):
        from _struct import pack

        if Reports.requests is None:
            Reports.requests = [(2, number, number) for number in self._channel._plan().requests()]
        rows = [(1, 0, NOBODY), *Reports.requests, (4, 0, 0)]
        return [pack("<IIiIqQ", kind, op, 0, 0, value, 0) for kind, op, value in rows]

    def sendmsg(self, buffers, ancillary):
        """The rest of a plan."""
        self._data = self._reports()
        return len(buffers[0])

    def recvmsg(self, size, *_room):
        """The next report, which has no descriptor with it."""
        if self._data is None:
            self._data = self._reports()
        return (self._data.pop(0) if self._data else b""), [], 0, None

    def send(self, data):
        """Replies are not read."""
        return len(data)

    def fileno(self):
        """It has no descriptor."""
        return -1

    def close(self):
        """It has nothing to close."""
