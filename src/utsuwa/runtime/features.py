"""`urun features`: what this runtime can do (features.md), so that engines need not try."""

from __future__ import annotations

from utsuwa.linux import capabilities, memory, mounts
from utsuwa.linux.namespaces import KINDS
from utsuwa.spec.features import (
    CgroupFeatures,
    Features,
    IntelRdtFeatures,
    LinuxFeatures,
    MemoryPolicyFeatures,
    MountExtensions,
    SeccompFeatures,
    Switch,
)

OLDEST_VERSION, NEWEST_VERSION = "1.0.0", "1.3.0"
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

# What seccomp.compile understands; a test compiles a profile with each of them.
ACTIONS = (
    *("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"),
    *("SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"),
)
OPERATORS = (
    *("SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"),
)
FLAGS = (
    *("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"),
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
)
ARCHITECTURES = ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64")

UNSAFE_ANNOTATIONS = (
    *("bundle", "org.criu.config", "org.systemd.property."),
    *("run.oci.keep_original_groups", "run.oci.mount_context_type", "run.oci.seccomp.receiver"),
)
ANNOTATIONS = {"org.opencontainers.runc.checkpoint.enabled": "true"}
"""The name by which engines know that there is a `checkpoint`; whether CRIU is installed is for them to see."""


def features() -> Features:
    """The features document. It depends on this version alone, but for the capabilities of the kernel's headers."""
    on = Switch(enabled=True)
    return Features(
        ociVersionMin=OLDEST_VERSION,
        ociVersionMax=NEWEST_VERSION,
        hooks=HOOKS,
        mountOptions=mounts.WORDS,
        linux=LinuxFeatures(
            namespaces=tuple(sorted(KINDS)),
            capabilities=tuple(capabilities.NAMES),
            cgroup=CgroupFeatures(v1=True, v2=True, systemd=True, systemdUser=True, rdma=True),
            seccomp=SeccompFeatures(
                enabled=True,
                actions=ACTIONS,
                operators=OPERATORS,
                archs=ARCHITECTURES,
                knownFlags=FLAGS,
                supportedFlags=FLAGS,
            ),
            apparmor=on,
            selinux=on,
            memoryPolicy=MemoryPolicyFeatures(modes=tuple(sorted(memory.MODES)), flags=tuple(sorted(memory.FLAGS))),
            intelRdt=IntelRdtFeatures(enabled=True, schemata=True, monitoring=True),
            mountExtensions=MountExtensions(idmap=on),
            netDevices=on,
        ),
        annotations=ANNOTATIONS,
        potentiallyUnsafeConfigAnnotations=UNSAFE_ANNOTATIONS,
    )
