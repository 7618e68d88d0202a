"""A kept draft is the one that would be made, for the next container too; and no secrets are kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from marshal import loads
from pathlib import Path
from typing import Any

import pytest

from utsuwa.linux import host as linux_host
from utsuwa.linux.host import Host
from utsuwa.runtime import bundle as bundles
from utsuwa.runtime import kept as kept_module
from utsuwa.runtime.draft import CreateRequest, Draft
from utsuwa.runtime.kept import Expected, Kept
from utsuwa.runtime.record import encoded
from utsuwa.runtime.spec import write_spec
from utsuwa.spec.mount import Mount

HOST = Host(
    cgroup_mode="v1",
    cgroup_mounts={"memory": "/sys/fs/cgroup/memory", "devices": "/sys/fs/cgroup/devices"},
    cgroup_roots={"memory": "/", "devices": "/"},
    cgroup_paths={"memory": "/own", "devices": "/"},
)
SECRET = "correct horse battery staple"
Change = Callable[[dict[str, Any]], object]
Place = tuple[Kept, CreateRequest, bundles.Bundle]


class House:
    """Bundles of containers, and one place where drafts are kept."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.drafts = str(directory / "drafts")
        write_spec(str(directory))
        self._config = (directory / "config.json").read_text()

    def place(
        self, name: str, change: Change | None = None, **asked: Any
    ) -> tuple[Kept, CreateRequest, bundles.Bundle]:
        path = self.directory / name
        (path / "rootfs").mkdir(parents=True, exist_ok=True)
        config = json.loads(self._config)
        config |= {"hostname": name[:12], "annotations": {"key": SECRET + name}}
        config["process"] |= {"terminal": False, "env": [f"KEY={SECRET}", f"ID={name}"], "args": ["sh", SECRET, name]}
        config["linux"] |= {"cgroupsPath": f"/engine/{name}"}
        config["mounts"].append({"destination": "/etc/id", "source": f"/var/{name}/id", "options": ["bind", "ro"]})
        if change:
            change(config)
        (path / "config.json").write_text(json.dumps(config))
        request = CreateRequest(id=name, bundle=str(path), **asked)
        bundle = bundles.read(str(path))
        return Kept(self.drafts, request, bundle), request, bundle

    def start(self, name: str, change: Change | None = None, host: Host = HOST, **asked: Any) -> Draft:
        """As a run does it."""
        kept, request, bundle = self.place(name, change, **asked)
        draft = kept.recall(host)
        if draft is None:
            draft = Draft.make(request, bundle, host)
            draft.settle("")
        kept.keep(draft, host, "")
        return draft

    def entries(self) -> list[bytes]:
        return [path.read_bytes() for path in Path(self.drafts).iterdir() if not path.is_symlink()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def names() -> tuple[str, str, str]:
    one, two, three = (os.urandom(32).hex() for _ in range(3))
    return one, two, three


@pytest.mark.parametrize(
    "asked",
    [{}, {"init": True, "user": "0"}, {"network": True}, {"no_pivot": True}],
    ids=["plain", "init", "network", "no-pivot"],
)
def test_the_third_of_a_shape_is_recalled_as_it_would_be_made(house: House, asked: dict[str, Any]) -> None:
    one, two, three = names()
    assert not house.start(one, **asked).recalled
    assert not house.start(two, **asked).recalled
    third = house.start(three, **asked)
    assert third.recalled
    assert not house.start(three + "0", **asked).recalled  # a longer name is another shape
    _, request, bundle = house.place(three, **asked)
    made = Draft.make(request, bundle, HOST)
    made.settle("")
    assert made.settled and third.settled
    assert loads(third.packed()) == loads(made.packed())
    assert third.document.replace(created="") == made.document.replace(created="")
    assert third.document.annotations == {"key": SECRET + three}
    assert three.encode() in third.settled.wire and SECRET.encode() in third.settled.wire
    assert (third.manager.save(), third.owner(), third.bundle.rootfs) == (
        made.manager.save(),
        made.owner(),
        made.bundle.rootfs,
    )


def test_mounts_of_the_root_are_the_container_s_own(house: House) -> None:
    def overlay(name: str) -> dict[str, Any]:
        return {
            "root_mounts": (Mount(type="overlay", source="overlay", options=(f"upperdir=/s/{name}", "lowerdir=/l")),)
        }

    for name in names()[:2]:
        house.start(name, **overlay(name))
    name = names()[0]
    third = house.start(name, **overlay(name))
    assert third.recalled and third.settled
    assert f"/s/{name}".encode() in third.settled.wire


def test_what_is_kept_has_no_secrets(house: House) -> None:
    for name in names()[:2]:
        house.start(name)
    (entry,) = house.entries()
    assert len(entry) > 1000
    for word in (SECRET, *names()[:1]):
        assert word.encode() not in entry
    assert os.stat(house.drafts).st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["process"].update(args=["sh"]),
        lambda config: config["process"]["env"].append("MORE=1"),
        lambda config: config["annotations"].update(other="1"),
        lambda config: config["mounts"].pop(),
        lambda config: config["root"].update(readonly=False),
    ],
)
def test_another_configuration_is_another_shape(house: House, change: Change) -> None:
    for name in names()[:2]:
        house.start(name)
    assert not house.start(names()[0], change).recalled


def test_another_host_is_another_plan(house: House) -> None:
    for name in names()[:2]:
        house.start(name)
    other = HOST.replace(cgroup_paths={"memory": "/", "devices": "/"})
    assert not house.start(names()[0], host=other).recalled
    assert house.start(names()[0], host=other).recalled


def test_what_is_observed_again_is_not_worked_out_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    observed = linux_host.observe()
    for name in names()[:2]:
        house.start(name, host=linux_host.facts(observed))
    for module in (linux_host, kept_module):
        monkeypatch.setattr(module, "observe", lambda: observed)
    monkeypatch.setattr(linux_host, "facts", lambda observed: HOST)
    kept, _, _ = house.place(names()[0])
    found = kept.probe()
    assert found != HOST and kept.recall(found)
    observed = (observed[0] + b"1 1 0:1 / /elsewhere rw - tmpfs tmpfs rw\n", *observed[1:])
    assert kept.probe() == HOST  # a mount more: looked at


def test_another_boot_is_another_shape_for_who_has_labels(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def label(config: dict[str, Any]) -> None:
        config["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0"

    for change in (None, label):
        for name in names()[:2]:
            house.start(name, change)
        assert house.start(names()[0], change).recalled
    monkeypatch.setattr("utsuwa.runtime.kept.boot", lambda: b"another")
    assert house.start(names()[0]).recalled
    assert not house.start(names()[0], label).recalled


def test_a_root_file_system_that_moved_is_looked_at_anew(house: House) -> None:
    for name in names()[:2]:
        house.start(name)
    three = names()[0]
    kept = house.place(three)[0]
    root = house.directory / three / "rootfs"
    root.rename(root.with_name("real"))
    assert kept.recall(HOST) is None
    root.symlink_to("real")
    assert kept.recall(HOST) is None
    assert house.start(three).bundle.rootfs.endswith("/real")


def test_a_name_that_means_something_else_too_is_found_out(house: House) -> None:
    host = HOST.replace(cgroup_mounts={"memory": "/sys/fs/cgroup/memory", "devices": "/sys/fs/group1"})
    for name in ("group1", "group1", "group1", "group2", "group3"):
        assert not house.start(name, host=host).recalled
    made = Draft.make(*house.place("other1")[1:], host)
    assert house.start("other1", host=host).document.cgroup == made.document.cgroup


def test_damage_is_not_believed(house: House) -> None:
    for name in names()[:2]:
        house.start(name)
    (path,) = Path(house.drafts).iterdir()
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:40], b"", whole[:50] + b"\0" + whole[51:]):
        path.write_bytes(damaged)
        assert not house.place(names()[0])[0].found


def test_what_a_waiting_creator_expects_is_the_last_shape_by_heart(house: House) -> None:
    def other(config: dict[str, Any]) -> None:
        config["process"]["cwd"] = "/tmp"

    assert Expected(house.drafts).entry is None
    for change in (None, other):
        for name in names()[:2]:
            house.start(name, change)
        kept = house.place(names()[0], change)[0]
        kept.point_out()
    expected = Expected(house.drafts)
    assert expected.entry
    place = house.place(names()[0])  # of the other shape: it is looked up
    kept = Kept(house.drafts, *place[1:], expected)
    assert kept.recall(HOST)
    kept.point_out()
    for entry in Path(house.drafts).iterdir():
        if not entry.is_symlink():
            entry.unlink()
    place = house.place(names()[0], other)
    draft = Kept(house.drafts, *place[1:], expected).recall(HOST)  # which has read nothing
    made = Draft.make(*place[1:], HOST)
    made.settle("")
    assert draft and draft.settled == made.settled
    assert Expected(house.drafts).entry is None
    assert not Kept(house.drafts, *place[1:], Expected(house.drafts)).found


def test_a_link_out_of_the_place_leads_nowhere(house: House) -> None:
    for name in names()[:2]:
        house.start(name)
    (entry,) = Path(house.drafts).iterdir()
    house.place(names()[0])[0].point_out()
    link = Path(house.drafts) / "latest"
    epoch = os.readlink(link).partition(".")[0]
    assert Expected(house.drafts).entry
    link.unlink()
    link.symlink_to(f"{epoch}.../{entry.parent.name}/{entry.name}")
    assert Expected(house.drafts).entry is None


def test_what_another_version_points_out_is_not_read(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in names()[:2]:
        house.start(name)
    house.place(names()[0])[0].point_out()
    assert Expected(house.drafts).entry
    monkeypatch.setattr("utsuwa.runtime.kept._EPOCH", bytes(16))
    monkeypatch.setattr("utsuwa.runtime.kept.Entry", None)
    assert Expected(house.drafts).entry is None


def test_half_a_character_is_nothing_to_know_by_heart(house: House) -> None:
    def change(config: dict[str, Any]) -> None:
        config["process"]["env"].append("HALF=\ud800")

    for name in names():
        assert not house.start(name, change).recalled


def test_a_configuration_with_our_own_marks_in_it_is_of_no_shape(house: House) -> None:
    one, two, _ = names()
    house.start(one)
    house.start(two)
    _, request, bundle = house.place(one)
    feigned = bundles.Bundle(bundle.path, bundle.config.replace(one.encode(), b"\1"), rootfs=bundle.rootfs)
    assert not Kept(house.drafts, request, feigned).found


def test_the_record_is_the_one_that_would_be_written(house: House) -> None:
    for name in names()[:2]:
        house.start(name)
    name = names()[0]
    draft = house.start(name)
    assert draft.recalled
    made = Draft.make(*house.place(name)[1:], HOST)
    assert json.loads(draft.record()) == json.loads(encoded(made.document.replace(created=draft.document.created)))


def test_hooks_are_never_known_by_heart(house: House) -> None:
    hook = {"hooks": {"poststart": [{"path": "/bin/true"}]}}
    for name in names():
        assert not house.start(name, lambda config: config.update(hook)).recalled
    assert house.entries() == []
