"""The options of `build`: those of Docker's builders, old and new, and what they make of a request."""

from __future__ import annotations

import os

from utsuwa.cli.flags import LIST, NUMBER, SWITCH, WORD, Option
from utsuwa.errors import InvalidArgument, NotFound, Unsupported, from_oserror

TYPE_CHECKING = False
if TYPE_CHECKING:
    from utsuwa.build.context import Context
    from utsuwa.build.contexts import NamedContext
    from utsuwa.build.request import BuildRequest, Secret
    from utsuwa.build.workshop import Workshop
    from utsuwa.cli.flags import Arguments
    from utsuwa.spec.request import RunRequest, Security

_KEPT = (
    Option("add-host", "", LIST, "Add a custom host-to-IP mapping (host:ip, host:host-gateway)"),
    Option("allow", "", LIST, "Allow an extra privilege (network.host, security.insecure)"),
    Option("annotation", "", LIST, "Add annotation to the image (key=value, manifest:key=value)"),
    Option("build-arg", "", LIST, "Set build-time variables"),
    Option("build-context", "", LIST, "Additional build contexts (name=path, name=docker-image://image)"),
    Option("cache-from", "", LIST, "External cache sources (user/app:cache, type=local,src=DIR)"),
    Option("cache-to", "", LIST, "Cache export destinations (type=registry,ref=NAME, type=local,dest=DIR, inline)"),
    Option("call", "", WORD, "Set method for evaluating build (build, check)", "build"),
    Option("check", "", SWITCH, "Look for what is suspicious in the Dockerfile, and build nothing"),
    Option("cgroup-parent", "", WORD, "Set the parent cgroup for RUN instructions"),
    Option("cpu-period", "", NUMBER, "Limit the CPU CFS (Completely Fair Scheduler) period of RUN"),
    Option("cpu-quota", "", NUMBER, "Limit the CPU CFS (Completely Fair Scheduler) quota of RUN"),
    Option("cpu-shares", "c", NUMBER, "CPU shares (relative weight) of RUN"),
    Option("cpuset-cpus", "", WORD, "CPUs in which to allow execution of RUN (0-3, 0,1)"),
    Option("cpuset-mems", "", WORD, "MEMs in which to allow execution of RUN (0-3, 0,1)"),
    Option("file", "f", WORD, "Name of the Dockerfile (default: PATH/Dockerfile; '-' is STDIN)"),
    Option("iidfile", "", WORD, "Write the image ID to a file"),
    Option("label", "", LIST, "Set metadata for an image"),
    Option("load", "", SWITCH, "Keep the image here, beside what --output says"),
    Option("memory", "m", WORD, "Memory limit of RUN"),
    Option("memory-swap", "", WORD, "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
    Option("metadata-file", "", WORD, "Write build result metadata to a file"),
    Option("network", "", WORD, "Set the networking mode for RUN instructions (default, none, host)", "default"),
    Option("no-cache", "", SWITCH, "Do not use cache when building the image"),
    Option("no-cache-filter", "", LIST, "Do not cache specified stages"),
    Option("output", "o", LIST, "Output destination (type=local|tar|oci|docker|image|registry,dest=PATH)"),
    Option("platform", "", WORD, "Set target platform for build"),
    Option("progress", "", WORD, "Set type of progress output (auto, plain, tty, quiet, rawjson)"),
    Option("pull", "", SWITCH, "Always attempt to pull all referenced images"),
    Option("push", "", SWITCH, "Push the image to the registries of its tags"),
    Option("quiet", "q", SWITCH, "Suppress the build output and print image ID on success"),
    Option("secret", "", LIST, "Secret to expose to the build (id=NAME[,src=FILE|,env=VARIABLE])"),
    Option("security-opt", "", LIST, "Security options of RUN"),
    Option("shm-size", "", WORD, "Size of /dev/shm"),
    Option("ssh", "", LIST, "SSH agent socket or keys to expose to the build (default, id=SOCKET, id=KEYFILE)"),
    Option("tag", "t", LIST, "Name and optionally a tag (format: name:tag)"),
    Option("target", "", WORD, "Set the target build stage to build"),
    Option("ulimit", "", LIST, "Ulimit options"),
)
_CHECKED = (
    Option("builder", "", WORD, "Builder to use (default)"),
    Option("compress", "", SWITCH, "Compress the build context (nothing is sent anywhere)"),
    Option("disable-content-trust", "", SWITCH, "Skip image verification (there is none)", True),
    Option("force-rm", "", SWITCH, "Always remove intermediate containers (they always are)"),
    Option("isolation", "", WORD, "Container isolation technology (default)"),
    Option("provenance", "", WORD, "Attestation of provenance (false)"),
    Option("rm", "", SWITCH, "Remove intermediate containers (they always are)", True),
    Option("sbom", "", WORD, "Attestation of what the image holds (false)"),
)
_REFUSED = {
    "attest": (LIST, "there are no attestations"),
    "squash": (SWITCH, "changes the image's layers; copy from a stage into one FROM scratch"),
}
OPTIONS = (
    *_KEPT,
    *_CHECKED,
    *(Option(name, "", kind, f"Refused: {why}") for name, (kind, why) in _REFUSED.items()),
)


def check(arguments: Arguments) -> None:
    """Refuse what can't be done, by name. Raises InvalidArgument, Unsupported."""
    for name, (_, why) in _REFUSED.items():
        if arguments.options[name]:
            raise Unsupported(f"unsupported: --{name} ({why})")
    for name in ("provenance", "sbom"):
        if arguments.text(name).lower() not in ("", "false", "0"):
            raise Unsupported(f"unsupported: --{name} (there are no attestations, use --{name}=false)")
    for name in ("builder", "isolation"):
        if arguments.text(name) not in ("", "default"):
            raise Unsupported(f"unsupported: --{name} {arguments.text(name)} (use default)")
    if arguments.text("call") not in ("build", "check"):
        raise Unsupported(f"unsupported: --call {arguments.text('call')} (use build or check)")
    if not arguments.on("disable-content-trust"):
        raise Unsupported("unsupported: --disable-content-trust=false (image signatures are not looked at)")
    if not arguments.on("rm"):
        raise Unsupported("unsupported: --rm=false (a step leaves no container behind)")
    if arguments.text("network") not in ("default", "none", "host"):
        raise InvalidArgument(f"network {arguments.text('network')}: a build can use default, none or host")
    for word in arguments.list("allow"):
        if word not in ("network.host", "security.insecure"):
            raise InvalidArgument(f"invalid entitlement: {word} (network.host, security.insecure)")


def request(
    arguments: Arguments, context: Context, contexts: dict[str, NamedContext], workshop: Workshop
) -> BuildRequest:
    """What the options ask for. Raises InvalidArgument, NotFound and Unsupported."""
    from utsuwa.build.request import BuildRequest
    from utsuwa.spec import flags, platform

    given = arguments.text
    platforms = list(dict.fromkeys(map(platform.parse, given("platform").split(",") if given("platform") else ())))
    return BuildRequest(
        context=context.directory,
        dockerfile=context.dockerfile,
        name=context.name,
        ignored=context.ignored,
        contexts=contexts,
        arguments=_arguments(arguments),
        labels=flags.parse_labels(arguments.list("label")),
        annotations=_annotations(arguments.list("annotation")),
        tags=tuple(arguments.list("tag")),
        target=given("target"),
        platform=platforms[0] if platforms else None,
        platforms=tuple(platforms) if len(platforms) > 1 else (),
        use_cache=not arguments.on("no-cache"),
        uncached=tuple(name for text in arguments.list("no-cache-filter") for name in text.lower().split(",")),
        inline_cache="type=inline" in arguments.list("cache-to"),
        epoch=_epoch(),
        network=given("network"),
        entitlements=tuple(arguments.list("allow")),
        hosts=tuple(arguments.list("add-host")),
        container=_container(arguments),
        secrets=secrets(arguments),
        agents=_agents(arguments.list("ssh"), workshop),
    )


def _container(arguments: Arguments) -> RunRequest:
    """What the container of every RUN is to have, as `run` would give it."""
    from utsuwa.spec import flags
    from utsuwa.spec import request as requests

    given = arguments.text
    few = {
        "cgroup_parent": given("cgroup-parent"),
        "cpu_period": arguments.number("cpu-period"),
        "cpu_quota": arguments.number("cpu-quota"),
        "cpuset_mems": given("cpuset-mems") or None,
        "shm_size": flags.parse_bytes(given("shm-size"), "shm-size") if given("shm-size") else None,
    }
    found = requests.RunRequest(
        image="",
        memory=flags.parse_bytes(given("memory")) if given("memory") else None,
        memory_swap=flags.parse_memory_swap(given("memory-swap")) if given("memory-swap") else None,
        cpu_shares=arguments.number("cpu-shares"),
        cpuset_cpus=given("cpuset-cpus") or None,
        rlimits=tuple(map(flags.parse_ulimit, arguments.list("ulimit"))),
        security=_security(arguments),
        seldom=requests.Seldom(**few) if any(few.values()) else None,  # type: ignore[arg-type]
    )
    requests.check(found)
    return found


def _security(arguments: Arguments) -> Security:
    from utsuwa.spec.request import Security

    if not arguments.list("security-opt"):
        return Security()
    from utsuwa.cli.create_options import security

    return security(arguments)


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


def secrets(arguments: Arguments) -> tuple[Secret, ...]:
    """What --secret gives. Raises InvalidArgument, NotFound."""
    return tuple(map(_secret, arguments.list("secret")))


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


def _annotations(texts: list[str]) -> dict[str, str]:
    if not texts:
        return {}
    from utsuwa.build.annotations import parse

    return parse(texts)


def _agents(texts: list[str], workshop: Workshop) -> dict[str, str]:
    if not texts:
        return {}
    from utsuwa.build.agents import parse

    def agent_of(name: str, files: list[str]) -> str:
        from utsuwa.build.keys import KeyAgent

        agent = KeyAgent(name, files, workshop.directory())
        workshop.before_end(agent.close)
        return agent.path

    return parse(texts, agent_of)
