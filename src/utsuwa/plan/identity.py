"""Who the process is: root of its user namespace while it prepares, then the user that the configuration names."""

from __future__ import annotations

from utsuwa.linux import capabilities
from utsuwa.plan import ops
from utsuwa.plan.plan import Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from utsuwa.plan.case import Case, CreateCase

DEFAULT_UMASK = 0o022
_USER = "config.md#posix-platform-user"
_KEEP_GROUPS = "run.oci.keep_original_groups"


def become_root(case: CreateCase) -> Iterator[Step]:
    """Get the id maps written, shut out observers, and become root of the user namespace.

    Not dumpable only after the maps: before, a parent without privileges could not open /proc/PID/uid_map. Nothing of
    the container runs until then but in a pid namespace that is shared.
    """
    if case.makes("user"):
        yield Step(ops.Ask(ops.ID_MAPS), "config-linux.md#user-namespace-mappings")
        yield Step(ops.NotDumpable(), "CVE-2016-9962")
    if case.has("user"):
        yield Step(ops.BecomeRoot(), "user_namespaces(7)")


def hide(case: CreateCase) -> Iterator[Step]:
    """Shut out observers at once, where no id maps are to be written from outside."""
    if not case.makes("user"):
        yield Step(ops.NotDumpable(), "CVE-2016-9962")


def find_user(case: Case) -> Iterator[Step]:
    """Look up a user by name where the image's own files say who that is."""
    if case.options.user:
        yield Step(ops.FindUser(case.options.user), _USER)


def own_stdio(case: Case) -> Iterator[Step]:
    """Let the user reopen /dev/stdout when that is a pipe of root's."""
    if not case.options.console:
        yield Step(ops.StdioOwner(case.process.user.uid, case.process.user.gid), _USER)


def enter_workdir(case: Case) -> Iterator[Step]:
    """The working directory as root, before a filter that may refuse what it takes to look where that is.

    A refusal is left to the user: root may be kept out of a file system of the user's (NFS, FUSE), as the user may be
    of a path of root's.
    """
    yield Step(ops.Chdir(case.process.cwd, 1), "config.md#process")


def become_user(case: Case) -> Iterator[Step]:
    """Bounding set first (it needs CAP_SETPCAP), then ids, then the sets that the new ids keep.

    The working directory, if root has been refused there, is tried between them: by the user's id with root's power.
    """
    user, sets = case.process.user, granted(case)
    umask = DEFAULT_UMASK if user.umask is None else user.umask
    keep = (case.spec.annotations or {}).get(_KEEP_GROUPS) == "1"
    groups = tuple(user.additionalGids or ())
    yield Step(ops.DropBounding(sets["bounding"]), "config.md#linux-process")
    yield Step(ops.SetIdentity(user.uid, user.gid, groups, umask, int(keep)), _USER)
    yield Step(ops.Chdir(case.process.cwd, 0), "config.md#process")
    yield Step(
        ops.Capabilities(sets["effective"], sets["permitted"], sets["inheritable"], sets["ambient"]),
        "config.md#linux-process",
    )


def granted(case: Case) -> dict[str, int]:
    """The five sets as masks, without what can't be granted: that is warned of, not an error (config.md#linux-process).

    A process in another user namespace starts with all capabilities of that namespace (user_namespaces(7)); in ours it
    can't get beyond its own bounding set.
    """
    wanted = case.process.capabilities
    limit = (2 << case.host.last_capability) - 1
    if not case.has("user"):
        limit &= case.host.bounding
    sets = {}
    refused: list[str] = []
    for kind in ("bounding", "effective", "permitted", "inheritable", "ambient"):
        mask, unknown = capabilities.mask(getattr(wanted, kind) if wanted else ())
        refused += [*unknown, *capabilities.names(mask & ~limit)]
        sets[kind] = mask & limit
    if refused:
        names = ", ".join(dict.fromkeys(refused))
        case.warnings.append(f"process.capabilities: left out what can't be granted here: {names}")
    raisable = sets["inheritable"] & sets["permitted"]
    for name in capabilities.names(sets["ambient"] & ~raisable):
        case.warnings.append(
            f"can't raise ambient capability {name}: it is not both in the inheritable and the permitted set"
        )
    sets["ambient"] &= raisable
    return sets
