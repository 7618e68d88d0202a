"""Labels of AppArmor and SELinux: applied where the kernel enforces them, and refused where it does not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.oci import Bundle, Runtime
from tests.needs import cgroups, missing, needs

pytestmark = cgroups

PROFILE = """
profile utsuwa-test flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  mount,
  network,
  signal,
  unix,
  deny /tmp/secret rwl,
}
"""
WRITES = "cat /proc/self/attr/current; { echo x >/tmp/secret; } 2>/dev/null || echo refused"
CONFINED = ["utsuwa-test (enforce)", "refused"]

both = pytest.mark.parametrize("no_new_privileges", [True, False])


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A profile in the kernel that refuses /tmp/secret."""
    mounted = not os.path.exists("/sys/kernel/security/apparmor")
    if mounted:
        subprocess.run(["mount", "-t", "securityfs", "securityfs", "/sys/kernel/security"], check=True)
    source: Path = tmp_path_factory.mktemp("apparmor") / "profile"
    source.write_text(PROFILE)
    subprocess.run(["apparmor_parser", "--skip-cache", "--replace", str(source)], check=True)
    yield "utsuwa-test"
    subprocess.run(["apparmor_parser", "--remove", str(source)], check=True)
    if mounted:
        subprocess.run(["umount", "/sys/kernel/security"], check=True)


@both
@needs("apparmor", "apparmor_parser")
def test_the_program_is_confined(oci: Runtime, bundle: Bundle, profile: str, no_new_privileges: bool) -> None:
    bundle.process.update(apparmorProfile=profile, noNewPrivileges=no_new_privileges)
    assert oci.inside(bundle, WRITES).splitlines() == CONFINED


@both
@needs("apparmor", "apparmor_parser")
def test_exec_is_confined_as_the_container(oci: Runtime, bundle: Bundle, profile: str, no_new_privileges: bool) -> None:
    bundle.process.update(apparmorProfile=profile, noNewPrivileges=no_new_privileges)
    oci.running(bundle.sleep())
    assert oci.ok("exec", oci.id, "sh", "-c", WRITES).splitlines() == CONFINED


@needs("apparmor", "apparmor_parser")
def test_exec_takes_a_profile(oci: Runtime, bundle: Bundle, profile: str) -> None:
    oci.running(bundle.sleep())
    assert oci.ok("exec", "--apparmor", profile, oci.id, "sh", "-c", WRITES).splitlines() == CONFINED
    assert oci.ok("exec", oci.id, "cat", "/proc/self/attr/current").strip() == "unconfined"


@pytest.mark.parametrize("oci", ["urun"], indirect=True)
@needs("apparmor", "apparmor_parser")
def test_confined_in_a_user_namespace(oci: Runtime, bundle: Bundle, profile: str) -> None:
    bundle.process["apparmorProfile"] = profile
    bundle.linux["namespaces"].append({"type": "user"})
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/proc/keys"]
    for kind in ("uidMappings", "gidMappings"):
        bundle.linux[kind] = [{"containerID": 0, "hostID": 0, "size": 65536}]
    oci.running(bundle.sleep())
    assert oci.ok("exec", oci.id, "sh", "-c", WRITES).splitlines() == CONFINED


@pytest.mark.parametrize("oci", ["urun"], indirect=True)
@needs("apparmor", "apparmor_parser")
def test_a_profile_that_is_not_there(oci: Runtime, bundle: Bundle, profile: str) -> None:
    bundle.process["apparmorProfile"] = f"{profile}-missing"
    said = oci.run(bundle).stderr
    assert "write /proc/thread-self/attr/apparmor/exec: no such file or directory" in said
    assert not oci.exists()


@pytest.mark.parametrize("oci", ["urun"], indirect=True)
def test_labels_that_nobody_enforces_are_refused(oci: Runtime, bundle: Bundle) -> None:
    """runc says the same; crun ignores the program's label too."""
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("SELinux is at work")
    label = "system_u:system_r:container_t:s0"
    refusals = [("process", "selinuxLabel", label)]
    if missing("apparmor"):
        refusals.append(("process", "apparmorProfile", "docker-default"))
    for part, name, value in refusals:
        bundle.config[part][name] = value
        said = oci.run(bundle).stderr
        assert f"{part}.{name}: " in said
        assert "not supported" in said
        assert not oci.exists()
        del bundle.config[part][name]
    oci.running(bundle.sleep())
    assert "not supported" in oci.fails("exec", "--process-label", label, oci.id, "true", code=255)


@pytest.mark.parametrize("oci", ["urun"], indirect=True)
def test_a_label_of_mounts_that_nobody_reads_is_left_out(oci: Runtime, bundle: Bundle) -> None:
    """As with crun, and with a warning: files are labelled for a policy, and there is none."""
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("SELinux is at work")
    bundle.linux["mountLabel"] = "system_u:object_r:container_file_t:s0"
    done = oci.run(bundle.shell("grep -c context= /proc/self/mountinfo"))
    assert done.stdout == "0\n"
    assert done.stderr.count("linux.mountLabel: left out") == 1
