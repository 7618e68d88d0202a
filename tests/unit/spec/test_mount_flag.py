"""``--mount``: Docker's words, and Docker's complaints."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.spec.mount_flag import parse_mount, split_fields
from utsuwa.spec.request import Tmpfs, Volume


def test_every_type() -> None:
    assert parse_mount("src=data,dst=/d,volume-nocopy") == Volume(
        kind="volume", source="data", target="/d", copy=False, long=True
    )
    assert parse_mount("type=bind,source=./a,target=/b,ro=1,bind-propagation=rslave", "/here") == Volume(
        kind="bind",
        source="/here/./a",
        target="/b",
        read_only=True,
        propagation="rslave",
        must_exist=True,
        long=True,
    )
    assert parse_mount("type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=0700,readonly") == Tmpfs(
        target="/t", options=("nosuid", "nodev", "noexec", "ro", "size=1048576", "mode=700"), long=True
    )
    assert parse_mount("type=image,src=box,target=/i,image-subpath=etc") == Volume(
        kind="image", source="box", target="/i", read_only=True, subpath="etc", long=True
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("type=bind,src=/a", "target is required"),
        ("x", "invalid field 'x' must be a key=value pair"),
        ("foo=bar,target=/x", "unexpected key 'foo' in 'foo=bar'"),
        ("type=bind,src=/a,target=/x,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
        ("target=/x,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'"),
        ("type=tmpfs,target=/x,tmpfs-size=zz", "invalid value for tmpfs-size: zz"),
        ("type=tmpfs,target=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
        ("type=bind,src=/a,target=/x,readonly=perhaps", "invalid value for readonly: perhaps"),
        ("type=bind,src=/a,target=/x,bind-recursive=foo", "invalid value for bind-recursive: foo"),
        ("type=bind,src=/a,target=/x,bind-recursive=writable", "requires 'readonly' to be specified in conjunction"),
        ("type=bind,src=/a,target=/x,ro,bind-recursive=readonly", "requires 'bind-propagation=rprivate'"),
        ('target=/x,"src=a', 'extraneous or missing " in quoted-field'),
        ("type=npipe,src=a,target=/x", "mount type unknown"),
        ("type=bind,src=/a,target=x", "must be absolute"),
        ("type=tmpfs,src=/a,target=/x", "has no source"),
        ("src=data,target=/x,volume-subpath=../up", "must be a relative path within"),
        ("target=/x,volume-subpath=a", "needs a named volume"),
        ("type=image,src=a,target=/x,readonly=false", "image mounts are read-only"),
        ("", "it is empty"),
    ],
)
def test_mistakes(text: str, complaint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_mount(text)
    assert complaint in str(caught.value)


def test_fields_with_commas_and_quotes() -> None:
    assert split_fields('a=1,"b=2,3","c=""q"""') == ["a=1", "b=2,3", 'c="q"']
