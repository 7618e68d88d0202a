"""`urun` in process: dispatch, reports and the process that exec describes, without making a container."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from utsuwa import errors
from utsuwa.cli import oci, oci_exec, oci_usage
from utsuwa.spec.default import default_spec
from utsuwa.spec.runtime import Capabilities, Spec


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = oci.invoke(list(words))
    out, err = capfd.readouterr()
    return code, out, err


def test_every_verb_has_help(capfd: pytest.CaptureFixture[str]) -> None:
    for verb in oci.VERBS:
        if verb not in oci_usage._SUMMARY:
            continue
        code, out, _ = run(capfd, verb, "--help")
        assert code == 0
        assert out.startswith(f"NAME:\n   urun {verb}")


def test_every_option_is_explained() -> None:
    for verb in oci.VERBS.values():
        for option in (*verb.options, *oci._GLOBAL):
            assert option.rstrip("=#*").split("|")[0] in oci_usage._OPTIONS


def test_help_lists_the_verbs(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "--help")
    assert code == 0
    assert out.startswith("NAME:")
    assert "Open Container Initiative runtime" in out


def test_a_verb_that_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "foo")
    assert (code, err) == (1, "No help topic for 'foo'\n")


def test_the_root_directory_is_no_root(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "--root", "/", "list")
    assert code == 1
    assert "--root" in err


def test_every_kind_of_error_is_one_line_and_status_1(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for kind in errors.KINDS:

        def fail(_call: oci.Call, kind: type[errors.Error] = kind) -> int:
            raise kind("something: went wrong")

        monkeypatch.setitem(oci.VERBS, "state", oci.Verb(fail, 1, 1))
        log = tmp_path / f"{kind.__name__}.json"
        code, out, err = run(capfd, "--log", str(log), "--log-format", "json", "state", "x")
        assert (code, out, err) == (1, "", "something: went wrong\n")
        entry = json.loads(log.read_text())
        assert (entry["level"], entry["msg"]) == ("error", "something: went wrong")


def test_an_error_of_the_kernel_is_told_without_a_traceback(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_call: oci.Call) -> int:
        raise PermissionError(13, "Permission denied", "/some/file")

    monkeypatch.setitem(oci.VERBS, "state", oci.Verb(fail, 1, 1))
    assert run(capfd, "state", "x") == (1, "", "urun: /some/file: permission denied\n")


def test_a_message_of_several_lines_stays_one_line_of_the_text_log(tmp_path: Path) -> None:
    from utsuwa.cli.oci_report import fail

    fail({"log": str(tmp_path / "log")}, 'first\nsecond "quoted"')
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith('level=error msg="first second \\"quoted\\""')


# --- exec -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def spec() -> Spec:
    return default_spec()


def test_the_process_is_the_containers_with_changes(spec: Spec) -> None:
    process = oci_exec.process_from_words(spec, {"env": ["A=1"], "cwd": "/tmp", "user": "5:6"}, ["ls", "-l"])
    assert spec.process is not None
    assert process.args == ("ls", "-l")
    assert process.env == (*(spec.process.env or ()), "A=1")
    assert (process.cwd, process.user.uid, process.user.gid) == ("/tmp", 5, 6)
    assert process.terminal is False
    assert process.noNewPrivileges == spec.process.noNewPrivileges


def test_a_user_without_a_group_keeps_the_group(spec: Spec) -> None:
    assert spec.process is not None
    spec = spec.replace(process=spec.process.replace(user=spec.process.user.replace(gid=7)))
    user = oci_exec.process_from_words(spec, {"user": "1"}, ["true"]).user
    assert (user.uid, user.gid) == (1, 7)


@pytest.mark.parametrize("user", ["root", "-1", "1:", "1:wheel", "4294967295", "1 "])
def test_users_are_numbers(spec: Spec, user: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"bad (uid|gid)"):
        oci_exec.process_from_words(spec, {"user": user}, ["true"])


def test_added_capabilities_are_never_inheritable(spec: Spec) -> None:
    found = oci_exec._capabilities(
        Capabilities(bounding=("CAP_KILL",), inheritable=("CAP_CHOWN",)), ("CAP_CHOWN", "CAP_FOWNER")
    )
    assert found is not None
    assert found.bounding == ("CAP_KILL", "CAP_CHOWN", "CAP_FOWNER")
    assert found.inheritable == ("CAP_CHOWN",)
    assert found.ambient == ("CAP_CHOWN",)


def test_a_process_file_must_have_arguments_and_an_absolute_directory(tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    for content, message in (
        ('{"user": {"uid": 0, "gid": 0}, "cwd": "/"}', "args"),
        ('{"user": {"uid": 0, "gid": 0}, "cwd": "x", "args": ["a"]}', "cwd"),
        ('{"user": {"uid": "root", "gid": 0}, "cwd": "/", "args": ["a"]}', "user.uid"),
    ):
        path.write_text(content)
        with pytest.raises(errors.InvalidArgument, match=message):
            oci_exec.process_from_file(str(path))
