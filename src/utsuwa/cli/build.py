"""`utsuwa build`: an image from a Dockerfile (docker build)."""

from __future__ import annotations

import os
import sys

from utsuwa.cli import build_options
from utsuwa.cli.house import House, Verb
from utsuwa.errors import Error, InvalidArgument, NotFound, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.build.context import Context
    from utsuwa.build.git import Access
    from utsuwa.build.ledger import Ledger
    from utsuwa.build.output import Output
    from utsuwa.build.progress import Progress
    from utsuwa.build.request import BuildRequest
    from utsuwa.build.workshop import Workshop
    from utsuwa.cli.flags import Arguments
    from utsuwa.image.store import Image
    from utsuwa.spec.platform import Platform

VERB = Verb(
    "build [OPTIONS] PATH | URL | -", "Build an image from a Dockerfile", build_options.OPTIONS, least=1, most=1
)


def run(words: list[str]) -> int:
    """Progress goes to standard error; the ID to standard output with -q alone."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    build_options.check(arguments)
    from utsuwa.build import build, fault
    from utsuwa.build.workshop import Workshop

    house = House()
    outputs = _outputs(arguments)
    progress = _progress(arguments)
    with Workshop(house.paths, house.images) as workshop:
        context, request = _prepare(arguments, workshop)
        if arguments.on("check") or arguments.text("call") == "check":
            return _check(house, request, context)
        bring = _bring(house, arguments)
        ledger = _ledger(house, arguments)
        try:
            image = build.build(request, house.paths, house.images, workshop, progress, bring, outputs, ledger)
        except (fault.Fault, fault.StepFailed) as error:
            progress.close()
            _warn(progress)
            raise _explained(error, context) from error
    progress.close()
    _warn(progress)
    if arguments.list("cache-to"):
        from utsuwa.cli import build_cache

        build_cache.export(house.images.store, ledger, arguments.list("cache-to"))
    if image is not None:
        _tell(house, arguments, request, image, outputs)
    return 0


def _check(house: House, request: BuildRequest, context: Context) -> int:
    """The report of the checks; 1 when they have found something."""
    from utsuwa.build import build, checks, fault

    try:
        found = build.check_only(request, house.images)
    except (fault.Fault, fault.StepFailed) as error:
        raise _explained(error, context) from error
    print(checks.report(found, context.name, context.dockerfile.decode("utf-8", "replace")))
    return 1 if found else 0


def _warn(progress: Progress) -> None:
    """What the checks have found, where progress is shown to people."""
    if progress.warnings and progress.is_watched:
        from utsuwa.build import checks

        print(checks.summary(progress.warnings), file=sys.stderr)


def _ledger(house: House, arguments: Arguments) -> Ledger:
    from utsuwa.build.ledger import Ledger

    if not (arguments.list("cache-to") or arguments.list("cache-from")):
        return Ledger()
    from utsuwa.cli import build_cache

    for text in arguments.list("cache-to"):
        build_cache.parse(text, "cache-to")
    return Ledger(build_cache.sources(house.images.store, arguments.list("cache-from")))


def _prepare(arguments: Arguments, workshop: Workshop) -> tuple[Context, BuildRequest]:
    """The contexts where they can be copied from, and what is asked for."""
    from utsuwa.build.context import open_context

    def read(count: int) -> bytes:
        return os.read(0, count)

    def access() -> Access:
        return _access(arguments, workshop)

    scratch = workshop.directory
    context = open_context(arguments.words[0], arguments.text("file"), scratch, read, os.getcwd(), access)
    named = {}
    if arguments.list("build-context"):
        from utsuwa.build import contexts

        named = contexts.parse(arguments.list("build-context"), scratch, access())
    return context, build_options.request(arguments, context, named, workshop)


def _access(arguments: Arguments, workshop: Workshop) -> Access:
    """What git may use for the repositories that the user names."""
    from utsuwa.build.git import access_of

    secrets = {secret.id: secret.data for secret in build_options.secrets(arguments)}
    return access_of(secrets, os.environ.get("SSH_AUTH_SOCK", ""), workshop.lock, own_keys=True)


def _tell(house: House, arguments: Arguments, request: BuildRequest, image: Image, outputs: list[Output]) -> None:
    """Write down which image it is, and send it where it is to go."""
    names = [*request.tags, *(name for output in outputs for name in output.names)]
    if any(output.push for output in outputs):
        _push(house, names, quiet=arguments.on("quiet") or arguments.text("progress") in ("quiet", "none", "rawjson"))
    if arguments.text("iidfile"):
        _write(arguments.text("iidfile"), image.id)
    if arguments.text("metadata-file"):
        from utsuwa.build.results import metadata

        _write(arguments.text("metadata-file"), metadata(house.images.store, image, names))
    if arguments.on("quiet"):
        print(image.id)


def _push(house: House, names: list[str], *, quiet: bool) -> None:
    from utsuwa.cli.pushing import push
    from utsuwa.spec import reference

    for name in names:
        push(house, reference.parse(name).tagged(), quiet=quiet, out=sys.stderr)


def _progress(arguments: Arguments) -> Progress:
    from utsuwa.build import progress

    asked = arguments.text("progress") or os.environ.get("BUILDKIT_PROGRESS", "") or "auto"
    kind = "quiet" if arguments.on("quiet") else asked
    if kind not in ("auto", "plain", "tty", "quiet", "none", "rawjson"):
        raise InvalidArgument(f"invalid progress type: {kind} (auto, plain, tty, quiet, rawjson)")
    if kind in ("quiet", "none"):
        return progress.Progress()
    if kind == "rawjson":
        from utsuwa.build.rawjson import RawJson

        return RawJson(sys.stderr)
    if kind == "plain" or (kind == "auto" and not sys.stderr.isatty()):
        return progress.Plain(sys.stderr)
    try:
        columns = os.get_terminal_size(2).columns
    except OSError:
        if kind == "tty":
            raise InvalidArgument("failed to get console: standard error is no terminal") from None
        columns = 80
    return progress.Terminal(sys.stderr, columns or 80)


def _outputs(arguments: Arguments) -> list[Output]:
    """What --output, --load and --push say; none when the image is wanted here and nothing else."""
    from utsuwa.build.output import Output, parse

    found = [parse(text) for text in arguments.list("output")]
    if arguments.on("load") and found:
        found.append(Output(kind="docker"))
    if arguments.on("push"):
        found.append(Output(kind="image", push=True))
    if arguments.list("tag") and found and all(output.is_tree for output in found):
        raise InvalidArgument("--tag and --output: a tree has no tag, leave one of them out")
    if any(output.push for output in found) and not (arguments.list("tag") or any(each.names for each in found)):
        raise InvalidArgument("tag is needed when pushing to registry")
    return found


def _bring(house: House, arguments: Arguments) -> Callable[[str, Platform | None], Image]:
    """What finds images by name, and pulls them when they are not here or --pull says so."""
    from utsuwa.engine.images import with_tag

    def bring(name: str, platform: Platform | None) -> Image:
        if not arguments.on("pull"):
            try:
                return house.images.resolve(name, str(platform or ""))
            except NotFound:
                pass
        from utsuwa.cli.pulling import pull

        pull(house, with_tag(name), str(platform or ""), quiet=True, out=sys.stderr)
        return house.images.resolve(name, str(platform or ""))

    return bring


def _explained(error: Error, context: Context) -> Error:
    """The failure of the whole, after what a failed step has printed last, and the lines of the Dockerfile that are
    meant.
    """
    from utsuwa.build.fault import excerpt

    said = getattr(error, "output", "")
    if said:
        print("------", said, "------", sep="\n", file=sys.stderr)
    text = context.dockerfile.decode("utf-8", "replace")
    shown = excerpt(context.name, text, getattr(error, "first", 0), getattr(error, "last", 0))
    if shown:
        print(shown, file=sys.stderr)
    return Error(f"failed to build: failed to solve: {error}")


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise from_oserror(error, path) from error
