"""The build checks: each finds what it is for, in BuildKit's words, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from utsuwa.build import checks
from utsuwa.build.checks import check
from utsuwa.build.graph import Graph
from utsuwa.build.parser import parse
from utsuwa.build.request import BuildRequest
from utsuwa.errors import InvalidArgument
from utsuwa.spec.image import Settings
from utsuwa.spec.platform import Platform


def look(name: str) -> object:
    """``base`` has a variable and is for another platform than everything else; others are not here."""
    if name != "base":
        return None
    config = SimpleNamespace(settings=Settings(Env=("OWN=1",)), platform=Platform(os="linux", architecture="s390x"))
    return SimpleNamespace(config=config)


def found(text: str, ignored: tuple[str, ...] = (), **given: str) -> list[str]:
    host = Platform(os="linux", architecture="amd64")
    request = BuildRequest(context="/", dockerfile=text.encode(), ignored=ignored, arguments=given, platform=host)
    warnings = check(Graph(parse(request.dockerfile), request), request, look)  # type: ignore[arg-type]
    return [f"{each.first} {each.rule}: {each.text}" for each in warnings]


CASES = r"""
FROM x|CMD a
2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals

FROM x AS Big
1 StageNameCasing: Stage name 'Big' should be lowercase

FROM x as y
1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match

FROM x AS b|FROM x AS b
2 DuplicateStageName: Duplicate stage name "b", stage names should be unique

FROM x AS context
1 ReservedStageName: Stage name should not use the same name as reserved stage "context"

FROM scratch|ARG D_ASSETS|COPY $D_ASSET .
3 UndefinedVar: Usage of undefined variable '$D_ASSET' (did you mean $D_ASSETS?)

FROM scratch|ENV PATH=$PAHT:/b
2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)

FROM --platform=$BULIDPLATFORM x
1 UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)

FROM x|WORKDIR app/
2 WorkdirRelativePath: Relative workdir "app/" can have unexpected results if the base image changes

FROM x|MAINTAINER me
2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label

FROM x|CMD ["a"]|CMD ["b"]
2 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only
the last one will be used

FROM x|COPY a \||  b
4 NoEmptyContinuation: Empty continuation line

FROM x|copy a b|COPY a b
2 ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase)

FROM x|ENV a b
2 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format

ARG V|FROM x:$V
2 InvalidDefaultArgInFrom: Default value for ARG x:$V results in empty or invalid base image name

FROM x|COPY ./secret/f /
2 CopyIgnoredFile: Attempting to Copy file "secret/f" that is excluded by .dockerignore

FROM x|ARG API_KEY
2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "API_KEY")

FROM --platform=linux/arm64 x
1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/arm64"

FROM --platform=${TARGETPLATFORM} x
1 RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is
the default behavior

FROM base
1 InvalidBaseImagePlatform: Base image base was pulled with platform "linux/s390x", expected "linux/amd64" for
current build

FROM x|EXPOSE 80/TCP
2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase

FROM x|EXPOSE 1.2.3.4:80:80
2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found
'1.2.3.4:80:80'
"""
"""A Dockerfile, ``|`` for the ends of its lines, and below it what is to be found."""


@pytest.mark.parametrize("case", CASES.strip().split("\n\n"))
def test_each_rule(case: str) -> None:
    line, _, expected = case.partition("\n")
    text, expected = line.replace("|", "\n") + "\n", expected.replace("\n", " ")
    given = {"BULIDPLATFORM": "linux/amd64"} if "BULID" in text else {"V": "1"}
    assert found(text, ("secret",), **given) == [expected]
    rule = expected.split()[1][:-1]
    assert found(f"# check=skip={rule}\n{text}", ("secret",), **given) == []
    assert found(text, ("secret",), **given, BUILDKIT_DOCKERFILE_CHECK="skip=all") == []


@pytest.mark.parametrize(
    "text",
    [
        'FROM x AS a\nSHELL ["/odd"]\nFROM a\nCMD a\n',
        "FROM x AS a\nWORKDIR /app\nFROM a\nWORKDIR sub\n",
        "FROM --platform=linux/amd64 x AS my_amd64\n",
        "FROM x\nARG GIT_PUBLIC_KEY\nENV MONKEY=1\nRUN echo $nothing\n",
        "FROM scratch\nCOPY ${a:-b} ${c+d} ./\n",
        "FROM x\nCOPY $from_the_base /\n",
        "ARG V=1\nFROM x:$V AS one\nFROM one\nCOPY --from=one secret/f /\n",
        "from x as y\ncopy a \\\n# a comment\n b\n",
        "FROM --platform=linux/s390x base AS s390x\nCOPY $OWN /\n",
        "FROM x\nARG a\nCOPY <<EOF /$a\n$b\nEOF\nEXPOSE 80 ${p:-1}\n",
    ],
)
def test_what_is_well(text: str) -> None:
    assert found(text, ("secret",)) == []


def test_words_for_people() -> None:
    (warning,) = [checks.Warning(rule="JSONArgsRecommended", text="t", first=2, last=2)]
    assert warning.url.endswith("/json-args-recommended/")
    assert "1 warning found" in checks.summary([warning])
    assert "   2 | >>> b\n" in checks.report([warning], "D", "a\nb\nc")
    with pytest.raises(InvalidArgument):
        found("# check=odd=1\nFROM x\n")
