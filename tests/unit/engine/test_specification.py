"""Requests and images become configurations."""

from __future__ import annotations

import pytest

from utsuwa.engine import defaults, specification
from utsuwa.errors import InvalidArgument
from utsuwa.spec.image import ImageConfig, RootFS, Settings
from utsuwa.spec.request import RunRequest, Security, Tmpfs
from utsuwa.spec.runtime import Mount, Spec
from utsuwa.spec.validate import validate

CONFIG = ImageConfig(
    architecture="amd64",
    os="linux",
    rootfs=RootFS(type="layers", diff_ids=()),
    config=Settings(Cmd=("sh",), Env=("PATH=/bin", "A=image")),
)


def compose(**asked: object) -> Spec:
    request = RunRequest(image="i", **asked)  # type: ignore[arg-type]
    around = specification.Surroundings("f" * 64, "box", cgroup2=False)
    around.files["/etc/hosts"] = "/state/hosts"
    spec = specification.compose(request, specification.process_defaults(request, CONFIG, "box"), around)
    validate(spec)
    return spec


def test_the_default_container() -> None:
    spec = compose()
    assert spec.process is not None
    assert spec.linux is not None
    assert spec.process.args == ("sh",)
    assert set(spec.process.env or ()) == {"PATH=/bin", "HOSTNAME=box", "A=image"}
    assert [each.type for each in spec.linux.namespaces or ()] == ["mount", "uts", "ipc", "pid", "network"]
    assert spec.linux.cgroupsPath == f"/utsuwa/{'f' * 64}"
    assert spec.linux.seccomp is not None
    assert spec.linux.maskedPaths == defaults.MASKED_PATHS
    assert [each.destination for each in spec.mounts or ()][-1] == "/etc/hosts"


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), len(defaults.CAPABILITIES)),
        (("CAP_SYS_ADMIN",), (), len(defaults.CAPABILITIES) + 1),
        (("CAP_KILL",), ("ALL",), 1),
        (("ALL",), ("CAP_MKNOD",), 40),
        ((), ("CAP_CHOWN", "CAP_KILL"), len(defaults.CAPABILITIES) - 2),
    ],
)
def test_capabilities(add: tuple[str, ...], drop: tuple[str, ...], expected: int) -> None:
    assert len(specification.capabilities(RunRequest(image="i", cap_add=add, cap_drop=drop))) == expected


def test_an_unknown_capability_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="CAP_FLY"):
        specification.capabilities(RunRequest(image="i", cap_add=("CAP_FLY",)))


def test_limits() -> None:
    linux = compose(memory=64 << 20, nano_cpus=500_000_000, pids_limit=10).linux
    assert linux is not None
    resources = linux.resources
    assert resources is not None
    assert resources.memory is not None
    assert (resources.memory.limit, resources.memory.swap) == (64 << 20, 128 << 20)
    assert resources.cpu is not None
    assert (resources.cpu.quota, resources.cpu.period) == (50_000, 100_000)
    assert resources.pids is not None
    assert resources.pids.limit == 10


def test_host_network_and_privileges() -> None:
    host = compose(network="host").linux
    assert host is not None
    assert "network" not in [each.type for each in host.namespaces or ()]
    assert host.sysctl is None
    spec = compose(privileged=True)
    assert spec.linux is not None
    assert spec.linux.seccomp is None
    assert spec.linux.maskedPaths is None
    sys = next(each for each in spec.mounts or () if each.destination == "/sys")
    assert "ro" not in (sys.options or ())


def test_own_mounts_take_the_place_of_defaults() -> None:
    spec = compose(tmpfs=(Tmpfs(target="/dev/shm", options=("size=1m",)),))
    shm = [each for each in spec.mounts or () if each.destination == "/dev/shm"]
    assert shm == [Mount(destination="/dev/shm", type="tmpfs", source="tmpfs", options=("size=1m",))]


def test_what_can_not_be_is_said() -> None:
    with pytest.raises(InvalidArgument, match="seccomp profile: json"):
        compose(security=Security(seccomp="/some/file"))


def test_a_seccomp_profile_is_taken_as_text() -> None:
    spec = compose(security=Security(seccomp='{"defaultAction":"SCMP_ACT_ALLOW"}'))
    assert spec.linux is not None
    assert spec.linux.seccomp is not None
    assert spec.linux.seccomp.defaultAction == "SCMP_ACT_ALLOW"
