"""linux.intelRdt from creation to deletion, with a directory that plays the file system."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.contract.oci import Bundle
from tests.needs import needs
from tests.played_resctrl import Kernel
from utsuwa.errors import FailedPrecondition, NotFound
from utsuwa.runtime.bundle import load
from utsuwa.runtime.create import build
from utsuwa.runtime.delete import delete
from utsuwa.runtime.draft import CreateRequest
from utsuwa.runtime.record import Store
from utsuwa.runtime.undo import Undo
from utsuwa.runtime.update import update
from utsuwa.spec.runtime import Resources

pytestmark = needs("root", "busybox")
ID = f"utsuwa-test-rdt-{os.getpid()}"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path / "resctrl", monkeypatch)


def created(tmp_path: Path, **wanted: Any) -> Store:
    """A store with a container of that class; like one that `urun create` has left waiting."""
    busybox = tmp_path / "busybox"
    shutil.copy(shutil.which("busybox") or "", busybox)
    bundle = Bundle(tmp_path / "bundle", busybox)
    bundle.linux["intelRdt"] = wanted
    store, request = Store(str(tmp_path / "root")), CreateRequest(id=ID, bundle=str(bundle.write()))
    with Undo() as undo:
        container, child = build(store, request, load(request.bundle), undo, await_start=True)
    child.close()
    container.unlock()
    return store


def test_the_process_joins_its_class_and_what_counts_it(tmp_path: Path, kernel: Kernel) -> None:
    store = created(tmp_path, l3CacheSchema="L3:0=f", memBwSchema="MB:0=20", enableMonitoring=True)
    own = kernel.root / ID
    assert (own / "schemata").read_text() == "L3:0=f\nMB:0=20\n"
    assert (own / "tasks").read_text() == (own / "mon_groups" / ID / "tasks").read_text() == "0"  # whoever writes it
    update(store, ID, Resources(), ("L3:0=3",))
    assert (own / "schemata").read_text() == "L3:0=3\n"
    pid = store.open(ID).document.pid
    delete(store, ID, force=True)
    os.waitpid(pid, 0)
    assert not own.exists()


def test_a_failed_creation_leaves_no_class(tmp_path: Path, kernel: Kernel) -> None:
    os.unlink(kernel.root / "tasks")
    with pytest.raises(NotFound, match="join the cgroups"):
        created(tmp_path, closID="/", schemata=["L3:0=fffff"], enableMonitoring=True)
    assert not (kernel.root / "mon_groups" / ID).exists() and kernel.root.is_dir()


def test_a_host_without_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="no resctrl file system"):
        created(tmp_path, closID="gold")
    assert not (tmp_path / "root" / ID).exists()
