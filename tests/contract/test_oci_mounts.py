"""The contract of mount options: every word of config.md#mounts, as the kernel then shows it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime


class Shown:
    """A line of mountinfo: attributes of the mount, its propagation, options of the file system."""

    def __init__(self, line: str) -> None:
        before, _, after = line.partition(" - ")
        fields = before.split()
        self.attributes = set(fields[5].split(","))
        self.propagation = {field.partition(":")[0] for field in fields[6:]}
        self.options = set(after.split()[2].split(","))


def shown(oci: Runtime, bundle: Bundle, *targets: str) -> list[Shown]:
    """What the container sees at those places."""
    lines = oci.inside(bundle, "cat /proc/self/mountinfo").splitlines()
    found = {line.split()[4]: Shown(line) for line in lines}
    return [found[target] for target in targets]


def fresh(bundle: Bundle, *options: str) -> Bundle:
    """A tmpfs at /data."""
    mount = {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": list(options)}
    bundle.config["mounts"].append(mount)
    return bundle


ALL = {"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow"}

ATTRIBUTES = [
    *((word, {word, "relatime", "rw"} - ({"rw"} if word == "ro" else set())) for word in ("ro", "nosuid", "nodev")),
    ("noexec", {"noexec", "relatime", "rw"}),
    ("nodiratime", {"nodiratime", "relatime", "rw"}),
    ("noatime", {"noatime", "rw"}),
    ("relatime", {"relatime", "rw"}),
    ("strictatime", {"rw"}),
    *((word, {"relatime", "rw"}) for word in ("rw", "suid", "dev", "exec", "atime", "diratime", "symfollow")),
    *((word, {"relatime", "rw"}) for word in ("nostrictatime", "defaults", "async", "silent", "loud", "nomand")),
    *((word, {"relatime", "rw"}) for word in ("iversion", "noiversion", "nolazytime")),
]


@pytest.mark.parametrize(("word", "attributes"), ATTRIBUTES, ids=[word for word, _ in ATTRIBUTES])
def test_a_word_for_a_new_file_system(oci: Runtime, bundle: Bundle, word: str, attributes: set[str]) -> None:
    (data,) = shown(oci, fresh(bundle, word), "/data")
    assert data.attributes == attributes


def test_links_that_are_not_followed(oci: Runtime, bundle: Bundle) -> None:
    script = "ln -s /bin /data/link && ls /data/link/ >/dev/null 2>&1 || echo no"
    assert oci.inside(fresh(bundle, "nosymfollow"), script) == "no\n"


@pytest.mark.parametrize("word", ["sync", "dirsync", "lazytime"])
def test_a_word_for_the_file_system_itself(oci: Runtime, bundle: Bundle, word: str) -> None:
    (data,) = shown(oci, fresh(bundle, word), "/data")
    assert word in data.options


@pytest.mark.parametrize(
    ("word", "propagation"),
    [("shared", {"shared"}), ("rshared", {"shared"}), ("private", set()), ("rprivate", set())]
    + [("unbindable", {"unbindable"}), ("runbindable", {"unbindable"}), ("slave", set()), ("rslave", set())],
)
def test_propagation(oci: Runtime, bundle: Bundle, word: str, propagation: set[str]) -> None:
    (data,) = shown(oci, fresh(bundle, word), "/data")
    assert data.propagation == propagation


def test_an_unbindable_root_with_paths_to_protect(oci: Runtime, bundle: Bundle) -> None:
    bundle.linux["rootfsPropagation"] = "runbindable"
    bundle.linux["readonlyPaths"] = ["/etc"]
    bundle.linux["maskedPaths"] = ["/var"]
    script = "echo > /etc/new 2>/dev/null || grep -c unbindable /proc/self/mountinfo"
    assert int(oci.inside(bundle, script)) >= 3


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """Two file systems, one in the other, with every attribute that can be taken away."""
    top = tmp_path / "tree"
    for path in (top, top / "below"):
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "nosuid,nodev,noexec,noatime", "none", str(path)], check=True)
    yield top
    subprocess.run(["umount", str(top / "below"), str(top)], check=True)


PLAIN = {"rw", "nosuid", "nodev", "noexec", "noatime"}
RECURSIVE = [
    ("rro", PLAIN - {"rw"} | {"ro"}),
    ("rrw", PLAIN),
    ("rsuid", PLAIN - {"nosuid"}),
    ("rdev", PLAIN - {"nodev"}),
    ("rexec", PLAIN - {"noexec"}),
    *((word, PLAIN) for word in ("rnosuid", "rnodev", "rnoexec", "rnoatime", "rdiratime", "rsymfollow")),
    *((word, PLAIN - {"noatime"} | {"relatime"}) for word in ("rrelatime", "ratime", "rnorelatime", "rnostrictatime")),
    ("rstrictatime", PLAIN - {"noatime"}),
    ("rnodiratime", PLAIN | {"nodiratime"}),
    ("rnosymfollow", PLAIN | {"nosymfollow"}),
]


@pytest.mark.parametrize(("word", "attributes"), RECURSIVE, ids=[word for word, _ in RECURSIVE])
def test_a_recursive_word_goes_all_the_way_down(
    oci: Runtime, bundle: Bundle, tree: Path, word: str, attributes: set[str]
) -> None:
    bundle.config["mounts"].append({"destination": "/data", "source": str(tree), "options": ["rbind", word]})
    for mount in shown(oci, bundle, "/data", "/data/below"):
        assert mount.attributes == attributes


def test_a_plain_word_stays_at_the_top(oci: Runtime, bundle: Bundle, tree: Path) -> None:
    bundle.config["mounts"].append({"destination": "/data", "source": str(tree), "options": ["rbind", "ro"]})
    data, below = shown(oci, bundle, "/data", "/data/below")
    assert "ro" in data.attributes and "rw" in below.attributes


def test_a_remount_changes_the_file_system(oci: Runtime, bundle: Bundle) -> None:
    fresh(bundle, "size=64k", "nodev")
    again = {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "size=128k", "nosuid"]}
    bundle.config["mounts"].append(again)
    (data,) = shown(oci, bundle, "/data")
    assert "size=128k" in data.options and "nosuid" in data.attributes


def test_a_remount_that_the_file_system_refuses_is_an_error(oci: Runtime, bundle: Bundle) -> None:
    again = {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "size=little"]}
    fresh(bundle, "size=64k").config["mounts"].append(again)
    assert oci.run(bundle).returncode != 0


def test_a_source_counts_from_the_bundle(oci: Runtime, bundle: Bundle) -> None:
    (bundle.path / "beside").mkdir()
    (bundle.path / "beside/file").write_text("here")
    bundle.config["mounts"].append({"destination": "data", "source": "beside", "options": ["bind"]})
    assert oci.inside(bundle, "cat /data/file") == "here"


def test_what_the_making_of_a_file_system_takes_is_nothing_to_a_bind(oci: Runtime, bundle: Bundle) -> None:
    """As mount(2) has it; urun says so, because the mode may have been meant to protect something."""
    (bundle.path / "beside").mkdir(mode=0o711)
    options = ["bind", "ro", "mode=700", "size=1k"]
    bundle.config["mounts"].append({"destination": "/data", "source": "beside", "options": options})
    done = oci.run(bundle.shell("stat -c %a /data; mkdir /data/new"))
    assert done.stdout == "711\n" and "Read-only file system" in done.stderr
    if oci.name == "urun":
        warning = 'mounts[4].options: "mode=700", "size=1k" left out, without effect on a bind mount'
        assert done.stderr.count(warning) == 1
        oci.create(bundle.sleep())
        assert warning in oci.output(), "create says so, too"


def test_umask_and_groups_are_those_of_the_configuration(oci: Runtime, bundle: Bundle) -> None:
    bundle.process["user"].update(umask=0o027, additionalGids=list(range(3000, 4500)))
    count = oci.inside(bundle, "umask; grep Groups: /proc/self/status | wc -w").split()
    assert count == ["0027", "1501"]
