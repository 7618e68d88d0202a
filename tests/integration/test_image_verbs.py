"""The verbs that look at images and remove them: lists, filters, documents, pruning, disk usage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.household import IMAGE, Household
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    household = Household(tmp_path_factory.mktemp("verbs"))
    yield household
    household.end()


@pytest.fixture
def house(base: Household, tmp_path: Path) -> Household:
    base.ok("system", "prune", "-af", "--volumes")
    base.load(tmp_path)
    return base


def _ids(house: Household, *words: str) -> list[str]:
    return house.ok("images", "--format", "{{.Repository}}:{{.Tag}}", *words).split()


def _derive(house: Household, *words: str) -> str:
    container = house.ok("create", IMAGE).strip()
    made = house.ok("commit", *words[:-1], container, *words[-1:]).strip()
    house.ok("rm", container)
    return made


def test_lists_by_filters(house: Household) -> None:
    _derive(house, "-c", "LABEL kind=one", "-m", "x", "r.io/team/one:1")
    house.ok("tag", "r.io/team/one:1", "two:2")
    assert sorted(_ids(house)) == ["r.io/team/one:1", "two:2", f"{IMAGE}:latest"]
    assert _ids(house, "-f", "label=kind=one", "-f", "reference=two") == ["two:2"]
    assert _ids(house, "-f", "label=kind=other") == []
    assert _ids(house, "-f", "reference=r.io/*/one:*") == ["r.io/team/one:1"]
    assert _ids(house, "-f", f"since={IMAGE}", "two:*") == ["two:2"]
    assert _ids(house, "-f", "before=two:2") == [f"{IMAGE}:latest"]
    assert len(_ids(house, "-f", "until=1s")) in (1, 3) and _ids(house, "-f", "until=24h") == [f"{IMAGE}:latest"]
    for text, words in (("nonsense=1", "invalid filter 'nonsense'"), ("dangling=perhaps", "invalid filter 'dangling=")):
        assert words in house("images", "-f", text).stderr.decode()
    row = json.loads(house.ok("image", "ls", "--format", "json", "two"))
    assert (row["Repository"], row["Containers"], row["UniqueSize"]) == ("two", "N/A", "N/A")


def test_intermediate_images_are_hidden(house: Household) -> None:
    first = _derive(house, "-m", "first", "step")
    container = house.ok("create", "step").strip()
    house.ok("commit", container, "last")
    house.ok("rm", container)
    assert house.ok("rmi", "step") == "Untagged: step:latest\n"
    assert sorted(_ids(house)) == ["last:latest", f"{IMAGE}:latest"]
    assert "<none>:<none>" in _ids(house, "-a")
    assert _ids(house, "-f", "dangling=true") == []
    assert house.ok("image", "inspect", "-f", "{{.Parent}}", "last").strip() == first
    assert house.ok("history", "-q", "--no-trunc", "last").split()[1] == first
    refused = house("rmi", "-f", first)
    assert refused.returncode == 1 and b"(cannot be forced) - image has dependent child images" in refused.stderr
    assert f"Deleted: {first}" in house.ok("image", "rm", "last")


def test_documents(house: Household) -> None:
    _derive(
        house, "-a", "somebody", "-m", "words", "-c", "EXPOSE 80-81", "-c", 'HEALTHCHECK --retries=2 CMD ["t"]', "d"
    )
    (found,) = json.loads(house.ok("image", "inspect", "d"))
    assert (found["Author"], found["Comment"], found["RepoTags"]) == ("somebody", "words", ["d:latest"])
    assert sorted(found["Config"]["ExposedPorts"]) == ["80/tcp", "81/tcp"]
    assert found["Config"]["Healthcheck"] == {"Test": ["CMD", "t"], "Retries": 2}
    assert found["Metadata"]["LastTagTime"].startswith("20")
    assert house.ok("inspect", "-f", "{{.Os}}/{{len .RootFS.Layers}}", "d") == "linux/2\n"
    missing = house("image", "inspect", "nothing")
    assert (missing.returncode, missing.stdout) == (1, b"[]\n")


def test_pruning_takes_what_nothing_needs(house: Household) -> None:
    nameless = _derive(house, "-m", "nameless", "gone")
    _derive(house, "-m", "other", "gone")
    _derive(house, "-m", "unused", "unused")
    house.ok("run", "--name", "keeps", IMAGE, "true")
    assert house("image", "prune", stdin=b"n\n").returncode == 1
    pruned = house.ok("image", "prune", "-f").splitlines()
    assert pruned[:2] == ["Deleted Images:", f"deleted: {nameless}"] and pruned[-1].startswith("Total reclaimed space:")
    assert house.ok("image", "prune", "-f", "-a", "--filter", "until=24h") == "Total reclaimed space: 0B\n"
    assert "untagged: unused:latest" in house.ok("image", "prune", "-af")
    assert _ids(house) == [f"{IMAGE}:latest"]
    summary = [json.loads(line) for line in house.ok("system", "df", "--format", "json").splitlines()]
    assert [(row["Type"], row["TotalCount"], row["Active"]) for row in summary] == [
        ("Images", "1", "1"),
        ("Containers", "1", "0"),
        ("Local Volumes", "0", "0"),
        ("Build Cache", "0", "0"),
    ]
    house.ok("rm", "keeps")
    assert f"untagged: {IMAGE}:latest" in house.ok("system", "prune", "-af")
    assert house.ok("images", "-q") == ""
    for folder in ("content/blobs/sha256", "snapshots/layers/sha256", "snapshots/unpacking", "content/ingest"):
        assert not any((house.root / folder).iterdir())
