"""Docker's value syntaxes: what they mean, and what a mistake is told."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument, Unsupported
from utsuwa.spec import codec, flags
from utsuwa.spec.request import Logging, RunRequest, Security, Tmpfs, Volume, check
from utsuwa.spec.runtime import Rlimit

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1024", 1024),
        ("10b", 10),
        ("64k", 65536),
        ("64KB", 65536),
        ("64KiB", 65536),
        ("512m", 512 * MIB),
        ("1.5g", 1536 * MIB),
        ("2 G", 2048 * MIB),
        ("1t", MIB * MIB),
        ("0.1p", (1 << 50) // 10),
    ],
)
def test_bytes(text: str, size: int) -> None:
    assert flags.parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "m", "-1", "1x", "1mm", "1.m", ".5g", "1e3", "0x10", "1,5g", "\u0661m", "ib", "1ibb"]
)
def test_refused_bytes(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        flags.parse_bytes(text)
    assert str(caught.value) == f"memory: expected a size as 512m or 1.5g, found {text!r}"


def test_bytes_beyond_any_machine() -> None:
    with pytest.raises(InvalidArgument, match=r"^shm: 9000000p is more than any machine has$"):
        flags.parse_bytes("9000000p", "shm")


def test_memory_swap() -> None:
    assert flags.parse_memory_swap("-1") == -1
    assert flags.parse_memory_swap("1g") == 1024 * MIB


@pytest.mark.parametrize(
    ("text", "nano"), [("1", 10**9), ("0.5", 5 * 10**8), (".25", 25 * 10**7), ("1.500", 15 * 10**8), ("0.000000001", 1)]
)
def test_cpus(text: str, nano: int) -> None:
    assert flags.parse_cpus(text) == nano


@pytest.mark.parametrize("text", ["", ".", "1.", "-1", "1e3", "0.0000000001", "two", "9999999", "nan"])
def test_refused_cpus(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^cpus: expected a number of CPUs as 0\.5 or 2, found "):
        flags.parse_cpus(text)


def test_integers() -> None:
    assert flags.parse_integer("-1", "pids-limit") == -1
    for text in ("-2", "", "x", "1.0", "9" * 5000):
        with pytest.raises(InvalidArgument, match=r"^pids-limit: expected an integer of at least -1, found "):
            flags.parse_integer(text, "pids-limit")


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("/src:/dst", Volume(kind="bind", source="/src", target="/dst")),
        ("/src:/dst:ro,z", Volume(kind="bind", source="/src", target="/dst", read_only=True, relabel="z")),
        ("/src:/dst:rslave", Volume(kind="bind", source="/src", target="/dst", propagation="rslave")),
        ("/src:/dst:bind,cached", Volume(kind="bind", source="/src", target="/dst", recursive=False)),
        ("./a:/dst", Volume(kind="bind", source="/home/me/./a", target="/dst")),
        ("data:/var/lib", Volume(kind="volume", source="data", target="/var/lib")),
        ("data:/var/lib:nocopy,rw", Volume(kind="volume", source="data", target="/var/lib", copy=False)),
        ("/var/lib", Volume(kind="volume", target="/var/lib")),
    ],
)  # fmt: skip
def test_volumes(text: str, volume: Volume) -> None:
    assert flags.parse_volume(text, "/home/me") == volume


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "volume: expected [SOURCE:]TARGET[:OPTIONS], found ''"),
        ("a:", "volume: expected [SOURCE:]TARGET[:OPTIONS], found 'a:'"),
        ("/a:/b:ro:x", "volume: expected [SOURCE:]TARGET[:OPTIONS], found '/a:/b:ro:x'"),
        ("data", "volume 'data': the path in the container must be absolute, found 'data'"),
        ("/a:b", "volume '/a:b': the path in the container must be absolute, found 'b'"),
        ("/a:/", "volume '/a:/': the path in the container can't be the root"),
        ("/a:/./", "volume '/a:/./': the path in the container can't be the root"),
        ("/a:/b:rx", "volume '/a:/b:rx': a bind has no option 'rx'"),
        ("data:/b:rslave", "volume 'data:/b:rslave': a volume has no option 'rslave'"),
        ("/a:/b:nocopy", "volume '/a:/b:nocopy': a bind has no option 'nocopy'"),
        ("/a:/b\0", "volume '/a:/b\\x00' must not hold a NUL character"),
    ],
)
def test_refused_volumes(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        flags.parse_volume(text)
    assert str(caught.value) == message


def test_a_volume_has_a_name_of_the_engine() -> None:
    with pytest.raises(InvalidArgument, match=r"^volume name 'a/b' is invalid"):
        flags.parse_volume("a/b:/c")


def test_tmpfs() -> None:
    assert flags.parse_tmpfs("/run") == Tmpfs(target="/run", options=("nosuid", "nodev", "noexec"))
    assert flags.parse_tmpfs("/run:size=64m,exec").options == ("nosuid", "nodev", "noexec", "size=64m", "exec")
    for text, option in (("/run:bind", "bind"), ("/run:size=", "size="), ("/run:ro=1", "ro=1")):
        with pytest.raises(InvalidArgument) as caught:
            flags.parse_tmpfs(text)
        assert str(caught.value) == f"tmpfs {text!r}: there is no option {option!r}"
    with pytest.raises(InvalidArgument, match="must be absolute, found 'run'"):
        flags.parse_tmpfs("run")


def test_env() -> None:
    environ = {"HOME": "/root"}
    assert flags.parse_env("A=b=c", environ) == "A=b=c"
    assert flags.parse_env("A=", environ) == "A="
    assert flags.parse_env("HOME", environ) == "HOME=/root"
    assert flags.parse_env("GONE", environ) is None
    for text in ("", "=x"):
        with pytest.raises(InvalidArgument, match=r"^env: expected NAME or NAME=value, found "):
            flags.parse_env(text, environ)
    with pytest.raises(InvalidArgument, match=r"^env 'A' must not hold a NUL character$"):
        flags.parse_env("A=\0", environ)


def test_env_file() -> None:
    data = b'\xef\xbb\xbf# comment\n\nA=1\r\n  B="two words"\nHOME\nGONE\nC=#x '
    assert flags.parse_env_file(data, {"HOME": "/root"}) == ("A=1", 'B="two words"', "HOME=/root", "C=#x ")
    for broken, message in (
        (b"A=1\nB C=2", "vars: line 2: expected NAME=value, found 'B C=2'"),
        (b"=2", "vars: line 1: expected NAME=value, found '=2'"),
        (b"A=\xff", "vars: is not UTF-8"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            flags.parse_env_file(broken, {}, "vars")
        assert str(caught.value) == message


def test_labels() -> None:
    assert flags.parse_labels(["b=1", "a=b=c", "b"]) == {"a": "b=c", "b": ""}
    with pytest.raises(InvalidArgument, match=r"^label: expected KEY or KEY=value, found '=x'$"):
        flags.parse_labels(["a", "=x"])


def test_ulimits() -> None:
    assert flags.parse_ulimit("nofile=1024:2048") == Rlimit(type="RLIMIT_NOFILE", soft=1024, hard=2048)
    assert flags.parse_ulimit("core=0") == Rlimit(type="RLIMIT_CORE", soft=0, hard=0)
    assert flags.parse_ulimit("memlock=-1:unlimited") == Rlimit(type="RLIMIT_MEMLOCK", soft=2**64 - 1, hard=2**64 - 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("files=1", "ulimit 'files=1': expected one of core, cpu, data, "),
        ("nofile", "ulimit 'nofile': expected NAME=SOFT[:HARD]"),
        ("nofile=", "ulimit 'nofile=': expected NAME=SOFT[:HARD]"),
        ("nofile=1:", "ulimit 'nofile=1:': expected NAME=SOFT[:HARD]"),
        ("nofile=x", "ulimit 'nofile=x': expected a number, -1 or unlimited, found 'x'"),
        (
            "nofile=1:99999999999999999999",
            "ulimit 'nofile=1:99999999999999999999': expected a number, -1 or unlimited, ",
        ),
        ("nofile=2:1", "ulimit 'nofile=2:1': the soft limit must not be greater than the hard one"),
        ("nofile=-1:1", "ulimit 'nofile=-1:1': the soft limit must not be greater than the hard one"),
    ],
)
def test_refused_ulimits(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        flags.parse_ulimit(text)
    assert str(caught.value).startswith(message)


def test_capabilities() -> None:
    assert [flags.parse_capability(each) for each in ("net_admin", "CAP_KILL", "all")] == [
        "CAP_NET_ADMIN",
        "CAP_KILL",
        "ALL",
    ]
    for text in ("", "a b", "é", "_"):
        with pytest.raises(InvalidArgument, match=r"^capability: expected a name as NET_ADMIN or ALL, found "):
            flags.parse_capability(text)


def test_security() -> None:
    assert flags.parse_security([]) == Security()
    assert flags.parse_security(["no-new-privileges", "seccomp=unconfined"]) == Security(
        no_new_privileges=True, seccomp="unconfined"
    )
    assert flags.parse_security(["no-new-privileges:true", "no-new-privileges=false"]) == Security()
    assert flags.parse_security(["seccomp=/a:b", "apparmor=unconfined", "label=disable"]) == Security(seccomp="/a:b")
    assert flags.parse_security(["seccomp=x", "seccomp=builtin", "systempaths=unconfined"]) == Security(
        system_paths=False
    )
    assert flags.parse_security(["apparmor=mine"]) == Security(apparmor="mine")
    assert flags.parse_security(["label:type:x", "label=level:s0:c1"]) == Security(selinux="::x:s0:c1")
    assert flags.parse_security(["mask=/a:/b", "unmask=/c", "mask=/d"]) == Security(
        mask=("/a", "/b", "/d"), unmask=("/c",)
    )
    assert flags.parse_security(["unmask=ALL"]) == Security(system_paths=False)
    for text in ("", "seccomp", "seccomp=", "no-new-privileges=yes", "systempaths=x", "apparmor", "foo=bar"):
        with pytest.raises(InvalidArgument, match=r"^security-opt: expected no-new-privileges, "):
            flags.parse_security([text])


def test_logging() -> None:
    assert flags.parse_logging("json-file", ["max-size=10m", "max-file=3"]) == Logging(
        max_size=10 * MIB, max_file=3, options={"max-size": "10m", "max-file": "3"}
    )
    assert flags.parse_logging("none", []).driver == "none"
    with pytest.raises(Unsupported, match=r"^unsupported: log-driver syslog"):
        flags.parse_logging("syslog", [])
    for driver, option in (("local", "tag=x"), ("json-file", "max-size"), ("none", "max-file=1")):
        with pytest.raises(InvalidArgument, match=f"^log-opt: {driver} has no option '{option}'$"):
            flags.parse_logging(driver, [option])
    with pytest.raises(InvalidArgument, match=r"^log-opt max-file: expected an integer of at least 1, found '0'$"):
        flags.parse_logging("json-file", ["max-file=0"])


REQUEST = RunRequest(image="debian")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory": MIB}, "memory must be at least 6m, found 1048576 bytes"),
        ({"memory_swap": MIB}, "memory-swap needs memory, set both"),
        (
            {"memory": 8 * MIB, "memory_swap": 7 * MIB},
            "memory-swap is memory and swap together, 7340032 is less than memory 8388608",
        ),
        ({"cpu_shares": -1}, "cpu-shares must not be negative, found -1"),
        ({"stop_timeout": -2}, "stop-timeout must not be negative, found -2"),
        ({"hostname": ""}, "hostname must be 1 to 64 bytes long"),
        ({"hostname": "é" * 33}, "hostname must be 1 to 64 bytes long"),
        (
            {"hostname": "a\n6.6.6.6 b"},
            "invalid hostname 'a\\n6.6.6.6 b': expected no blanks, and no control characters",
        ),
        ({"workdir": "x"}, "workdir 'x' must be absolute"),
        ({"command": ("a\0",)}, "'a\\x00' must not hold a NUL character"),
        (
            {"volumes": (Volume(kind="volume", target="/a/"),), "tmpfs": (Tmpfs(target="/a"),)},
            "/a: two volumes or tmpfs at one place",
        ),
    ],
)
def test_parts_of_a_request_that_do_not_go_together(changes: dict[str, object], message: str) -> None:
    check(REQUEST)
    with pytest.raises(InvalidArgument) as caught:
        check(REQUEST.replace(**changes))
    assert str(caught.value) == message


def test_a_request_survives_a_round_trip() -> None:
    request = REQUEST.replace(
        command=("sh",),
        entrypoint=(),
        labels={"a": "b"},
        volumes=(flags.parse_volume("/a:/b:ro"),),
        rlimits=(flags.parse_ulimit("core=0"),),
        security=flags.parse_security(["no-new-privileges"]),
        stop_timeout=-1,
    )
    check(request)
    assert codec.decode(RunRequest, codec.dumps(request)) == request
