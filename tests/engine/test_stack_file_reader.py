"""Whatever is written in a stack file, the engine and every other command read the same value, or it is refused."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infra.config import ConfigInvalid
from infra.config.reader import read_values
from infra.config.stack import decoded
from pipelines._sandbox import Sandbox

STACK = "local-dev"
SPELLINGS = (
    *(
        "0815",
        "007",
        "0o17",
        "0x1F",
        "0b101",
        "1_000",
        "+1",
        "-1",
        "-0",
        "0",
        "190:20:30",
        "12:30",
        "1e3",
        "1E-3",
        "1.",
    ),
    *(".5", "5.0", "-0.0", "0.1", "3.14159265358979", "0.0000001", "1234567.5", "12345678901234567890", "1e400", "+.5"),
    *(".inf", "-.INF", ".nan", "inf", "nan", "NaN", "yes", "Yes", "no", "NO", "on", "Off", "y", "N", "true", "True"),
    *("TRUE", "false", "null", "Null", "NULL", "~", "", "2026-11-30", "2026-11-30T12:00:00Z", "2026-1-2 3:4:5"),
    *("1.2.3", "10.0.0.1", "10.0.0.0/16", "17.3.x-scala2.13", "0d26daa6-5e44-4c97-a497-ef015f91254a", "5e44-1"),
    *("Europe/Berlin", "a@example.org", ".mlops/local-dev", "=", "<<", "-", "?", "a b", "a: b", "a #b", "a#b", "a:b"),
    *("'0815'", '"on"', "'it''s'", '"\\x41\\u00e9\\t"', '"\\/"', "'2026-11-30'", '"[team"', "'{\"a\": 1}'", "'[1, 2'"),
    *("!!str 5", "!!int '5'", "!!float 5", "!!binary aGk=", "!x y", "! 5", "&a x", "*a", "@x", "`x`", "%x", "%"),
    *(
        "[a, 0815]",
        "[1, 2.50, true, ~]",
        "{a: on}",
        "{a: {b: [1, x]}}",
        "{}",
        "[]",
        "{a: 1, a: 2}",
        "{1: a}",
        "{? a : b}",
    ),
    *(
        "|\n      text\n      more\n",
        ">-\n      folded\n      text\n",
        "\n    - a\n    - 1\n",
        "\n      a: b\n      c: 1.0\n",
    ),
    *(
        "\n    a\n    b",
        "{<<: {a: 1}}",
        "[a,]",
        "{a: , b: 1}",
        "[Z:]",
        "[Z:, a]",
        "{Z:}",
        "{a:, b: 1}",
        "[a: 1]",
        "a\tb",
        "\ta",
        "'a\tb'",
        "x\u00a0y",
        "x\u2028y",
        "é😀",
        '"\\ud83d\\ude00"',
        '"\\U0001f600"',
        '"\\ud800"',
        '"\\U00110000"',
        '"\\u0000\\x7f"',
        "0\u0661",
    ),
)
words = st.one_of(
    st.sampled_from(SPELLINGS),
    st.from_regex(r"[-+.]?[0-9][0-9_.:eEx+-]{0,9}", fullmatch=True),
    st.from_regex(r"0[xob]?[0-9a-f_]{1,6}", fullmatch=True),
    st.from_regex(r"(?i)[yntf]?(es|o|rue|alse|ull|on|off|inf|nan)?", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12).map(json.dumps),
    st.text(st.sampled_from("aZ09 .:#-+_,[]{}&*!|>'\"%@`~=?/\\é\t"), max_size=8),
)
values = words | st.lists(words, max_size=3).map(lambda each: f"[{', '.join(each)}]")


@pytest.fixture(scope="module")
def engine(project: Sandbox) -> Sandbox:
    project.configure(STACK, {"mlops:owner": "team"})
    project.pulumi("stack", "init", STACK)
    return project


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def read_here(folder: Path, text: str) -> dict[str, str] | None:
    """What the commands read, None where they refuse."""
    file = folder / "one.yaml"
    file.write_bytes(text.encode())
    try:
        found = read_values(file)
    except ConfigInvalid:
        return None
    return found.plain | dict.fromkeys(found.encrypted, "a secret")


def read_by_the_engine(engine: Sandbox, folder: Path, text: str) -> dict[str, Any]:
    file = folder / "all.yaml"
    file.write_bytes(text.encode())
    told = engine.run("pulumi", "config", "--json", "--show-secrets", "--stack", STACK, "--config-file", str(file))
    return {key: each["value"] for key, each in json.loads(told.stdout).items()}


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(values, min_size=60, max_size=60))
@example(list(SPELLINGS))
def test_a_value_is_what_the_engine_takes_it_for_or_refused(engine: Sandbox, folder: Path, written: list[str]) -> None:
    text, ours = "config:\n", dict[str, str]()
    for number, value in enumerate(written):
        line = f"  mlops:key{number}: {value}\n"
        if (found := read_here(folder, f"config:\n{line}")) is not None:
            assert set(found) == {f"mlops:key{number}"}
            text, ours = text + line, ours | found
    theirs = read_by_the_engine(engine, folder, text)
    assert {key: decoded(value) for key, value in ours.items()} == {
        key: decoded(value) for key, value in theirs.items()
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "config:\n",
        "config: {}\n",
        "config: ~\n",
        "\ufeffconfig:\r\n  mlops:owner: team\r\n  mlops:ci:\r\n    github: a/b\r\n",
        "---\nconfig:\n  mlops:owner: team\n",
        "config:\n  mlops:owner: team\n...\n",
        "config:\n  mlops:owner: team\n---\nconfig:\n  mlops:owner: other\n",
        "config:\n  mlops:owner: team\n  mlops:owner: other\n",
        "config:\n  mlops:owner: team\n  owner: other\n",
        "config:\n  owner: team\n",
        "config:\n  mlops:config:owner: team\n",
        "config: &all\n  mlops:owner: &team team\n  mlops:cost_centre: *team\n",
        "base: &base {mlops:owner: team}\nconfig:\n  <<: *base\n",
        "%YAML 1.1\n---\nconfig:\n  mlops:owner: team\n",
        "%TAG ! tag:example.org,2026:\n---\nconfig:\n  mlops:owner: !x team\n",
        "config:\n  mlops:owner:\tteam\n",
        "config:\n  'mlops:owner': team # why\n  ? mlops:cost_centre\n  : abc\n",
        "config:\r  mlops:owner: team\r",
        "config:\n  mlops:owner: team\u0085  mlops:cost_centre: abc\n",
        "{config: {'mlops:owner': team, \"mlops:ci\": {github: a/b}}}",
        '{"config": {"mlops:owner": "team", "mlops:ci": {"github": "a\\/b"}}}',
    ],
)
def test_a_file_is_what_the_engine_takes_it_for_or_refused(engine: Sandbox, folder: Path, text: str) -> None:
    ours = read_here(folder, text)
    if ours is not None:
        theirs = read_by_the_engine(engine, folder, text)
        assert {key: decoded(value) for key, value in ours.items()} == {
            key: decoded(value) for key, value in theirs.items()
        }


@pytest.mark.parametrize("words", [["mlops:owner", "0815"], ["mlops:owner", "on"], ["mlops:owner", "[team"]])
def test_what_the_engine_writes_is_read(engine: Sandbox, words: list[str]) -> None:
    engine.pulumi("config", "set", *words, "--stack", STACK)
    assert read_values(engine.stack_file(STACK)).plain["mlops:owner"] == words[1]
