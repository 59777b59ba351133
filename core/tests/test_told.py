"""What is wrong with a file or a parameter is told in plain words, at its place."""

import pytest

from intendant import Workflow, WorkflowError
from intendant.model.workflow_problems import real_path


def told(text: str) -> str:
    with pytest.raises(WorkflowError) as caught:
        Workflow.parse(text, file="f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("name: x\nsteps: [{id: a, prompt: hi: there}]", 2, "quotes"),
        ("name: x\nsteps:\n\t- id: a", 3, "tabs are not allowed"),
        ("name: @x", 1, "begins with @ needs quotes"),
        ("name: %x", 1, "begins with % needs quotes"),
        ("name: *x", 1, "begins with * or & needs quotes"),
        ("name: 'it's'", 1, "written twice"),
        (r'name: "a\q"', 1, "a backslash is itself there"),
        ("name: [1", 2, "is not closed"),
        ('name: "x', 2, "is not closed"),
        ("steps:\n  - id: a\n   prompt: x", 3, "indentation"),
    ],
)
def test_yaml_that_cannot_be_read_is_told_with_what_is_mostly_meant(text, line, says) -> None:
    message = told(text + "\n")
    assert f"f.yaml:{line}:" in message
    assert says in message.partition("hint: ")[2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("steps: 3", "steps: must be a list, not 3"),
        ("steps: [a]", 'steps[0]: must be a map: {key: value}, not "a"'),
        ("budget: 5\nsteps: [{id: a, prompt: x}]", "budget: must be a map: {key: value}, not 5"),
        ("steps: [{id: a, prompt: x, timeout: soon}]", 'timeout: must be a number, not "soon"'),
        ("steps: [{id: a, prompt: x, critical: 3}]", "critical: must be true or false, not 3"),
        ("steps: [{id: a, prompt: [1]}]", "prompt: must be a text, not [1]"),
    ],
)
def test_a_value_of_another_kind_is_told_with_what_it_has_to_be(text, says) -> None:
    message = told(f"name: x\n{text}\n")
    assert says in message
    assert "valid" not in message


@pytest.mark.parametrize(
    ("location", "given", "missing", "path"),
    [
        (("url", "str"), {"url": 5}, False, ("url",)),
        (("unique_by", "list[str]"), {"unique_by": {"a": 1}}, False, ("unique_by",)),
        (("do", 1, "count"), {"do": [{}, {}]}, True, ("do", 1, "count")),
        (("join", "On", "left"), {"join": {"right": "a"}}, True, ("join", "left")),
        (("url",), {}, True, ("url",)),
        (("rules", 0, "rule"), {"rules": [{"rule": 3}]}, False, ("rules", 0, "rule")),
    ],
)
def test_a_place_has_no_names_of_types_in_it(location, given, missing, path) -> None:
    assert real_path(location, given, missing=missing) == path
