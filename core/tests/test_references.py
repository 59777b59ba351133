"""References name values by path, keep types, and say what is there where something is not."""

import pytest
from hypothesis import given, strategies as st

from intendant.model.references import Reference, find, read
from intendant.pilot.resolving import resolve
from intendant.plugin import ReferenceFailed

SCOPE = {
    "steps": {
        "fetch": {
            "output": {"rows": [{"id": 7, "a b": None}, {"id": 8, "a b": 1}], "text": "hi"},
            "status": "completed",
        }
    },
    "inputs": {"n": 3, "flag": False, "}} {{": 4, "Größe": 5},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ steps.fetch.output.rows[0].id }}", 7),
        ("{{steps.fetch.output.rows[-1].id}}", 8),
        ("{{ steps.fetch.output.rows[*].id }}", [7, 8]),
        ("{{ steps.fetch.output.rows[1]['a b'] }}", 1),
        ("{{ inputs.flag }}", False),
        (" {{ inputs.n }} ", 3),
        ("n is {{ inputs.n }}, {{ steps.fetch.output.rows[0] }}", 'n is 3, {"id": 7, "a b": null}'),
        ("{{ steps.fetch.output.rows[0]['a b'].deeper }}", None),
        ("no reference", "no reference"),
        ("{{ '{{' }}", "{{"),
        ("{{'{{'}} x {{ \"}}\" }} {{ inputs.n }}", "{{ x }} 3"),
        ("{{ inputs['}} {{'] }}", 4),
        ("{{ inputs.Größe }}", 5),
        ("it's {{ inputs.n }}, isn't it", "it's 3, isn't it"),
        ("{{ inputs.n }}{{ inputs.n }}", "33"),
        ({"k": ["{{ inputs.n }}", 1]}, {"k": [3, 1]}),
        ({"{{ inputs.n }}": {"a {{ inputs.flag }}": "{{ inputs.n }}"}}, {"3": {"a false": 3}}),
        ({"{{ '{{' }}": 1}, {"{{": 1}),
    ],
)
def test_values(text: object, value: object) -> None:
    found = resolve(text, SCOPE)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ steps.fetch.output.row }}", "has: rows, text"),
        ("{{ steps.fetch.output.rows[2] }}", "has 2 elements"),
        ("{{ steps.fetch.output.rows.id }}", "has no fields: it is a list; steps.fetch.output.rows[*].id is"),
        ("{{ steps.fetch.output.text.id }}", "steps.fetch.output.text has no fields"),
        ("{{ steps.fetch.output.text[0] }}", "is not a list"),
        ("{{ steps.fetch.output.text[*] }}", "is not a list"),
        ("{{ steps.fetch.output.rows[*].nope }}", "steps.fetch.output.rows[0] has: id"),
        ("{{ inputs.N }}", "has: n, flag"),
        ("{{ steps.fetch.output.rows[999999999] }}", "has 2 elements"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(text: str, says: str) -> None:
    with pytest.raises(ReferenceFailed) as caught:
        resolve(text, SCOPE)
    assert says in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "{{ }}",
        "{{ 3 }}",
        "{{ a + b }}",
        "{{ steps..x }}",
        "{{ steps.a[x] }}",
        "{{ open",
        "{{ steps['a }}",
        "{{ it's }}",
        "{{ {{ inputs.n }}",
        "{{ steps.a[" + "9" * 5000 + "] }}",
    ],
)
def test_what_is_no_reference_is_found_before_the_run(text: str) -> None:
    assert {type(item) for item in find(text)} == {tuple}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"{{ inputs.nil }}": 1}, "the key '{{ inputs.nil }}' of a map is null"),
        ({"3": 1, "{{ inputs.n }}": 2}, "is '3', which stands there already"),
        ({"{{ inputs.m }}": 1}, "names something that is not there"),
    ],
)
def test_a_key_that_cannot_be_one_is_an_error(value: object, says: str) -> None:
    with pytest.raises(ReferenceFailed, match=says):
        resolve(value, {**SCOPE, "inputs": {"n": 3, "nil": None}})


def test_references_in_keys_are_found_before_the_run() -> None:
    assert [found.text for found in find({"{{ inputs.n }}": ["{{ run.id }}"]})] == ["inputs.n", "run.id"]


def test_values_never_become_references() -> None:
    """What an input holds is data, even if it looks like a reference."""
    assert (
        resolve("{{ inputs.x }}", {"inputs": {"x": "{{ inputs.secret }}", "secret": 1}}) == "{{ inputs.secret }}"
    )
    assert (
        resolve("a {{ inputs.x }}", {"inputs": {"x": "{{ inputs.secret }}", "secret": 1}})
        == "a {{ inputs.secret }}"
    )


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(read(text), Reference)
    except ReferenceFailed as error:
        assert error.hint


@pytest.mark.parametrize(
    "unit", ["{{ ", "{{ '", '{{ "', "{{['", "{{ a['}}", "}}{{", "{{ x }} ", "{{ 'a' }}", "{{ }}", "{", "['{{"]
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """A fifth of a megabyte, within the time limit; looked through once for each opening it would take an hour."""
    text = unit * (200_000 // len(unit))
    assert len(list(find(text))) <= len(text)
    try:
        resolve(text, {"x": 1})
    except ReferenceFailed as error:
        assert len(str(error)) < 1000
