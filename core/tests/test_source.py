"""YAML and JSON become plain values that remember where they stood."""

import json

import pytest
from hypothesis import given, strategies as st

from intendant import WorkflowError
from intendant.model.source import parse


def problem_of(text: str, file: str = "f.yaml"):
    with pytest.raises(WorkflowError) as caught:
        parse(text, file=file)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("NO", "NO"),
        ("true", True),
        ("~", None),
        ("12", 12),
        ("1.5e3", 1500.0),
        ("'12'", "12"),
        ("2026-11-21", "2026-11-21"),
        ("1:30", "1:30"),
        ("0o17", 15),
        ("017", 17),
        ("1_000", "1_000"),
        ("|\n  12\n", "12\n"),
    ],
)
def test_yaml_scalars_follow_the_core_rules(text: str, value: object) -> None:
    found = parse(f"x: {text}", file="f.yaml").value["x"]
    assert found == value
    assert type(found) is type(value)


def test_positions_point_at_values() -> None:
    document = parse("a: 1\nb:\n  - c: 2\n", file="f.yaml")
    assert document.position(("b", 0, "c")) == (3, 8)
    assert document.position(("b", 0, "nothing")) == (3, 5)


def test_json_positions_are_the_same_as_yamls() -> None:
    text = '{"a": 1,\n "b": [{"c": 2}]}'
    assert parse(text, file="f.json").positions == parse(text, file="f.yaml").positions


@pytest.mark.parametrize(
    ("text", "file", "line", "says"),
    [
        ("a: 1\na: 2", "f.yaml", 2, "second time"),
        ('{"a": 1,\n"a": 2}', "f.json", 2, "second time"),
        ("a: [1,\n2", "f.yaml", 3, "YAML"),
        ('{"a": [1,\n2', "f.json", 2, "expected"),
        ("\ta: 1", "f.yaml", 1, "YAML"),
        ("x: {{ steps.a }}", "f.yaml", 1, "quotes"),
        ("", "f.yaml", 1, "empty"),
        ("a: !!python/object:os.system x", "f.yaml", 1, "tag"),
        ("a: &x [*x]", "f.yaml", 1, "deeper"),
        ("a: 1e999", "f.yaml", 1, "too large"),
        ('{"a": 1e999}', "f.json", 1, "too large"),
        ("a: " + "9" * 5000, "f.yaml", 1, "digits"),
        ('{"a": 1} x', "f.json", 1, "after the end"),
        ("[" * 100 + "]" * 100, "f.json", 1, "deeper"),
        ("[" * 100 + "]" * 100, "f.yaml", 1, "deeper"),
        ('{"a": "\x01"}', "f.json", 1, "string"),
    ],
)
def test_what_is_malformed_is_placed(text: str, file: str, line: int, says: str) -> None:
    problem = problem_of(text, file)
    assert problem.line == line
    assert says in f"{problem.message} {problem.hint}"


def test_aliases_cannot_blow_up() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [" + ",".join([f"*{chr(97 + n)}"] * 9) + "]" for n in range(8)
    )
    assert "expands to more" in problem_of(bomb).message


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_json_reads_as_the_standard_library_reads_it(value: object) -> None:
    assert parse(json.dumps(value), file="f.json").value == value
    assert parse(json.dumps(value, indent="\t"), file="f.json").value == value
