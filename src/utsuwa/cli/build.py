"""`utsuwa build`: an image from a Dockerfile (docker build)."""

from __future__ import annotations

import os
import sys

from utsuwa.cli.flags import LIST, SWITCH, WORD, BadUsage, Option
from utsuwa.cli.house import House, Verb
from utsuwa.errors import Error, InvalidArgument, NotFound, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from utsuwa.build.context import Context
    from utsuwa.build.output import Output
    from utsuwa.build.progress import Progress
    from utsuwa.build.request import BuildRequest, Secret
    from utsuwa.build.workshop import Workshop
    from utsuwa.cli.flags import Arguments
    from utsuwa.image.store import Image
    from utsuwa.spec.platform import Platform

VERB = Verb(
    "build [OPTIONS] PATH | URL | -",
    "Build an image from a Dockerfile",
    (
        Option("add-host", "", LIST, "Add a custom host-to-IP mapping (host:ip)"),
        Option("allow", "", LIST, "Allow an extra privilege (network.host, security.insecure)"),
        Option("build-arg", "", LIST, "Set build-time variables"),
        Option("file", "f", WORD, "Name of the Dockerfile (default: PATH/Dockerfile; '-' is STDIN)"),
        Option("iidfile", "", WORD, "Write the image ID to a file"),
        Option("label", "", LIST, "Set metadata for an image"),
        Option("network", "", WORD, "Set the networking mode for RUN instructions (default, none, host)", "default"),
        Option("no-cache", "", SWITCH, "Do not use cache when building the image"),
        Option("output", "o", WORD, "Output destination (type=local,dest=DIR or type=tar,dest=FILE)"),
        Option("platform", "", WORD, "Set target platform for build"),
        Option("progress", "", WORD, "Set type of progress output (auto, plain, tty, quiet)", "auto"),
        Option("pull", "", SWITCH, "Always attempt to pull all referenced images"),
        Option("quiet", "q", SWITCH, "Suppress the build output and print image ID on success"),
        Option("secret", "", LIST, "Secret to expose to the build (id=NAME[,src=FILE|,env=VARIABLE])"),
        Option("shm-size", "", WORD, "Size of /dev/shm"),
        Option("ssh", "", LIST, "SSH agent socket to expose to the build (default, or id=SOCKET)"),
        Option("tag", "t", LIST, "Name and optionally a tag (format: name:tag)"),
        Option("target", "", WORD, "Set the target build stage to build"),
        Option("ulimit", "", LIST, "Ulimit options"),
    ),
    least=1,
    most=1,
)


def run(words: list[str]) -> int:
    """Progress goes to standard error; the ID to standard output with -q alone."""
    arguments = VERB.read(words)
    if arguments is None:
        return 0
    if arguments.text("network") not in ("default", "none", "host"):
        raise InvalidArgument(f"network {arguments.text('network')}: a build can use default, none or host")
    from utsuwa.build import build, fault
    from utsuwa.build.workshop import Workshop

    house = House()
    output = _output(arguments)
    progress = _progress(arguments)
    with Workshop(house.paths, house.images) as workshop:
        context = _context(arguments, workshop)
        request, bring = _request(arguments, context), _bring(house, arguments)
        try:
            image = build.build(request, house.paths, house.images, workshop, progress, bring, output)
        except (fault.Fault, fault.StepFailed) as error:
            progress.close()
            _explain(error, context)
            failure = Error(f"failed to build: failed to solve: {error}")
            raise failure from error
    progress.close()
    if image is None:
        return 0
    if arguments.text("iidfile"):
        _write(arguments.text("iidfile"), image.id)
    if arguments.on("quiet"):
        print(image.id)
    return 0


def _context(arguments: Arguments, workshop: Workshop) -> Context:
    from utsuwa.build.context import open_context
    from utsuwa.build.git import access_of

    def read(count: int) -> bytes:
        return os.read(0, count)

    secrets = {secret.id: secret.data for secret in map(_secret, arguments.list("secret"))}
    access = access_of(secrets, os.environ.get("SSH_AUTH_SOCK", ""), workshop.lock, own_keys=True)
    return open_context(arguments.words[0], arguments.text("file"), workshop.directory, read, os.getcwd(), access)


def _request(arguments: Arguments, context: Context) -> BuildRequest:
    from utsuwa.build.request import BuildRequest
    from utsuwa.spec import flags
    from utsuwa.spec import platform as platforms

    given = arguments.text
    for word in arguments.list("allow"):
        if word not in ("network.host", "security.insecure"):
            raise InvalidArgument(f"invalid entitlement: {word} (network.host, security.insecure)")
    return BuildRequest(
        context=context.directory,
        dockerfile=context.dockerfile,
        name=context.name,
        ignored=context.ignored,
        arguments=_arguments(arguments),
        labels=dict(map(flags.parse_label, arguments.list("label"))),
        tags=tuple(arguments.list("tag")),
        target=given("target"),
        platform=platforms.parse(given("platform")) if given("platform") else None,
        use_cache=not arguments.on("no-cache"),
        epoch=_epoch(),
        network=given("network"),
        entitlements=tuple(arguments.list("allow")),
        hosts=tuple(arguments.list("add-host")),
        shm_size=flags.parse_bytes(given("shm-size"), "shm-size") if given("shm-size") else None,
        rlimits=tuple(map(flags.parse_ulimit, arguments.list("ulimit"))),
        secrets=tuple(map(_secret, arguments.list("secret"))),
        agents=_agents(arguments.list("ssh")),
    )


def _arguments(arguments: Arguments) -> dict[str, str]:
    """``NAME=value``, or a bare NAME with our own value; without one it is not given."""
    found = {}
    for text in arguments.list("build-arg"):
        name, equals, value = text.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


def _epoch() -> int | None:
    """SOURCE_DATE_EPOCH of our environment (reproducible-builds.org)."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 11:
        raise InvalidArgument(f"invalid SOURCE_DATE_EPOCH: {text!r} (seconds since 1970)")
    return int(text)


def _secret(text: str) -> Secret:
    from utsuwa.build.request import Secret

    fields = dict(part.partition("=")[::2] for part in text.split(","))
    wrong = set(fields) - {"id", "src", "source", "env", "type"}
    kind = fields.get("type", "env" if "env" in fields else "file")
    if wrong or not fields.get("id") or kind not in ("file", "env"):
        raise InvalidArgument(f"invalid secret {text!r} (id=NAME,src=FILE or id=NAME,env=VARIABLE)")
    name = fields["id"]
    place = fields.get("src") or fields.get("source") or ""
    if "env" in fields or (not place and (kind == "env" or name in os.environ)):
        variable = fields.get("env") or place or name
        if variable not in os.environ:
            raise NotFound(f"secret {name}: the variable {variable} is not set")
        return Secret(id=name, data=os.environb[os.fsencode(variable)])
    try:
        with open(place or name, "rb") as file:
            return Secret(id=name, data=file.read())
    except OSError as error:
        raise from_oserror(error, f"secret {name}: {place or name}") from error


def _agents(texts: list[str]) -> dict[str, str]:
    if not texts:
        return {}
    from utsuwa.build.agents import parse

    return parse(texts)


def _progress(arguments: Arguments) -> Progress:
    from utsuwa.build import progress

    kind = "quiet" if arguments.on("quiet") else arguments.text("progress")
    if kind not in ("auto", "plain", "tty", "quiet"):
        raise InvalidArgument(f"invalid progress type: {kind} (auto, plain, tty, quiet)")
    if kind == "quiet":
        return progress.Progress()
    if kind == "plain" or (kind == "auto" and not sys.stderr.isatty()):
        return progress.Plain(sys.stderr)
    try:
        columns = os.get_terminal_size(2).columns
    except OSError:
        if kind == "tty":
            raise InvalidArgument("failed to get console: standard error is no terminal") from None
        columns = 80
    return progress.Terminal(sys.stderr, columns or 80)


def _bring(house: House, arguments: Arguments) -> Callable[[str, Platform | None], Image]:
    """What finds images by name, and pulls them when they are not here or --pull says so."""
    from utsuwa.engine.images import with_tag

    def bring(name: str, platform: Platform | None) -> Image:
        if not arguments.on("pull"):
            try:
                image = house.images.resolve(name)
                if platform is None or _is_for(image, platform):
                    return image
            except NotFound:
                pass
        from utsuwa.cli.pulling import pull

        pull(house, with_tag(name), str(platform or ""), quiet=True, out=sys.stderr)
        return house.images.resolve(name)

    return bring


def _is_for(image: Image, platform: Platform) -> bool:
    found = image.config.platform
    return (found.os, found.architecture) == (platform.os, platform.architecture)


def _output(arguments: Arguments) -> Output | None:
    """Where --output wants the tree; None when it is an image that is wanted."""
    from utsuwa.build.output import Output

    text = arguments.text("output")
    if not text:
        return None
    fields = dict(part.partition("=")[::2] for part in text.split(",")) if "=" in text else {"dest": text}
    kind, place = fields.get("type", "local"), fields.get("dest", "")
    if set(fields) - {"type", "dest"} or kind not in ("local", "tar") or not place:
        raise BadUsage(f'invalid argument "{text}" for "-o, --output" flag: type=local,dest=DIR or type=tar,dest=FILE')
    if arguments.list("tag"):
        raise InvalidArgument("--tag and --output: a tree has no tag, leave one of them out")
    return Output("tar" if place == "-" else kind, place)


def _explain(error: Error, context: Context) -> None:
    """What a failed step has printed last, and the lines of the Dockerfile that are meant."""
    from utsuwa.build.fault import excerpt

    said = getattr(error, "output", "")
    if said:
        print("------", said, "------", sep="\n", file=sys.stderr)
    text = context.dockerfile.decode("utf-8", "replace")
    shown = excerpt(context.name, text, getattr(error, "first", 0), getattr(error, "last", 0))
    if shown:
        print(shown, file=sys.stderr)


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise from_oserror(error, path) from error
