"""What a container of an image starts with, as Docker decides it."""

from __future__ import annotations

import pytest

from utsuwa.errors import InvalidArgument
from utsuwa.image.to_spec import DEFAULT_PATH, environment, process_of
from utsuwa.spec.image import ImageConfig, RootFS, Settings


def _config(**settings: object) -> ImageConfig:
    return ImageConfig(
        architecture="amd64", os="linux", rootfs=RootFS(type="layers", diff_ids=()), config=Settings(**settings)
    )


@pytest.mark.parametrize(
    ("image", "asked", "args"),
    [
        ({"Cmd": ("sh",)}, {}, ("sh",)),
        ({"Cmd": ("sh",)}, {"command": ("ls", "-l")}, ("ls", "-l")),
        ({"Entrypoint": ("e",), "Cmd": ("c",)}, {}, ("e", "c")),
        ({"Entrypoint": ("e",), "Cmd": ("c",)}, {"command": ("x",)}, ("e", "x")),
        ({"Entrypoint": ("e",), "Cmd": ("c",)}, {"entrypoint": ("n",)}, ("n",)),
        ({"Entrypoint": ("e",), "Cmd": ("c",)}, {"entrypoint": ("n",), "command": ("x",)}, ("n", "x")),
        ({"Entrypoint": ("e",)}, {"entrypoint": ("",), "command": ("x",)}, ("x",)),
    ],
)
def test_arguments(image: dict[str, object], asked: dict[str, object], args: tuple[str, ...]) -> None:
    assert process_of(_config(**image), **asked).args == args  # type: ignore[arg-type]


@pytest.mark.parametrize(("image", "asked"), [({}, {}), ({"Entrypoint": ("e",), "Cmd": ("c",)}, {"entrypoint": ("",)})])
def test_there_must_be_something_to_run(image: dict[str, object], asked: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match="no command specified"):
        process_of(_config(**image), **asked)  # type: ignore[arg-type]


def test_the_rest_and_its_defaults() -> None:
    made = process_of(_config(Cmd=("sh",), User="app:staff", WorkingDir="srv", StopSignal="SIGINT", Env=("A=1",)))
    assert (made.user, made.cwd, made.stop_signal) == ("app:staff", "/srv", "SIGINT")
    assert made.env == (f"PATH={DEFAULT_PATH}", "A=1")
    made = process_of(_config(Cmd=("sh",)), user="0", workdir="/tmp")
    assert (made.user, made.cwd, made.stop_signal) == ("0", "/tmp", "SIGTERM")
    bare = ImageConfig(architecture="amd64", os="linux", rootfs=RootFS(type="layers", diff_ids=()))
    assert process_of(bare, ("ls",)).cwd == "/"


def test_the_environment_of_the_user_wins_in_place() -> None:
    assert environment(("A=1", "PATH=/bin", "B=2"), ("A=3", "B", "C=4=5")) == ("PATH=/bin", "A=3", "C=4=5")
