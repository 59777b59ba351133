"""Bad workflow files give exit code 2 and a message with a place; never a traceback, and nothing runs."""

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intendant.cli.app import app_for

ROOT = Path(__file__).parent.parent
BASES = [path.read_text() for path in sorted((ROOT / "docs/examples").glob("*/flow.yaml"))]
BASES.append("""
name: everything
inputs: {n: {type: integer, default: 2}}
budget: {tokens: 5000, usd: 0.01}
steps:
  - {id: a, intent: filter, input: [1, 2, 3], with: {limit: 2}, retry: {attempts: 2, delay: 0}, timeout: 5}
  - {id: b, intent: transform, input: "{{ steps.a.output }}", with: {op: to_json}, output: {type: string}, critical: true}
  - {id: c, intent: conditional, input: "{{ inputs.n }}", with: {if: "input > 1"}, when: "steps.a.output.size() > 0"}
""")
APP = app_for()
WANTED = int(os.environ.get("INTENDANT_SAMPLE", "20")) * 3

Mutation = Callable[[random.Random, str], str]


def cut(rng: random.Random, text: str) -> str:
    return text[: rng.randrange(1, len(text))]


def drop(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + text[at + rng.randrange(1, 4) :]


def put(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return (
        text[:at]
        + rng.choice(["{", "}", "[", "]", ":", "\t", "'", '"', "{{", "}}", "&", "*", "!", "\x00", "\ud800", "é"])
        + text[at:]
    )


def double_line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    return "".join([*lines[: at + 1], lines[at], *lines[at + 1 :]])


def lose_line(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return "".join(lines)


def indent(rng: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    lines[at] = rng.choice([" ", "   ", "\t"]) + lines[at]
    return "".join(lines)


def misspell(rng: random.Random, text: str) -> str:
    words = list(re.finditer(r"[a-z_]{4,}", text))
    word = rng.choice(words)
    letters = list(word[0])
    at = rng.randrange(len(letters) - 1)
    letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return text[: word.start()] + "".join(letters) + text[word.end() :]


def retype(rng: random.Random, text: str) -> str:
    pairs = list(re.finditer(r"(?m)^(\s*(?:- )?\w+:) .+$", text))
    pair = rng.choice(pairs)
    value = rng.choice(
        ["[]", "{}", "-1", "null", "[[[]]]", "9" * 400, "1e400", "yes: no", "'{{ steps.zz.output }}'", "{{ x }}"]
    )
    return f"{text[: pair.start()]}{pair[1]} {value}{text[pair.end() :]}"


MUTATIONS: tuple[Mutation, ...] = (cut, drop, put, double_line, lose_line, indent, misspell, retype)


@pytest.mark.sampled(1)
def test_broken_files_are_refused_with_a_place_and_no_traceback(tmp_path) -> None:
    rng = random.Random(20261121)
    runner = CliRunner()
    refused: dict[str, int] = {}
    tried = 0
    while sum(refused.values()) < WANTED:
        tried += 1
        assert tried < WANTED * 6, f"too few mutations break anything: {refused}"
        mutation = rng.choice(MUTATIONS)
        text = rng.choice(BASES)
        for _ in range(rng.randrange(1, 4)):
            text = mutation(rng, text) if text.strip() else text
        file = tmp_path / f"{tried}{rng.choice(['.yaml', '.yaml', '.json'])}"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        result = runner.invoke(APP, ["plan", str(file)])
        if (
            result.exit_code == 0 and "uses" not in text
        ):  # what may be planned may be run, and still has no traceback
            ran = runner.invoke(APP, ["run", str(file), "--db", "none"])
            assert ran.exit_code in (0, 1, 2, 3), text
            assert ran.exception is None or isinstance(ran.exception, SystemExit), text
        shown = f"{mutation.__name__}:\n{text[-1500:]}\n---\n{result.output}"
        assert result.exit_code in (0, 2), shown
        assert result.exception is None or isinstance(result.exception, SystemExit), shown
        assert "Traceback" not in result.output, shown
        if result.exit_code == 2:
            refused[mutation.__name__] = refused.get(mutation.__name__, 0) + 1
            assert re.search(rf"{tried}\.\w+:(\d+:\d+: )?", result.output), shown
    assert len(refused) == len(MUTATIONS), refused


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"\x00" * 100,
        b"- " * 5000,
        b"a: " * 5000,
        b"%YAML 9.9\n---\nx",
        b"name: x\nsteps: &a [*a]",
        b"[" * 100_000,
        b"{" * 100_000,
        b"? {}\n: x",
    ],
    ids=range(10),
)
@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_hostile_files(tmp_path, content: bytes, ending: str) -> None:
    file = tmp_path / f"f.{ending}"
    file.write_bytes(content)
    result = CliRunner().invoke(APP, ["run", str(file), "--db", "none"])
    assert result.exit_code == 2, result.output
    assert f"f.{ending}" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("budget", "{usd: .inf}"),
        ("budget", "{usd: 1.0e+300}"),
        ("budget", "{tokens: 1000000000000000000000000000000}"),
        ("description", '"half \\ud800 a pair"'),
        ("inputs", "{x: {type: number, default: .nan}}"),
        ("agent", '""'),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_values_that_nothing_can_hold(tmp_path, where: str, what: str, command: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        f"name: t\n{where}: {what}\nsteps: [{{id: a, intent: filter, input: [1], with: {{limit: 1}}}}]\n"
    )
    result = CliRunner().invoke(APP, [command, str(file), *(["--db", "none"] if command == "run" else [])])
    assert result.exit_code == 2, result.output
    assert "f.yaml:2:" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "no-such-file.yaml"],
        ["run", "."],
        ["plan", "{flow}", "--set", "budget.strategy"],
        ["plan", "{flow}", "--set", "budget.strategy=nonsense"],
        ["plan", "{flow}", "--set", "no.such=1"],
        ["run", "{flow}", "-i", "nonsense", "--db", "none"],
        ["run", "{flow}", "-i", "nonsense=1", "--db", "none"],
        ["run", "{flow}", "--db", "nosuchdb://x"],
        ["run", "{flow}", "--no-such-option"],
        ["show", "r_nothing", "--db", "none"],
        ["nosuchcommand"],
        ["plan", "{flow}", "--set", 'plugins.require=["intent:absent"]'],
    ],
    ids=" ".join,
)
def test_wrong_arguments(arguments: list[str]) -> None:
    flow = str(ROOT / "docs/examples/sales-report/flow.yaml")
    result = CliRunner().invoke(APP, [argument.replace("{flow}", flow) for argument in arguments])
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert result.output.strip()


DOUBLING = ", ".join(
    f"a{n}: {{allOf: [{{$ref: '#/$defs/a{n + 1}'}}, {{$ref: '#/$defs/a{n + 1}'}}]}}" for n in range(30)
)
HOSTILE = {
    "a schema that doubles thirty times": (
        f"{{id: a, intent: validate, input: [1], with: {{schema: {{$defs: {{{DOUBLING}, a30: {{}}}}, $ref: '#/$defs/a0'}}}}}}",
        "run.compute_seconds",
    ),
    "an output schema that does": (
        f"{{id: a, intent: filter, input: [1], with: {{limit: 1}}, output: {{$defs: {{{DOUBLING}, a30: {{}}}}, $ref: '#/$defs/a0'}}}}",
        "run.compute_seconds",
    ),
    "a condition that multiplies text": (
        f"{{id: a, intent: filter, input: ['{'a' * 1000}'], with: {{where: \"item.replace('a', item).replace('a', item).replace('a', item) == ''\"}}}}",
        "run.compute_",
    ),
    "a `when` that does": (
        "{id: a, intent: filter, input: [1], with: {limit: 1}, when: \"inputs.t.replace('a', inputs.t).replace('a', inputs.t).replace('a', inputs.t) == ''\"}",
        "run.compute_",
    ),
    "a pattern of exponential time": (
        f"{{id: a, intent: extract, input: '{'a' * 40}!', with: {{fields: {{x: {{pattern: '(a+)+$'}}}}}}}}",
        "pattern_seconds",
    ),
    "an encoding that takes quadratic time": (
        "{id: a, uses: file.read, with: {path: wide.csv, encoding: punycode}}",
        "there is no encoding",
    ),
    "a table of 300,000 columns": (
        "{id: a, uses: file.read, with: {path: wide.csv, ragged: pad}}",
        "max_cells",
    ),
    "the memory of a process": (
        "{id: a, uses: file.read, with: {path: /proc/self/environ}}",
        "outside",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_computations_without_an_end_are_stopped(tmp_path, monkeypatch, what: str) -> None:
    """The step fails and names the bound; the process does not hang, and takes no gigabytes."""
    step, says = HOSTILE[what]
    monkeypatch.chdir(tmp_path)
    if "wide.csv" in step:
        (tmp_path / "wide.csv").write_text(",".join(f"c{n}" for n in range(300_000)) + "\n" + "1\n" * 1000)
    inputs = f"inputs: {{t: {{default: '{'a' * 1000}'}}}}"
    (tmp_path / "f.yaml").write_text(f"name: t\n{inputs}\nsteps:\n  - {step}\n")
    bounds = ["-s", "run.compute_seconds=1", "-s", "run.compute_megabytes=256"]
    bounds += ["-s", 'plugins.settings."intent:extract".pattern_seconds=1']
    result = CliRunner().invoke(APP, ["run", "f.yaml", "--db", "none", *bounds])
    assert result.exit_code == 1, result.output
    assert says in result.output
    assert "Traceback" not in result.output


@pytest.mark.sampled(4)
@pytest.mark.parametrize("unit", ["{{ ", "{{['", "}}{{"])
@pytest.mark.parametrize("place", ["input", "prompt", "when"])
def test_text_full_of_braces_is_read_in_linear_time(tmp_path, unit: str, place: str) -> None:
    file = tmp_path / "f.yaml"
    text = unit * (150_000 // len(unit))
    file.write_text(
        f'name: t\nsteps:\n  - {{id: a, intent: summarize, input: x, {place}: "{text}"}}\n'.replace(
            "input: x, input:", "input:"
        )
    )
    result = CliRunner().invoke(APP, ["plan", str(file)])
    assert result.exit_code == 2, result.output[:500]
    assert "Traceback" not in result.output
