"""Names of an image that would be options of a mount."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.archives import archive, directory, file, symlink
from tests.integration.household import IMAGE, Household
from tests.needs import needs
from tests.security.attack import Decoy
from tools.oci_image import busybox_layer, write_layout
from utsuwa.linux.mounts import parse

HOSTILE = "utsuwa/hostile"


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("size=1,mode=2,", ["size=1", "mode=2"]),
        ("lowerdir=/a\\,lowerdir=/etc:/b", ["lowerdir=/a\\,lowerdir=/etc:/b"]),
        ("lowerdir=/a\\\\,b", ["lowerdir=/a\\\\", "b"]),
    ],
)
def test_a_comma_of_a_name_ends_no_option(word: str, parts: list[str]) -> None:
    """As the kernel's own overlayfs reads them."""
    assert parse((word,)).data == parts


@needs("root", "overlay", "busybox")
def test_layers_are_no_directories_of_the_host(tmp_path: Path) -> None:
    """A directory called ``x,lowerdir=`` with others in it, to which a link of the image leads: mounted with an overlay
    it was the host's directory of that name, and could be read by whoever writes a Dockerfile.

    Proven: without the escape both show the decoy. (Layers as many as these had no place in one value either.)
    """
    if tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (6, 8):
        pytest.skip("needs Linux 6.8: before, so many layers have no place in an option, and commas are refused")
    decoy = Decoy(tmp_path / "decoy")
    hostile, above = f"e/x,lowerdir={decoy.path}", []
    while hostile != "e":
        above.append(directory(hostile))
        hostile = hostile.rpartition("/")[0]
    above += [directory("e"), directory("e/x")]
    name = f"e/x,lowerdir={decoy.path}"
    layers = [
        archive(*reversed(above), file(f"{name}/inner{number}"), symlink("data", f"/{name}")) for number in range(4)
    ]
    house = Household(tmp_path)
    try:
        house.load(tmp_path)
        write_layout(tmp_path / "hostile.tar", [busybox_layer(), *layers], f"{HOSTILE}:latest", {})
        house.ok("load", "-i", str(tmp_path / "hostile.tar"))
        (tmp_path / "context").mkdir()
        long = "x" * 210  # shown shortened, but not looked for so
        (tmp_path / "context" / long).write_text("long\n")
        mount = f"--mount=type=bind,from={HOSTILE},source=data,target=/m"
        (tmp_path / "context" / "Dockerfile").write_text(
            f"FROM {IMAGE}\nRUN {mount} echo $(ls /m) > /read\nRUN {mount},rw echo $(ls /m) > /written\n"
            f"RUN --mount=type=bind,source={long},target=/f cat /f >> /written\n"
        )
        house.ok("build", "-t", "built", str(tmp_path / "context"))
        seen = house.ok("run", "--rm", "built", "cat", "/read", "/written").splitlines()
        flag = f"type=image,src={HOSTILE},dst=/m,image-subpath=data"
        seen.append(" ".join(house.ok("run", "--rm", "--mount", flag, IMAGE, "ls", "/m").split()))
        assert seen.pop(2) == "long"
        assert seen == ["inner0 inner1 inner2 inner3"] * 3
        assert not decoy.touched
    finally:
        house.end()
