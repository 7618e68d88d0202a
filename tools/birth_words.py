"""The reasons on docs/birth.md: a chapter begins with the first operation of a kind, a paragraph goes with each kind.

A key is the name of an operation's class, with the target after it where one kind has several stories to tell.
"""

from __future__ import annotations

OPENING = """\
There is no such thing as a container in the Linux kernel. No system call makes one, and no kernel structure is
called that. There is a process, and there are some sixty things that were done before its program began to run.
This page is the list of those things for one container, in the order in which they happen, with the reason for
each: the configuration that `urun spec` writes, on a host with cgroup v2.

Nothing on this page is a summary. The numbered lines are what `urun explain` prints; they are the *plan*, a list of
operations that Python computes from `config.json` and that a static C program, `utsuwa-init`, carries out one after
the other. A test fails when the plan and this page differ. To see the list for a bundle of your own:

    urun explain --bundle DIRECTORY
    urun explain --diff DIRECTORY ANOTHER

In brackets stands where the demand comes from: a section of the OCI runtime specification (`config.md#mounts`), a
manual page (`setsid(2)`), or an attack that somebody found the hard way (`CVE-…`).

Read it as a story. A process is born into rooms of its own; the rooms are furnished; the door to the host is
closed; the process gives up, right by right, nearly everything that it was able to do; and only then does it become
the program that you asked for. The order is the whole art. Nearly every step would fail, or would be worthless, one
place earlier or later."""

CHAPTERS = {
    "CpuAffinity": (
        "Before the birth",
        """\
We are still on the host: an ordinary process of root's, started by the runtime, with no privileges lost and none
gained. A few things can only be done from here.""",
    ),
    "Clone": (
        "Birth",
        """\
One system call, `clone3(2)`, makes a process that sees another world than its parent. From here on the child
carries out the list; the parent has reported the new process's number and is gone.""",
    ),
    "RootPropagation": (
        "Furnishing the rooms",
        """\
The new mount namespace is a *copy* of the host's: the process still sees everything. Now a root file system is put
together in it, which nobody but this process can see, so that nothing of it can be left over on the host, however
the container ends. Every path on this stretch is resolved with `openat2(2)` and `RESOLVE_IN_ROOT`, because the root
file system is a stranger's: a symbolic link in an image that says `/etc` must mean the image's `/etc`, and a
process of another container that swaps a directory for a link at the right moment must gain nothing by it
(CVE-2021-30465, CVE-2019-19921).""",
    ),
    "Pivot": (
        "Closing the door",
        """\
Up to here the way back to the host was open. One call closes it.""",
    ),
    "Readonly": (
        "Covering the windows",
        """\
`/proc` and `/sys` are not directories with files. They are windows into a kernel that all containers share, and
some of them open from the inside.""",
    ),
    "Rlimit": (
        "Giving things up",
        """\
The process is root, with all of root's capabilities: it had to be, for everything so far. Now it takes off one
right after the other, in an order in which each step still has the right that it needs, and no step gives back what
an earlier one gave up.""",
    ),
    "FindExecutable": (
        "Becoming the program",
        """\
What remains is to find the program, to wait for somebody to say *start*, and to stop being `utsuwa-init`.""",
    ),
}

WHY = {
    "CpuAffinity": """\
A child inherits the processors that its parent may run on. A runtime that happens to be bound to one of them, by
`taskset` or by its service manager, would hand that down to every container it ever makes. What a container may use
is for its cgroup to say.""",
    "AttachDeviceFilter": """\
Which devices may be opened is decided by a small program in the kernel, attached to the cgroup: it is asked at each
`open` and each `mknod`. cgroup v2 has no other way, v1 had a list in a file. It is put in place *before* there is a
process in the cgroup, so that there is no moment without it.""",
    "NotDumpable": """\
In a moment this process will stand with one foot in the container. Whoever is in there already, in a pod for
example, could look at it with `ptrace(2)` or through `/proc/PID/fd`, and so get at descriptors of the host. A
process that is not *dumpable* belongs to nobody in that respect. runc learned this in 2016.""",
    "Clone": """\
Each namespace is one kind of name that will mean something else from now on: process numbers (`pid`, so that the
child is number 1 of its own), interfaces and ports (`network`), mount points (`mount`), System V and POSIX queues
(`ipc`), the host's name (`uts`). The child is *born* in its cgroup (`CLONE_INTO_CGROUP`): it never runs one
instruction that is not counted and limited. Writing its number into `cgroup.procs` afterwards would come too late,
and would cost 4 to 14 ms, because the kernel waits for every processor to take note.""",
    "Unshare": """\
The cgroup namespace comes after the birth and not with it, because it takes the cgroup that one is *in* as the root
of what one sees. From now on `/proc/self/cgroup` says `/`, and no longer tells the container where on the host it
lives.""",
    "NewSession": """\
A session is what a terminal belongs to. Without one of its own, Ctrl-C in the terminal of the person who called the
runtime would reach the container, and the container could push typed characters back into that terminal.""",
    "SessionKeyring": """\
Keys, of file systems and of Kerberos for example, are inherited through the *session keyring*. A new, empty one
makes sure that the container holds none of the host's. Keyrings have no namespace of their own, so this is all the
separation there is.""",
    "LoopbackUp": """\
A new network namespace has one interface, `lo`, and it is down. Nearly every program expects `127.0.0.1` to answer.
Cables to the outside are somebody else's work: a network plug-in's, or an engine's.""",
    "RootPropagation": """\
Mounts may be *shared* between namespaces: most distributions make all of the host's so. Then everything mounted
below would appear on the host too. *Slave* cuts one direction only: what the administrator mounts on the host may
still arrive here, nothing goes back.""",
    "RootBind": """\
`pivot_root(2)` wants a mount point, and a directory is none. So the directory is cloned as a mount of its own
(`open_tree(2)`), and kept as an open descriptor. All that follows starts from that descriptor and not from a path,
which somebody could exchange behind our back.""",
    "Mount /proc": """\
`/proc` is where processes find out about themselves and each other. It shows the pid namespace of whoever mounts
it, so it must be mounted now, from the inside: a bind of the host's would show the host's processes. The target
must be an ordinary directory, and what is mounted there a real procfs: runtimes write security labels to files
below it, and an image that has something else in its place would receive them (CVE-2019-16884).""",
    "Mount /dev": """\
An empty file system in memory, to be filled with a handful of devices below. The image's own `/dev` is covered: an
image may contain device nodes, and nobody asked for those.""",
    "Mount /dev/pts": """\
Pseudo-terminals of the container's own (`newinstance`). With the host's, `/dev/pts/0` would be the terminal of the
administrator. Group 5 is `tty`, as everywhere.""",
    "Mount /dev/shm": """\
Where `shm_open(3)` puts shared memory. It is a file system like any other, so the `ipc` namespace does not separate
it; a mount of its own does. Databases use a great deal of it, so its size is limited.""",
    "Mount /dev/mqueue": """\
POSIX message queues, which *do* belong to the `ipc` namespace, seen as files.""",
    "Mount /sys": """\
The kernel's view of devices and drivers. Programs read there how many processors there are. Writing could unplug
one, so it is read-only. It must be mounted from within the network namespace, because it shows the interfaces.""",
    "Mount /sys/fs/cgroup": """\
The container may read its own limits, and a runtime for a language with a garbage collector had better. It can't
change them: the mount is read-only, and thanks to the cgroup namespace its root is the container's own cgroup.""",
    "Mknod": """\
The six that no program can live without, by their numbers, which have been the same since the 1990s: nothing,
zeros, a full disk, two sources of chance, and *my terminal*. They are made, not copied, and not found in the image:
what is there under one of these names already is looked at, through an open descriptor, before it is believed.""",
    "Symlink": """\
Shells say `/dev/stdin` and `/dev/fd/3`; Linux has such names only as links into `/proc`. `/dev/ptmx` is a link
because the one of this container's `/dev/pts` must be meant. `core` is an old tradition; the mask below takes away
what it leads to.""",
    "ReopenNull": """\
If the runtime was started with `/dev/null` as its input, that is the *host's* node, on a file system of the host's.
An open descriptor is a capability: with it a container could change the owner or the mode of the host's
`/dev/null`. From now on it is the container's.""",
    "Pivot": """\
`pivot_root(2)` exchanges the root of the whole namespace: the new one takes the place of `/`, and the old one is
unmounted in the same breath. After that the host's files have no name here any more, for nobody. `chroot(2)` would
not do: it changes where *this process's* paths begin and leaves the old root mounted, and root leaves a chroot with
a few more calls.""",
    "SetHome": """\
If `HOME` is missing in the configuration, the container's own `/etc/passwd` knows it. Looked up now and not later,
while the process may still read every file; and in C, by hand, without the C library: that would load plug-ins
(`nsswitch.conf`) from the stranger's file system.""",
    "Remount": """\
Now that everything in it exists, the root can be made read-only: only this mount of it, not the directory on the
host. A program that can't write its own files can't be replaced by an intruder, and keeps no secrets on disk by
mistake.""",
    "Hostname": """\
The name in the shell's prompt. It belongs to the `uts` namespace; without a new one, this would rename the host.""",
    "Readonly": """\
These parts of `/proc` are switches: `sys` holds the kernel's settings, many of them not divided by namespaces, and
a letter written to `sysrq-trigger` restarts the machine. Each is bound onto itself, recursively, as read-only.""",
    "Mask": """\
These are not to be read either. `kcore` is the machine's memory, `keys` lists keys of others, `timer_list` and
`sched_debug` name processes of the host, `firmware` tells about the hardware. A file is covered with `/dev/null`,
and that is where CVE-2025-31133 came in: whoever takes the *container's* `/dev/null` for it may be handed a link to
something else. `utsuwa-init` looks at the node that it has opened, by its numbers, and never at a name. A directory
is covered with an empty file system; all of them share one.""",
    "Rlimit": """\
Resource limits are older than containers. They come this late because a small one would have stopped the steps
above: mounting takes descriptors too.""",
    "StdioOwner": """\
The program may open `/dev/stdout` once more, by name. When that is a pipe which root has made, another user would
be refused. So pipes, and only pipes, are handed over: a runtime that changes the owner of whatever it finds there
has given away the host's `/dev/null` before.""",
    "Ask": """\
The one moment of this list at which the two sides talk. The runtime sets what is left to be set from outside and
writes the container's record to disk. From this point on the container *exists*: kill the runtime now, and `urun
delete` still finds all of it.""",
    "NoNewPrivs": """\
A bit that can't be taken back: from now on no `execve(2)` gives more rights than one has. A set-uid `su` in the
image is an ordinary program. It is also what allows a process without privileges to load a seccomp filter, so where
the configuration has one it will be loaded at the very end, when it need not permit the steps that follow here.""",
    "Chdir": """\
The working directory is entered as the user that the program will run as; where only root may, root tries first.
And then it is *looked at*: `getcwd(2)` must say that it lies in the container. In 2024 a working directory of
`/proc/self/fd/7` led out of runc, through a descriptor of the host that had been left open (CVE-2024-21626). Here
none is open, and it is looked at nevertheless.""",
    "DropBounding": """\
The *bounding set* is the ceiling of everything that this process and its descendants can ever hold, even through
set-uid programs. It goes first because lowering it takes a capability, `CAP_SETPCAP`, which is about to go as well.""",
    "SetIdentity": """\
User, group and further groups, in this order of calls: groups first, then the group, then the user, since after the
last nothing else may be changed. Leaving the *further* groups as they were is the classical mistake: they are the
ones of whoever called the runtime.""",
    "Capabilities": """\
What remains of root's power is three of some forty pieces: to send signals, to bind low ports, to write audit
records. *Root* in this container may still be user 0, but it can't mount, trace, load modules, set the clock, or
change the network. *Inheritable* and *ambient* stay empty: what is in there would survive `execve(2)` for any user
(CVE-2022-29162).""",
    "FindExecutable": """\
Looked for before `start`, and as the user who will run it, so that `create` can say that it is not there: nobody
wants to hear that from a container that has been reported as ready.""",
    "AwaitStart": """\
`create` is done, and the process waits at a socket. This gap is what the specification has two verbs for: an engine
attaches the network, or the other containers of a pod, to a container that is complete and has not run an
instruction of its own. `urun start` connects, and `urun run` leaves this step out.""",
    "Exec": """\
The signals are set back to their defaults, every descriptor but the first three is closed, and `execve(2)` replaces
this program by yours. That nothing of the host is left to see is the point of `utsuwa-init` being what it is:
`/proc/self/exe` led to the runtime's own program file in 2019, and a container could overwrite it (CVE-2019-5736).
Here it led to a sealed copy in memory, without an interpreter, without a library, and now it is gone.""",
}

CLOSING = """\
## And that is a container

A process, number 1 of a world in which there is nobody else; a root that it can't leave; names that mean only what
they are to mean; limits that it can see and not change; and rights so few that even being root is not much. No
single step of these makes it safe. Each closes something that another leaves open, and most of them have been
somebody's vulnerability.

What the same list looks like with a user namespace, with a terminal, with hooks, with an overlay or without pivot,
you can read side by side: the plans that the tests hold are files, in `tests/golden/plans/`. How the list travels
to `utsuwa-init` and how a failure comes back is in [child-protocol.md](child-protocol.md), and the code that
decides the order is a page long: `src/utsuwa/plan/create.py`."""
