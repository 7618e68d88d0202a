"""Numbers of the kernel: held against its headers where those are installed, and against Python's own tables."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import pytest

from utsuwa.linux import capabilities, mounts, namespaces, rlimits


def test_capability_numbers_are_those_of_the_kernel() -> None:
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip("needs linux/capability.h of linux-libc-dev")
    numbers = dict(re.findall(r"^#define (CAP_[A-Z_]+)\s+(\d+)$", header.read_text(), re.MULTILINE))
    assert {name: int(number) for name, number in numbers.items()} == capabilities.NUMBERS


def test_masks_and_names_are_inverse() -> None:
    bits, unknown = capabilities.mask(("CAP_MKNOD", "CAP_CHOWN", "CAP_NOPE"))
    assert (bits, unknown) == (1 | 1 << 27, ("CAP_NOPE",))
    assert capabilities.names(bits) == ("CAP_CHOWN", "CAP_MKNOD")
    assert capabilities.names(1 << 41) == ("CAP_41",)
    assert capabilities.mask(None) == (0, ())
    assert capabilities.mask(capabilities.names(capabilities.ALL))[0] == capabilities.ALL


def test_limits_have_the_numbers_of_this_machine() -> None:
    ours = {name: number for name, number in rlimits.RLIMITS.items() if hasattr(resource, name)}
    assert len(ours) >= 14
    assert ours == {name: getattr(resource, name) for name in ours}


def test_namespace_names() -> None:
    assert namespaces.names(namespaces.CLONE_NEWPID) == "pid"
    assert namespaces.names(namespaces.CLONE_NEWPID | namespaces.CLONE_NEWUSER) == "pid and user"
    assert namespaces.names(namespaces.CLONE_NEWPID | namespaces.CLONE_NEWNET | namespaces.CLONE_NEWNS) == (
        "pid, network and mount"
    )
    assert namespaces.name(namespaces.CLONE_NEWNS) == "mount"


def test_mount_numbers_are_those_of_the_kernel() -> None:
    header = Path("/usr/include/linux/mount.h")
    if not header.exists():
        pytest.skip("needs linux/mount.h of linux-libc-dev")
    text = header.read_text()
    found = dict(re.findall(r"^#define (MOUNT_ATTR_\w+)\s+(0x[0-9A-Fa-f]+)", text, re.MULTILINE))
    ours = {name: value for name, value in vars(mounts).items() if name.startswith("MOUNT_ATTR_")}
    assert len(ours) == 10
    assert {name: int(found[name], 16) for name in ours} == ours
    shifts = dict(re.findall(r"^#define (MS_(?:UNBINDABLE|PRIVATE|SLAVE|SHARED))\s+\(1<<(\d+)\)", text, re.MULTILINE))
    assert {name: 1 << int(shift) for name, shift in shifts.items()} == {name: getattr(mounts, name) for name in shifts}


# config.md#mounts: what a runtime MUST support, SHOULD support, and MAY.
SPECIFIED = """async atime bind defaults dev diratime dirsync exec iversion lazytime loud noatime nodev nodiratime
noexec noiversion nolazytime norelatime nostrictatime nosuid private rbind relatime remount ro rprivate rshared rslave
runbindable rw shared silent slave strictatime suid sync unbindable nosymfollow symfollow rro rrw rnosuid rsuid rnodev
rdev rnoexec rexec rnodiratime rdiratime rrelatime rnorelatime rnoatime ratime rstrictatime rnostrictatime rsymfollow
rnosymfollow idmap ridmap mand nomand tmpcopyup""".split()  # noqa: SIM905 - as a list it would fill the screen


def test_every_word_of_the_specification_is_an_option_and_no_data() -> None:
    assert set(SPECIFIED) == set(mounts.WORDS)
    assert mounts.parse(tuple(SPECIFIED)).data == []


@pytest.mark.parametrize(("words", "bits", "clear"), [
    (("ro", "nosuid"), mounts.MOUNT_ATTR_RDONLY | mounts.MOUNT_ATTR_NOSUID, 0),
    (("ro", "rw"), 0, mounts.MOUNT_ATTR_RDONLY),
    (("rw", "ro"), mounts.MOUNT_ATTR_RDONLY, 0),
    (("noatime",), mounts.MOUNT_ATTR_NOATIME, mounts.MOUNT_ATTR__ATIME),
    (("noatime", "strictatime"), mounts.MOUNT_ATTR_STRICTATIME, mounts.MOUNT_ATTR__ATIME),
    (("strictatime", "relatime"), 0, mounts.MOUNT_ATTR__ATIME),
    (("noatime", "atime"), 0, mounts.MOUNT_ATTR__ATIME),
    (("noatime", "nostrictatime"), mounts.MOUNT_ATTR_NOATIME, mounts.MOUNT_ATTR__ATIME),
    (("noatime", "norelatime"), mounts.MOUNT_ATTR_NOATIME, mounts.MOUNT_ATTR__ATIME),
    (("defaults", "iversion", "silent"), 0, 0),
])  # fmt: skip
def test_attributes_of_options_and_of_their_recursive_forms(words: tuple[str, ...], bits: int, clear: int) -> None:
    plain = mounts.parse(words)
    assert (plain.set, plain.clear) == (bits, clear)
    if "defaults" not in words:
        recursive = mounts.parse(tuple("r" + word for word in words))
        assert (recursive.rec_set, recursive.rec_clear) == (bits, clear)
        assert (recursive.set, recursive.clear) == (0, 0)


def test_access_times_are_cleared_whole_or_not_at_all() -> None:
    for words in (("noatime",), ("atime", "noatime"), ("strictatime", "noatime", "ro"), ("relatime",)):
        assert mounts.parse(words).clear & mounts.MOUNT_ATTR__ATIME == mounts.MOUNT_ATTR__ATIME


def test_what_is_no_word_is_data_of_the_file_system() -> None:
    options = mounts.parse(("size=1m,mode=700", "", "nr_inodes=1", "sync", "rfoo"))
    assert options.data == ["size=1m", "mode=700", "nr_inodes=1", "rfoo"]
    assert options.superblock == ["sync"]


def test_changes_in_words() -> None:
    assert mounts.changes(mounts.MOUNT_ATTR_RDONLY, mounts.MOUNT_ATTR_NOEXEC) == ["read-only", "exec"]
    assert mounts.changes(mounts.MOUNT_ATTR_NOATIME, mounts.MOUNT_ATTR__ATIME) == ["noatime"]
    assert mounts.changes(0, mounts.MOUNT_ATTR__ATIME) == ["relatime"]
    assert mounts.propagation(mounts.MS_SLAVE | mounts.MS_REC) == "slave all the way down"
    assert mounts.propagation(0) == ""
