"""`import utsuwa` in an ordinary user's program: the same as in root's, by way of a process in the user namespace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.contract.ordinary import lend, take_back
from tests.integration.documents import examples
from tests.integration.household import IMAGE, until
from tests.integration.library.test_documents import PROGRAM
from tests.integration.lodger import NOBODY, Lodger
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox", "newuidmap", "setpriv", "unshare", "nsenter")]

_WAY_IN = """
import sys, utsuwa
print("ready", flush=True)
for line in sys.stdin:
    try:
        exec(line)
    except (utsuwa.Error, KeyboardInterrupt) as error:
        print(type(error).__name__, error)
    print(flush=True)
"""


@pytest.fixture(scope="module")
def lodger() -> Iterator[Lodger]:
    made, files = lend(NOBODY)
    try:
        lodger = Lodger(network=False, cgroups=files)
        lodger.settle()
        yield lodger
        lodger.leave()
    finally:
        take_back(made)


def command(lodger: Lodger, code: str) -> list[str]:
    """A program of the user's, without networks."""
    return [*lodger.enter, "UTSUWA_NETWORK=none", sys.executable, "-W", "error", "-c", code]


def envoys(lodger: Lodger) -> list[int]:
    """The processes that work for programs."""
    return lodger.named("utsuwa-envoy")


class Program:
    """One that does what it is told, line by line."""

    def __init__(self, lodger: Lodger) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command(lodger, _WAY_IN), stdin=pipe, stdout=pipe, text=True)
        self.answer()

    def tell(self, line: str) -> None:
        """Have it do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """What it printed."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        """Both."""
        self.tell(line)
        answer = self.answer()
        return answer and answer + self.answer()

    def end(self) -> None:
        """Let it end by itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture
def program(lodger: Lodger) -> Iterator[Program]:
    program = Program(lodger)
    with program.process:
        yield program
        program.process.kill()
    until(lambda: envoys(lodger) == [])
    assert lodger.ok("ps", "-aq") == ""
    assert lodger.leftovers() == []


def test_the_examples_of_the_documents(lodger: Lodger) -> None:
    lodger.ok("tag", IMAGE, "busybox")
    lodger.ok("rmi", IMAGE)
    found = [example for page in ("README.md", "docs/library.md") for example in examples(page)]
    code = "\0".join(example.code for example in found)
    done = subprocess.run(
        command(lodger, PROGRAM), input=code, capture_output=True, text=True, timeout=100, check=False
    )
    lodger.ok("tag", "busybox", IMAGE)
    lodger.ok("rmi", "busybox")
    assert done.stderr == ""
    assert done.stdout.split("\0")[:-1] == [example.printed for example in found]


def test_a_program_stays_who_it_is_and_is_told_what_went_wrong(program: Program, lodger: Lodger) -> None:
    assert program.ask(f"import os; print(utsuwa.run({IMAGE!r}, 'id -u').text.strip(), os.getuid())") == f"0 {NOBODY}"
    assert program.ask("utsuwa.containers.get('none')") == "NotFound No such container: none"
    assert program.ask(f"utsuwa.run({IMAGE!r}, 'none')").startswith('Error exec: "none": executable file not found')
    assert program.ask(f"utsuwa.run({IMAGE!r}, 'true', user='99999')").startswith("Unsupported unsupported: uid 99999")
    assert program.ask("utsuwa.images.build('/proc/self', dockerfile='/dev/null')").startswith("Fault")


def test_an_envoy_that_is_killed_is_followed_by_another(program: Program, lodger: Lodger) -> None:
    program.ask(f"box = utsuwa.start({IMAGE!r}, 'sleep 1000')")
    os.kill(envoys(lodger)[0], signal.SIGKILL)
    until(lambda: envoys(lodger) == [])
    assert program.ask("print(box.exec('echo on').text.strip())") == "on"
    program.tell("box.stop(timeout=100)")  # which takes its time: nothing in it hears of SIGTERM
    (envoy,) = envoys(lodger)
    until(lambda: "kill" in lodger.ok("events", "--since", "1", "--until", "0s", "--filter", "event=kill"))
    os.kill(envoy, signal.SIGKILL)
    assert program.answer().startswith("Unavailable the process that works for this program")
    program.answer()
    assert program.ask("print(box.remove(force=True))") == "None"


def test_a_program_that_is_interrupted_or_killed_leaves_nothing(program: Program, lodger: Lodger) -> None:
    program.tell(f"utsuwa.run({IMAGE!r}, 'sleep 1000')")
    until(lambda: lodger.ok("ps", "-q") != "")
    os.kill(program.process.pid, signal.SIGINT)
    assert program.answer() == "KeyboardInterrupt"
    program.answer()
    assert lodger.ok("ps", "-aq") == ""
    program.tell(f"utsuwa.start({IMAGE!r}, 'sleep 1000', name='box', auto_remove=True).stop(timeout=1000)")
    until(lambda: lodger.ok("ps", "-q") != "")
    program.process.kill()
    until(lambda: envoys(lodger) == [])
    lodger.ok("kill", "box")
    until(lambda: lodger.ok("ps", "-aq") == "")
