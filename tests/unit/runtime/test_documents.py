"""Bundles, features, lists: what verbs read and print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from utsuwa.errors import Conflict, InvalidArgument, NotFound
from utsuwa.runtime import bundle, features
from utsuwa.runtime.list import columns
from utsuwa.runtime.spec import write_spec
from utsuwa.seccomp.compile import compile
from utsuwa.spec.codec import dumps
from utsuwa.spec.runtime import Seccomp, SyscallArg, SyscallRule


def test_a_bundle_is_read_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_spec(str(tmp_path))
    (tmp_path / "real").mkdir()
    (tmp_path / "rootfs").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    for path in ("", ".", str(tmp_path), f"../{tmp_path.name}"):
        found = bundle.load(path)
        assert (found.path, found.rootfs) == (str(tmp_path), str(tmp_path / "real"))


def test_what_a_bundle_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"bundle .*/nowhere: no such file or directory"):
        bundle.load(str(tmp_path / "nowhere"))
    with pytest.raises(NotFound, match=r"JSON specification file config\.json not found"):
        bundle.load(str(tmp_path))
    write_spec(str(tmp_path))
    with pytest.raises(NotFound, match=r"root\.path: invalid rootfs .*/rootfs"):
        bundle.load(str(tmp_path))
    (tmp_path / "rootfs").touch()
    with pytest.raises(InvalidArgument, match=r"root\.path"):
        bundle.load(str(tmp_path))
    (tmp_path / "config.json").write_text('{"ociVersion": "1.0.2"}')
    with pytest.raises(InvalidArgument, match="root"):
        bundle.load(str(tmp_path))


def test_a_configuration_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(Conflict, match=r"File config\.json exists\. Remove it first"):
        write_spec(str(tmp_path))
    assert (tmp_path / "config.json").read_text() == "mine"


def test_features_are_what_the_compiler_takes() -> None:
    actions = [SyscallRule(names=("read",), action=action) for action in features.ACTIONS]
    compile(Seccomp(defaultAction="SCMP_ACT_ALLOW", flags=features.FLAGS, syscalls=tuple(actions)))
    for operator in features.OPERATORS:
        argument = SyscallArg(index=0, value=1, op=operator)
        rule = SyscallRule(names=("read",), action="SCMP_ACT_ERRNO", args=(argument,))
        compile(Seccomp(defaultAction="SCMP_ACT_ALLOW", syscalls=(rule,)))
    for architecture in features.ARCHITECTURES:
        compile(Seccomp(defaultAction="SCMP_ACT_ALLOW", architectures=(architecture,)))


def test_features_are_a_document() -> None:
    found = json.loads(dumps(features.features(), indent=4))
    assert found["mountOptions"] == sorted(found["mountOptions"])
    assert found["linux"]["intelRdt"] == dict.fromkeys(("enabled", "schemata", "monitoring"), True)
    assert "MPOL_BIND" in found["linux"]["memoryPolicy"]["modes"]
    assert found["linux"]["mountExtensions"]["idmap"] == found["linux"]["netDevices"] == {"enabled": True}
    assert "CAP_SYS_ADMIN" in found["linux"]["capabilities"]


def test_the_table_is_set_as_gos_tabwriter_does() -> None:
    row = {"id": "a-long-identifier", "pid": 5, "status": "running", "bundle": "/b", "created": "now", "owner": "root"}
    assert columns([row]).splitlines() == [
        "ID                  PID         STATUS      BUNDLE      CREATED     OWNER",
        "a-long-identifier   5           running     /b          now         root",
    ]
