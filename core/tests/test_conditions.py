"""Conditions work on typed values; what cannot be evaluated is an error, never true or false by accident."""

import pytest

from intendant.pilot.conditions import input_names, step_names
from intendant.plugin import Expression, ExpressionFailed


@pytest.mark.parametrize(
    ("source", "item", "value"),
    [
        ("item.a > 90", {"a": 100}, True),
        ("item.a > 90.5", {"a": 91}, True),
        ("item.a == '95'", {"a": "95"}, True),
        ("item.a > '2026-04-01'", {"a": "2026-05-12"}, True),
        ("item.name.lowerAscii().contains('refund')", {"name": "REFUND me"}, True),
        ("'x' in item.tags && !has(item.gone)", {"tags": ["x"]}, True),
        ("item.s == 'quote \\' inside'", {"s": "quote ' inside"}, True),
        ("item.evil == 'x'", {"evil": "' || true || '"}, False),
    ],
)
def test_typed_values(source: str, item: object, value: bool) -> None:
    assert Expression(source, ["item"]).test(item=item) is value


@pytest.mark.parametrize(
    ("source", "item", "says"),
    [
        ("item.a > 90", {"a": "100"}, "does not apply to string and a whole number"),
        ("item.b > 90", {"a": 1}, 'not found in map : "b"'),
        ("item.a", {"a": 1}, "neither true nor false"),
        ("1 / item.a == 1", {"a": 0}, "divide by zero"),
        ("item.all(a, item.all(b, item.all(c, item.all(d, a + b + c + d >= 0))))", list(range(40)), "budget"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error(source: str, item: object, says: str) -> None:
    with pytest.raises(ExpressionFailed, match=None) as caught:
        Expression(source, ["item"]).test(item=item)
    assert says.lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    "source", ["item.a >", "itme.a > 3", "", "(" * 600 + "1" + ")" * 600, "item.a > 'x", "\ud800"]
)
def test_what_does_not_parse_is_an_error(source: str) -> None:
    with pytest.raises(ExpressionFailed):
        Expression(source, ["item"])


def test_the_place_of_a_mistake_is_told() -> None:
    with pytest.raises(ExpressionFailed) as caught:
        Expression("item.a > 3 && itme.b", ["item"])
    assert caught.value.column == 19


def test_names_in_strings_are_no_references() -> None:
    source = "steps.a.output == 'steps.b.output' && steps['c'].output && inputs.x > 1 && item.steps.d"
    assert step_names(source) == {"a", "c"}
    assert input_names(source) == {"x"}
