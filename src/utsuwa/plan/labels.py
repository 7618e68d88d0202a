"""Labels of security modules: what AppArmor or SELinux confines the program by, and what its files and keys carry."""

from __future__ import annotations

from utsuwa.errors import FailedPrecondition, InvalidArgument
from utsuwa.plan import ops
from utsuwa.plan.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.plan.case import Case, CreateCase

# Files of proc_pid_attr(5); AppArmor has a directory of its own since Linux 5.8, for where it is not the only module.
APPARMOR = ("apparmor/exec", "exec")
SELINUX = ("exec",)
KEYS = ("keycreate",)

_PROCESS = "config.md#linux-process"
_MOUNTS = "config-linux.md#mount-label"
_CONTEXT_TYPE = "run.oci.mount_context_type"
_CONTEXTS = ("context", "fscontext", "defcontext", "rootcontext")
_NO_LABELS = "linux.mountLabel: left out, selinux is disabled or not supported"
_UNLABELLED = ("proc", "sysfs")


def program(case: Case) -> Iterator[Step]:
    """The program's own label, which takes effect by execve(2): until then we are as free as before."""
    profile, context = case.process.apparmorProfile, case.process.selinuxLabel
    if profile:
        _require(case, "apparmor", "process.apparmorProfile: config provided but apparmor not supported")
        yield Step(ops.Label(APPARMOR, f"exec {profile}"), _PROCESS)
    if context:
        _require_selinux(case, "process.selinuxLabel")
        yield Step(ops.Label(SELINUX, context), _PROCESS)


def keyring(case: Case, name: str) -> Iterator[Step]:
    """The session keyring, with the program's label: or the program may not use it."""
    context = case.process.selinuxLabel
    if context:
        _require_selinux(case, "process.selinuxLabel")
        yield Step(ops.Label(KEYS, context), _PROCESS)
    yield Step(ops.SessionKeyring(name), "keyrings(7)")
    if context:
        yield Step(ops.Label(KEYS, "\n"), _PROCESS)


def context(case: CreateCase, fstype: str) -> tuple[str, ...]:
    """The option that labels everything in a new file system. SELinux takes none for proc and sysfs."""
    label = case.linux.mountLabel
    if not label or not _labels_files(case):
        return ()
    kind = (case.spec.annotations or {}).get(_CONTEXT_TYPE, "context")
    if kind not in _CONTEXTS:
        raise InvalidArgument(f'annotations["{_CONTEXT_TYPE}"]: expected one of {", ".join(_CONTEXTS)}, found "{kind}"')
    return () if fstype in (*_UNLABELLED, "mqueue") else (f"{kind}={label}",)


def top(case: CreateCase, fstype: str, target: str) -> Iterator[Step]:
    """The label of an mqueue's directory: that file system takes no option for it."""
    if case.linux.mountLabel and fstype == "mqueue" and _labels_files(case):
        yield Step(ops.Xattr(target, "security.selinux", case.linux.mountLabel), _MOUNTS)


def _labels_files(case: CreateCase) -> bool:
    """Whether somebody reads the labels of files. Without SELinux nobody does, so leaving them out gets a warning."""
    if "selinux" in case.options.security_modules:
        return True
    if _NO_LABELS not in case.warnings:
        case.warnings.append(_NO_LABELS)
    return False


def _require_selinux(case: Case, path: str) -> None:
    _require(case, "selinux", f"{path}: selinux label is specified in config, but selinux is disabled or not supported")


def _require(case: Case, module: str, problem: str) -> None:
    """A label that nobody enforces would be no confinement: refuse it, as runc and crun do."""
    if module not in case.options.security_modules:
        raise FailedPrecondition(f"{problem}: enable it on this host, or leave it out")
