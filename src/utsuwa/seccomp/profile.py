"""The engine's default seccomp profile: what a container may ask of the kernel when nobody says otherwise.

It allows what Docker's default allows (moby/profiles of June 2026: system calls up to Linux 6.13), so that what runs
there runs here and what is refused there is refused here.  The list is sorted by what the calls are about; a name
that an architecture doesn't have means nothing there.  Left out are calls that reach outside of the container or into
rarely tested corners of the kernel: modules and keys, the clock, io_uring, userfaultfd, NUMA placement, mounting.
"""

from __future__ import annotations

from utsuwa.seccomp.program import native_architecture
from utsuwa.spec.runtime import Seccomp, SyscallArg, SyscallRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_ALWAYS = (
    # files: open, close, look up
    "access chdir close close_range creat dup dup2 dup3 faccessat faccessat2 fchdir fcntl fcntl64 flock getcwd "
    "name_to_handle_at open openat openat2 umask "
    # read and write
    "_llseek copy_file_range fadvise64 fadvise64_64 fallocate fdatasync fsync ftruncate ftruncate64 lseek pread64 "
    "preadv preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync "
    "sync_file_range syncfs tee truncate truncate64 vmsplice write writev "
    # directories, links, nodes
    "getdents getdents64 link linkat mkdir mkdirat mknod mknodat readlink readlinkat rename renameat renameat2 "
    "rmdir symlink symlinkat unlink unlinkat "
    # attributes
    "chmod chown chown32 fchmod fchmodat fchmodat2 fchown fchown32 fchownat fstat fstat64 fstatat64 fstatfs "
    "fstatfs64 futimesat lchown lchown32 listmount lstat lstat64 newfstatat stat stat64 statfs statfs64 statmount "
    "statx utime utimensat utimensat_time64 utimes fgetxattr flistxattr fremovexattr fsetxattr getxattr "
    "getxattrat lgetxattr listxattr listxattrat llistxattr lremovexattr lsetxattr removexattr removexattrat "
    "setxattr setxattrat "
    # waiting for descriptors, being told of changes
    "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
    "epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch "
    "ioctl pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select "
    # asynchronous input and output of the old kind
    "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit "
    # memory
    "brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall "
    "mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect "
    "remap_file_pages "
    # processes and threads
    "execve execveat exit exit_group fork vfork wait4 waitid waitpid kill tkill tgkill pidfd_open "
    "pidfd_send_signal process_mrelease process_vm_readv process_vm_writev ptrace getpgid getpgrp getpid getppid "
    "getsid gettid setpgid setsid set_tid_address get_thread_area set_thread_area rseq restart_syscall getcpu "
    "prctl uretprobe riscv_hwprobe futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake "
    "get_robust_list set_robust_list "
    # signals
    "pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn "
    # who it runs as; the kernel checks capabilities itself
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid "
    "getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 "
    "setgroups setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 "
    "setuid setuid32 "
    # confining itself further
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp "
    # limits and scheduling
    "getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 setpriority setrlimit ugetrlimit times "
    "sysinfo uname sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam "
    "sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield "
    # time; setting the clock by adjtimex needs CAP_SYS_TIME, reading it doesn't
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create "
    "timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create "
    "timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 "
    # network; socket itself is below
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 "
    "recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair "
    # System V and POSIX interprocess communication
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 "
    "mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt "
    "shmget "
    # chance
    "getrandom"
)

_BY_ARCHITECTURE = {
    "SCMP_ARCH_X86_64": "arch_prctl modify_ldt",
    "SCMP_ARCH_X86": "modify_ldt",
    "SCMP_ARCH_AARCH64": "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
}
_BY_ARCHITECTURE["SCMP_ARCH_ARM"] = _BY_ARCHITECTURE["SCMP_ARCH_AARCH64"]

_BY_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
    "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd "
    "setdomainname sethostname setns syslog umount umount2 unshare",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}

_COMPANIONS = {
    "SCMP_ARCH_X86_64": ("SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "SCMP_ARCH_AARCH64": ("SCMP_ARCH_ARM",),
}

_ENOSYS = 38
_AF_ALG = 38
_AF_VSOCK = 40
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of linux/sched.h
_NEW_NAMESPACES = 0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000
# PER_LINUX, PER_LINUX32, each with UNAME26, and the question which one is set (linux/personality.h)
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFF_FFFF)


def default_profile(capabilities: Collection[str], native_arch: str = "") -> Seccomp:
    """The default profile of a container whose bounding set holds ``capabilities`` (``CAP_…``), for an OCI architecture
    (``SCMP_ARCH_X86_64``; default: this machine's) and the 32-bit ones that its kernel also runs."""
    native = native_arch or native_architecture()
    names = [_ALWAYS, _BY_ARCHITECTURE.get(native, "")]
    names += [calls for capability, calls in _BY_CAPABILITY.items() if capability in capabilities]
    rules = [
        _allow(*" ".join(names).split()),
        # AF_ALG reaches the kernel's ciphers and AF_VSOCK the hypervisor, around every namespace.  Three rules, because
        # conditions on one argument in one rule would be alternatives.
        _allow("socket", op="SCMP_CMP_LT", value=_AF_ALG),
        _allow("socket", op="SCMP_CMP_EQ", value=_AF_ALG + 1),
        _allow("socket", op="SCMP_CMP_GT", value=_AF_VSOCK),
        *(_allow("personality", op="SCMP_CMP_EQ", value=personality) for personality in _PERSONALITIES),
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules.append(_allow("clone", op="SCMP_CMP_MASKED_EQ", value=_NEW_NAMESPACES))
        # Its flags lie in memory, where a filter can't look: let the C library fall back to clone.
        rules.append(SyscallRule(names=("clone3",), action="SCMP_ACT_ERRNO", errnoRet=_ENOSYS))
    return Seccomp(
        defaultAction="SCMP_ACT_ERRNO",
        defaultErrnoRet=1,
        architectures=(native, *_COMPANIONS.get(native, ())),
        syscalls=tuple(rules),
    )


def _allow(*names: str, op: str = "", value: int = 0) -> SyscallRule:
    """A rule that allows ``names``, if ``op`` is given only where their first argument compares so with ``value``."""
    args = (SyscallArg(index=0, op=op, value=value, valueTwo=0),) if op else None
    return SyscallRule(names=names, action="SCMP_ACT_ALLOW", args=args)
