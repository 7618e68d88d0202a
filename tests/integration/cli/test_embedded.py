"""Commands with their interpreter inside: what a start finds as a plain one would, and when it becomes a plain one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import needs

TOP = Path(__file__).resolve().parents[3]
PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
PROBE = '''
import os
import sys


def main():
    """Runs what the first argument says, unless that is an option, as in the rehearsals of the image's making."""
    if sys.argv[1].startswith("--"):
        return _main()
    exec(sys.argv[1])
    return os._exit(0)
'''
pytestmark = [
    needs("cc"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the embedded interpreter is Python 3.11"),
]


def build(directory: Path, *options: str, home: str = "", name: str = "urun") -> Path:
    """The program of the package in ``directory``; skips where there is no libpython to build it with."""
    target = directory / "bin" / name
    target.parent.mkdir(exist_ok=True)
    home = home or str(directory / "src")
    defines = [f'-DPYTHON="{PYTHON}"', '-DVERSION="3.11"', f'-DPACKAGE="{home}"' if options else '-DPACKAGE=""']
    command = [sys.executable, str(TOP / "tools" / "image.py"), str(directory / "src" / "utsuwa"), str(target), home]
    done = subprocess.run([*command, *options, *defines], capture_output=True, text=True, check=False)
    if done.returncode == 3 and "is missing" in done.stderr:
        pytest.skip(done.stderr)
    assert (done.returncode, done.stderr) == (0, "")
    return target


def sources(directory: Path) -> Path:
    """The package with another command line: one that runs Python code."""
    skipped = shutil.ignore_patterns("__pycache__", "modules.frozen", "*.c", "*.h")
    shutil.copytree(TOP / "src", directory / "src", ignore=skipped)
    command = directory / "src" / "utsuwa" / "cli" / "oci.py"
    text = command.read_text()
    command.write_text(text.replace("def main(", "def _main(") + PROBE)
    return directory / "src"


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stamped program that runs its first argument as Python code."""
    directory = tmp_path_factory.mktemp("embedded")
    sources(directory)
    return build(directory, "--stamped")


def run(program: Path, code: str, *words: str | bytes, **options: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program, code, *words], capture_output=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def said(program: Path, code: str, *words: str | bytes, **options: object) -> str:
    done = run(program, code, *words, **options)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode()


EMBEDDED = "print('_utsuwa' in sys.modules, end='', flush=True)"


def test_it_is_embedded(probe: Path) -> None:
    assert said(probe, EMBEDDED) == "True"


def waits(file: int, offset: int) -> bool:
    """Whether a read would have to wait for the disk."""
    try:
        os.preadv(file, [bytearray(1)], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    return False


def test_a_start_from_the_disk_reads_the_whole_program(probe: Path, tmp_path: Path) -> None:
    program = Path(shutil.copy(probe, tmp_path))
    size = program.stat().st_size
    file = os.open(program, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        if not waits(file, size - 1):
            pytest.skip("the file is in memory only")
        if "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
            pytest.skip("no huge pages here")
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        assert said(program, EMBEDDED) == "True"
        assert not any(waits(file, offset) for offset in range(0, size, 1 << 18))
    finally:
        os.close(file)


def test_arguments_and_names_may_be_any_bytes(probe: Path) -> None:
    code = "os.write(1, ascii((sys.argv[2:], os.fsencode(sys.argv[2]))).encode())"
    assert said(probe, code, b"\xff\xc3\xa4", "") == repr((["\udcff\xe4", ""], b"\xff\xc3\xa4")).replace(
        "\xe4", "\\xe4"
    )


def test_environment_is_that_of_the_process(probe: Path) -> None:
    names = {"A": "1", "B": "=x", "ÄÖ": "ü", "EMPTY": ""}
    code = "import posix; os.write(1, repr((dict(os.environ), posix.environ[b'A'])).encode())"
    assert said(probe, code, env=names) == repr((names, b"1"))
    code = "os.environ['NEW'] = 'y'; os.posix_spawn('/bin/sh', ['sh', '-c', 'echo $NEW'], os.environ); os.wait()"
    assert said(probe, code, env=names) == "y\n"


def test_python_s_own_variables_are_ignored(probe: Path) -> None:
    hostile = {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere", "PYTHONHASHSEED": "0", "PYTHONINSPECT": "1"}
    assert said(probe, "os.write(1, repr(sys.flags.isolated).encode())", env=hostile) == "1"
    assert (
        said(probe, "print(sys.flags.utf8_mode, sys.flags.no_site, '€', flush=True)", env={"LC_ALL": "C"}) == "1 1 €\n"
    )


def test_standard_streams(probe: Path, tmp_path: Path) -> None:
    assert said(probe, "print(sys.stdin.read()[::-1], flush=True)", input="äbc".encode()) == "cbä\n"
    with (tmp_path / "out").open("wb") as out:
        out.write(b"before\n")
        out.flush()
        subprocess.run(
            [probe, "print('é', flush=True); sys.stderr.write('\\udcff\\n')"], stdout=out, stderr=out, check=True
        )
    assert (tmp_path / "out").read_bytes() == b"before\n\xc3\xa9\n\\udcff\n"


def test_closed_standard_streams_are_held(probe: Path) -> None:
    words = [
        "sh",
        "-c",
        'exec "$0" "$@" <&- 2>&-',
        probe,
        "os.write(1, repr(sorted(os.listdir('/proc/self/fd'))).encode())",
    ]
    done = subprocess.run(words, capture_output=True, check=True)
    assert done.stdout == b"['0', '1', '2', '3']"


def test_exceptions_are_told_with_file_and_line(probe: Path) -> None:
    done = run(probe, "1 / 0")
    assert done.returncode == 1
    assert b"ZeroDivisionError: division by zero" in done.stderr
    assert f'{probe.parent.parent}/src/utsuwa/cli/oci.py", line '.encode() in done.stderr
    assert run(probe, "sys.exit(7)").returncode == 7


def test_errors_of_the_kernel_are_of_their_classes(probe: Path) -> None:
    code = "\ntry: os.open('/nowhere', 0)\nexcept FileNotFoundError as error: print(error.errno, flush=True)"
    assert said(probe, code) == "2\n"


def test_broken_pipes_are_errors_not_ends(probe: Path) -> None:
    code = (
        "r, w = os.pipe(); os.close(r)\ntry: os.write(w, b'x')\nexcept BrokenPipeError: os.write(1, b'told')\n"
        "import _signal; os.write(1, repr(_signal.getsignal(2)).encode())"
    )
    assert said(probe, code).startswith("told")


def test_signals_reach_handlers(probe: Path) -> None:
    code = (
        "import _signal; _signal.signal(10, lambda *_: os.write(1, b'handled')); os.kill(os.getpid(), 10); os.getpid()"
    )
    assert said(probe, code) == "handled"
    assert run(probe, "os.kill(os.getpid(), 15)").returncode == -signal.SIGTERM


def test_no_descriptors_are_left_open(probe: Path) -> None:
    assert said(probe, "os.write(1, repr(sorted(os.listdir('/proc/self/fd'))).encode())") == "['0', '1', '2', '3']"


def test_modules_are_those_of_the_interpreter(probe: Path) -> None:
    code = "import struct, zlib, re; print(zlib.crc32(b'x'), struct.calcsize('Q'), re.match('a*', 'aab'), flush=True)"
    assert said(probe, code) == "2363233923 8 <re.Match object; span=(0, 2), match='aa'>\n"
    assert said(probe, "print(sys.executable, sys.version_info[:2] == (3, 11), flush=True)") == f"{PYTHON} True\n"


@pytest.mark.parametrize("module", ["termios", "ctypes", "pwd", "_hashlib"])
def test_what_it_can_not_load_starts_the_plain_interpreter(probe: Path, module: str) -> None:
    code = f"import {module}; print({module}.__name__, '_utsuwa' in sys.modules, sys.argv[2:], flush=True)"
    assert said(probe, code, "é", b"\xff") == f"{module} False ['é', '\\udcff']\n"


def test_module_that_does_not_exist_is_an_error(probe: Path) -> None:
    assert b"ModuleNotFoundError: No module named 'nowhere'" in run(probe, "import nowhere").stderr


def test_threads_and_random_numbers_work(probe: Path) -> None:
    code = (
        "import _thread; lock = _thread.allocate_lock(); lock.acquire(); _thread.start_new_thread(lock.release, ()); "
        "lock.acquire(); print(len(os.urandom(8)), flush=True)"
    )
    assert said(probe, code) == "8\n"


def test_garbage_can_be_collected(probe: Path) -> None:
    code = (
        "import gc; gc.enable(); x = [[] for _ in range(10000)]; [each.append(each) for each in x]; del x; "
        "print(gc.collect() > 100, flush=True)"
    )
    assert said(probe, code) == "True\n"


def test_much_memory_can_be_had_and_given_back(probe: Path) -> None:
    code = (
        "a = [bytes(n) for n in range(3000)]; b = 'x' * 10**8; a += [str(n) for n in range(10**5)]; del a, b; "
        "print('ok', flush=True)"
    )
    assert said(probe, code) == "ok\n"


def test_changed_sources_start_the_plain_interpreter(tmp_path: Path) -> None:
    source = sources(tmp_path)
    program = build(tmp_path, "--stamped")
    assert said(program, EMBEDDED) == "True"
    changed = source / "utsuwa" / "plan" / "ops.py"
    before = changed.stat()
    changed.write_text(changed.read_text() + "\n")
    assert said(program, EMBEDDED) == "False"
    changed.write_text(changed.read_text()[:-1])
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert said(program, EMBEDDED) == "True"
    changed.unlink()
    assert said(program, EMBEDDED) == "False"


def test_installed_elsewhere_it_knows_where_it_is(tmp_path: Path) -> None:
    """As in a wheel: no stamps, and a home that is not where the package comes to be."""
    source = sources(tmp_path)
    program = build(tmp_path, home="/somewhere/site-packages")
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.parent.mkdir(parents=True)
    source.rename(site)
    code = (
        "import utsuwa.runtime, utsuwa.init.spawn, utsuwa.spec.image; print('_utsuwa' in sys.modules, sys.path[0], "
        "utsuwa.runtime.__path__, utsuwa.init.spawn.__file__, utsuwa.spec.image.__file__, sep='\\n', flush=True)"
    )
    lines = said(program, code).splitlines()
    utsuwa = f"{site}/utsuwa"
    assert lines == ["True", str(site), f"['{utsuwa}/runtime']", f"{utsuwa}/init/spawn.py", f"{utsuwa}/spec/image.py"]
    assert str(tmp_path).encode() not in program.read_bytes()
    assert str(TOP).encode() not in program.read_bytes()


def test_installed_without_its_package_it_says_so(tmp_path: Path) -> None:
    sources(tmp_path)
    program = build(tmp_path, home="/somewhere/site-packages")
    done = run(program, "pass")
    assert done.returncode == 1
    assert done.stderr == b"urun: the Python package utsuwa is not where this program was installed: install it again\n"


# --- utsuwa -----------------------------------------------------------------------------------------------------------

UTSUWA = Path(sys.executable).with_name("utsuwa")


@pytest.fixture(scope="module")
def utsuwa(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the installed command finds an engine of its own; skips where it is not embedded."""
    directory = tmp_path_factory.mktemp("utsuwa")
    environment = {"PATH": os.environ["PATH"], "UTSUWA_ROOT": f"{directory}/root", "UTSUWA_RUN": f"{directory}/run"}
    if not UTSUWA.exists() or "embedded" not in version(environment):
        pytest.skip("utsuwa is not embedded here: ./dev setup says why")
    return environment


def wait_for_events(events: subprocess.Popen[bytes]) -> None:
    """Until `utsuwa events` has begun to listen."""
    while not any("inotify" in os.path.realpath(each) for each in Path(f"/proc/{events.pid}/fd").iterdir()):
        assert events.poll() is None


def version(environment: dict[str, str], *options: str) -> str:
    return subprocess.run([UTSUWA, *options, "version"], env=environment, capture_output=True, text=True).stdout


def test_verbs_that_need_more_and_ordinary_users_get_the_plain_interpreter(utsuwa: dict[str, str]) -> None:
    assert "embedded" not in version(utsuwa, "--log-level", "info")
    assert "Download" in subprocess.run([UTSUWA, "pull", "--help"], env=utsuwa, capture_output=True, text=True).stdout
    if os.geteuid() == 0:
        words = ["setpriv", "--reuid=65534", "--clear-groups", UTSUWA, "version"]
        said = subprocess.run(words, env={"PATH": utsuwa["PATH"]}, capture_output=True, text=True)
        assert "embedded" not in said.stdout


def test_a_missing_image_is_told_once_by_the_plain_interpreter_that_looks_for_it(utsuwa: dict[str, str]) -> None:
    words = [UTSUWA, "run", "--rm", "127.0.0.1:1/none", "true"]
    done = subprocess.run(words, env=utsuwa, capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert done.stderr.count("Unable to find image") == 1
    assert "Traceback" not in done.stderr


def test_output_to_a_terminal_comes_by_lines_and_an_interrupt_is_no_traceback(utsuwa: dict[str, str]) -> None:
    controller, terminal = os.openpty()
    events = subprocess.Popen([UTSUWA, "events"], env=utsuwa, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    try:
        wait_for_events(events)
        events.send_signal(signal.SIGINT)
        assert events.wait(10) == 130
        os.set_blocking(controller, False)
        with pytest.raises(OSError, match=r"(?i)input/output|unavailable"):
            assert b"Traceback" not in os.read(controller, 4096)
    finally:
        events.kill()
        events.wait()
        os.close(controller)


def test_a_signal_that_the_caller_ignores_stays_ignored(utsuwa: dict[str, str]) -> None:
    events = subprocess.Popen(["sh", "-c", 'trap "" INT; exec "$0" events', UTSUWA], env=utsuwa)
    try:
        wait_for_events(events)
        events.send_signal(signal.SIGINT)
        events.send_signal(signal.SIGTERM)
        assert events.wait(10) == -signal.SIGTERM
    finally:
        events.kill()
        events.wait()


def test_it_is_made_where_nothing_but_the_image_is_found(tmp_path: Path) -> None:
    """As in a wheel: the modules are not where the image will look for them, while it is made."""
    skipped = shutil.ignore_patterns("__pycache__", "modules.frozen", "*.c", "*.h")
    shutil.copytree(TOP / "src", tmp_path / "src", ignore=skipped)
    program = build(tmp_path, home="/somewhere/site-packages", name="utsuwa")
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    site.parent.mkdir(parents=True)
    (tmp_path / "src").rename(site)
    done = subprocess.run([program, "version"], capture_output=True, text=True, check=True)
    assert "embedded" in done.stdout
