"""Containers as Python objects: run, started, looked at, waited for, and cleaned up whatever happens."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

import utsuwa
from tests.integration.household import IMAGE, Household
from tests.needs import needs

pytestmark = [needs("root", "overlay", "busybox")]


def test_run_gives_the_output(engine: utsuwa.Engine) -> None:
    output = engine.run(IMAGE, ["sh", "-c", "echo out; echo err >&2"])
    assert (output.stdout, output.stderr, output.exit_code, output.text) == (b"out\n", b"err\n", 0, "out\n")
    assert str(engine.run(IMAGE, "echo 'two  words'")) == "two  words\n"


def test_input_larger_than_every_buffer_goes_in_while_output_comes_out(engine: utsuwa.Engine) -> None:
    data = os.urandom(3 << 20)
    assert engine.run(IMAGE, ["cat"], input=data).stdout == data


def test_a_bad_end_is_an_error_that_knows_all_about_it(engine: utsuwa.Engine) -> None:
    with pytest.raises(utsuwa.ProcessFailed, match="ended with exit code 3: alas") as caught:
        engine.run(IMAGE, ["sh", "-c", "echo so far; echo alas >&2; exit 3"])
    error = caught.value
    assert isinstance(error, utsuwa.Error)
    assert (error.exit_code, error.stdout, error.stderr) == (3, b"so far\n", b"alas\n")
    assert engine.run(IMAGE, ["false"], check=False).exit_code == 1


def test_what_can_not_be_run_is_told(engine: utsuwa.Engine) -> None:
    with pytest.raises(utsuwa.Error, match="executable file not found"):
        engine.run(IMAGE, ["nothing-of-this-name"])
    with pytest.raises(utsuwa.Error, match="executable file not found"):
        engine.start(IMAGE, ["nothing-of-this-name"])
    with pytest.raises(utsuwa.NotFound, match="No such image"):
        engine.run("nosuch/image", ["true"], pull="never")
    with pytest.raises(TypeError, match="no option 'colour'"):
        engine.run(IMAGE, ["true"], colour="red")  # type: ignore[call-arg]
    with pytest.raises(utsuwa.InvalidArgument, match="expected a list"):
        engine.run(IMAGE, ["true"], volumes="/etc:/etc")


def test_options_are_what_the_container_gets(engine: utsuwa.Engine) -> None:
    script = "echo $WHO $FROM_IMAGE; hostname; pwd; id -u; ulimit -n; cat /data/x /sys/fs/cgroup/memory/memory.limit*"
    script += " 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    with engine.start(IMAGE, ["sleep", "1000"], volumes=["box:/data"], name="writer") as writer:
        writer.exec(["sh", "-c", "echo kept >/data/x"])
    text = engine.run(
        IMAGE,
        ["sh", "-c", script],
        env={"WHO": "me", "FROM_IMAGE": None},
        hostname="somewhere",
        workdir="/tmp",
        user="1000",
        ulimits=["nofile=123"],
        volumes=["box:/data:ro"],
        memory="64m",
        cpus=0.5,
        labels={"a": "b"},
        cap_drop=["all"],
        network="none",
    ).text
    assert text.split() == ["me", "somewhere", "/tmp", "1000", "123", "kept", str(64 << 20)]


def test_seldom_options_are_there_too(engine: utsuwa.Engine) -> None:
    script = "df -k /dev/shm | tail -n 1; cat /proc/sys/kernel/shm_rmid_forced; test -c /dev/odd; echo $?"
    text = engine.run(
        IMAGE,
        ["sh", "-c", script],
        shm_size="8m",
        sysctls={"kernel.shm_rmid_forced": "1"},
        devices=["/dev/null:/dev/odd"],
    ).text
    assert text.split()[1] == "8192"
    assert text.split()[-2:] == ["1", "0"]
    with engine.start(IMAGE, ["sleep", "1000"], name="neighbour"):
        assert "sleep 1000" in engine.run(IMAGE, "ps", pid="container:neighbour").text


def test_time_that_runs_out_ends_the_container(engine: utsuwa.Engine) -> None:
    with pytest.raises(utsuwa.TimedOut) as caught:
        engine.run(IMAGE, ["sleep", "1000"], timeout=0.05)
    assert isinstance(caught.value, TimeoutError)


def test_an_interrupted_run_leaves_nothing(engine: utsuwa.Engine) -> None:
    def interrupt() -> None:
        while not [each for each in engine.containers.list() if each.running]:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        engine.run(IMAGE, ["sleep", "1000"])
    thread.join()
    assert engine.containers.list(all=True) == []


def test_a_block_that_fails_removes_its_container(engine: utsuwa.Engine) -> None:
    with pytest.raises(ZeroDivisionError), engine.start(IMAGE, ["sleep", "1000"]):
        raise ZeroDivisionError
    assert engine.containers.list(all=True) == []


def test_the_life_of_a_container(engine: utsuwa.Engine) -> None:
    with engine.containers.create(IMAGE, ["sh", "-c", "exit 7"], name="mortal", labels={"k": "v"}) as container:
        assert (container.status, container.exit_code, container.pid) == ("created", None, 0)
        assert container.labels == {"k": "v"}
        assert container.start().wait(10) == 7
        assert (container.status, container.exit_code) == ("exited", 7)
        assert engine.containers.get("mortal") == container
        assert container.inspect()["Name"] == "/mortal"
        with pytest.raises(utsuwa.Conflict, match="already in use"):
            engine.start(IMAGE, ["true"], name="mortal")
    with pytest.raises(utsuwa.NotFound):
        container.status  # noqa: B018


def test_waiting_has_an_end(box: utsuwa.Container) -> None:
    with pytest.raises(utsuwa.TimedOut, match="has not ended within"):
        box.wait(0.02)
    assert box.running
    with pytest.raises(utsuwa.Conflict):
        box.remove()
    box.stop(timeout=5)
    assert box.exit_code == 143


def test_exec(box: utsuwa.Container) -> None:
    assert box.exec(["cat"], input="abc").stdout == b"abc"
    assert box.exec("sh -c 'echo $A; pwd; id -u'", env={"A": "1"}, workdir="/tmp", user="7").text == "1\n/tmp\n7\n"
    with pytest.raises(utsuwa.ProcessFailed, match="ended with exit code 4"):
        box.exec("sh -c 'exit 4'")
    with pytest.raises(utsuwa.TimedOut):
        box.exec("sleep 1000", timeout=0.05)
    assert "sleep 1000" not in box.exec("ps").text.replace("sleep 1000", "", 2), "only the container's own is left"


def test_a_conversation(box: utsuwa.Container) -> None:
    with box.popen(["sh", "-c", "while read line; do echo got $line; done; echo bye >&2"], stdin=True) as process:
        process.write("one\n")
        lines = process.lines()
        assert next(lines) == "got one"
        process.write(b"two\n")
        assert next(lines) == "got two"
        process.close_stdin()
        assert list(lines) == ["bye"]
    assert process.exit_code == 0


def test_a_terminal(box: utsuwa.Container) -> None:
    with box.popen(["sh", "-c", "tty; stty size; read x"], tty=True, stdin=True, size=(30, 100)) as process:
        lines = process.lines()
        assert (next(lines), next(lines)) == ("/dev/pts/0", "30 100")
        process.signal("KILL")
        assert process.wait(10) == 137


def test_logs(engine: utsuwa.Engine) -> None:
    with engine.start(
        IMAGE, ["sh", "-c", "for i in 1 2 3; do echo $i; done; echo oh >&2; read x"], stdin_open=True
    ) as it:
        followed = it.logs(follow=True)
        assert [next(followed).text for _ in range(4)] == ["1\n", "2\n", "3\n", "oh\n"]
        lines = list(it.logs(tail=2))
        assert [(line.stream, line.text) for line in lines] == [("stdout", "3\n"), ("stderr", "oh\n")]
        assert abs(lines[0].time.timestamp() - time.time()) < 60
        it.kill()
        assert list(followed) == []
    with engine.start(IMAGE, ["true"], logging="none") as silent, pytest.raises(utsuwa.Unsupported):
        silent.logs()


def test_logs_are_heard_of_not_looked_for(engine: utsuwa.Engine) -> None:
    """A line arrives as quickly as the kernel tells of it; looking again and again would take 50 ms on average."""
    with engine.start(IMAGE, ["sh", "-c", "while read line; do echo $line; done"], stdin_open=True) as container:
        followed = container.logs(follow=True)
        waits = []
        with container.attach() as process:
            for number in range(10):
                begin = time.perf_counter()
                process.write(f"{number}\n")
                assert next(followed).text == f"{number}\n"
                waits.append(time.perf_counter() - begin)
            process.close_stdin()
            assert process.wait(10) == 0
    assert min(waits) < 0.02


def test_readiness(engine: utsuwa.Engine) -> None:
    script = "echo begin; nc -l -p 8080 & echo ready now; sleep 1000"
    with engine.start(IMAGE, ["sh", "-c", script], init=True) as container:
        asked: list[str] = []

        def third(candidate: utsuwa.Container) -> bool:
            asked.append(candidate.status)
            return len(asked) == 3

        assert container.wait_until(third, log=r"ready \w+", port=8080, timeout=10) is container
        assert asked == ["running"] * 3
        with pytest.raises(utsuwa.TimedOut, match="was not ready within"):
            container.wait_until(log="never printed", timeout=0.05)


def test_a_container_that_ends_will_not_be_ready(engine: utsuwa.Engine) -> None:
    with (
        engine.start(IMAGE, ["sh", "-c", "echo no configuration >&2; exit 9"]) as container,
        pytest.raises(utsuwa.FailedPrecondition, match=r"exit code 9.*no configuration"),
    ):
        container.wait_until(port=80, timeout=10)


def test_images(engine: utsuwa.Engine, archive: object) -> None:
    (image,) = engine.images.load(str(archive))
    assert image.tags == (f"{IMAGE}:latest",)
    engine.images.tag(IMAGE, "another:1")
    assert engine.images.get("another:1").id == image.id
    engine.images.remove("another:1")
    with pytest.raises(utsuwa.NotFound, match="No such image: another:1"):
        engine.images.get("another:1")
    with engine.start(IMAGE, ["true"]), pytest.raises(utsuwa.Conflict):
        engine.images.remove(IMAGE)
    assert [each.id for each in engine.images.list()] == [image.id]


def test_the_command_line_sees_the_same_containers(engine: utsuwa.Engine, house: Household) -> None:
    with engine.start(IMAGE, ["sleep", "1000"], name="shared"):
        assert house.ok("ps", "--format", "{{.Names}}") == "shared\n"
        house.ok("rm", "-f", "shared")
