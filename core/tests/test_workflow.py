"""Workflow files: what is wrong is said all at once, with place and hint."""

import pytest

from intendant import Workflow, WorkflowError
from intendant.plugin import Input

GOOD = """
name: t
inputs: {n: {type: integer, default: 3}}
steps:
  - {id: a, intent: x, with: {k: 1}, when: "inputs.n > 2", retry: {attempts: 2}}
"""


def test_with_and_condition_are_read() -> None:
    flow = Workflow.parse(GOOD)
    assert flow.steps[0].with_ == {"k": 1}
    assert flow.by_id["a"].when == "inputs.n > 2"
    assert flow.inputs["n"].default == 3


def test_survives_being_written_and_read_again() -> None:
    flow = Workflow.parse(GOOD.replace("inputs: {", "inputs: {m: {}, "))
    again = Workflow.model_validate_json(flow.model_dump_json(by_alias=True))
    assert again.model_dump() == flow.model_dump()
    assert [again.inputs[name].required for name in ("n", "m")] == [False, True]


def test_all_mistakes_are_told_in_one_go() -> None:
    text = """name: t
steps:
  - {id: bad id, intnt: x}
  - {id: b, retry: {attempts: 0, tries: 3}, uses: file}
  - {id: c, when: "{{ steps.b.output }}"}
inputs: {x: {typ: string}}
"""
    with pytest.raises(WorkflowError) as caught:
        Workflow.parse(text, file="f.yaml")
    told = {(problem.line, problem.message.split()[0]) for problem in caught.value.problems}
    assert {line for line, _ in told} == {3, 4, 5, 6}
    assert len(caught.value.problems) == 7
    text = str(caught.value)
    assert "f.yaml:3:" in text
    assert "did you mean 'intent'?" in text
    assert "did you mean 'type'?" in text
    assert "without braces" in text


@pytest.mark.parametrize("text", ["[]", "3", "name: t", "name: t\nsteps: []", "name: t\nsteps: x"])
def test_what_is_no_workflow_is_refused(text: str) -> None:
    with pytest.raises(WorkflowError):
        Workflow.parse(text)


def test_a_missing_file_and_broken_bytes_are_problems(tmp_path) -> None:
    with pytest.raises(WorkflowError, match="no such file"):
        Workflow.load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_bytes(b"name: \xff\xfe")
    with pytest.raises(WorkflowError, match="UTF-8"):
        Workflow.load(broken)
    with pytest.raises(WorkflowError):
        Workflow.load(tmp_path)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "12", "12"),
        ("integer", "12", 12),
        ("number", "1.5", 1.5),
        ("boolean", "true", True),
        ("array", "[1]", [1]),
        ("any", "x", "x"),
        ("any", "3", 3),
    ],
)
def test_inputs_are_read_by_their_type(kind: str, text: str, value: object) -> None:
    assert Input(type=kind).read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"), [("integer", "1.5"), ("integer", "true"), ("boolean", "1"), ("array", "x")]
)
def test_inputs_of_another_type_are_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match="is not of type"):
        Input(type=kind).read(text)


def test_an_input_with_a_null_default_is_not_required() -> None:
    assert not Input(default=None).required
    assert Input().required
