"""Conditions at their bounds: how deep values may be, how text is composed, and what `regex.` functions give."""

import pytest

from intendant.model.errors import ExpressionFailed
from intendant.pilot import cel_regex
from intendant.pilot.conditions import MAX_DEPTH, Expression, canonical


def nested(depth: int, *, maps: bool = False) -> object:
    """A value of so many lists, or maps, within each other."""
    value: object = 1
    for _ in range(depth):
        value = {"k": value} if maps else [value]
    return value


@pytest.mark.parametrize("maps", [False, True])
def test_values_may_be_nested_so_deep_and_no_deeper(maps) -> None:
    """Many values beside each other do not count."""
    found = Expression("size(item) >= 0", ["item"])
    assert found.test(item=nested(MAX_DEPTH // 2, maps=maps))
    with pytest.raises(ExpressionFailed, match="nested too deep"):
        found.test(item=nested(MAX_DEPTH, maps=maps))
    wide = [{"n": [n]} for n in range(3 * MAX_DEPTH)]
    assert found.test(item=wide)
    assert found.test(item={str(n): [] for n in range(3 * MAX_DEPTH)})
    with pytest.raises(ExpressionFailed, match="nested too deep"):
        found.test(item=[*wide, nested(MAX_DEPTH, maps=maps)])


def test_text_is_equal_whichever_way_it_is_composed() -> None:
    composed, apart = "\u00e9", "e\u0301"
    assert Expression(f"item.{'name'} == '{composed}'", ["item"]).test(item={"name": apart})
    assert Expression(f"item.name == '{apart}'", ["item"]).test(item={"name": composed})
    assert canonical({apart: [apart, {"k": (1, apart)[1]}], "n": 1}) == {
        composed: [composed, {"k": composed}],
        "n": 1,
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (cel_regex.replaced("a1b22", r"\d+", "#"), "a#b#"),
        (cel_regex.replaced("a1b22", r"(\d)", r"<\1\0>"), "a<11>b<22><22>"),
        (cel_regex.replaced("a1", r"\d", r"\\0"), "a\\0"),
        (cel_regex.some_replaced("a1b2c3", r"\d", "#", 2), "a#b#c3"),
        (cel_regex.some_replaced("a1b2c3", r"\d", "#", 0), "a#b#c#"),
        (cel_regex.extracted("a1b22", r"[a-z]\d\d"), "b22"),
        (cel_regex.extracted("a1b22", r"[a-z](\d\d)"), "22"),
        (cel_regex.extracted("ab", r"\d"), None),
        (cel_regex.extracted("ab", r"(x)?b"), ""),
        (cel_regex.all_extracted("a1b22", r"[a-z](\d)"), ["1", "2"]),
        (cel_regex.all_extracted("a1b22", r"\d+"), ["1", "22"]),
        (cel_regex.all_extracted("ab", r"\d"), []),
        (cel_regex.grouped("a1b22", r"([a-z])(\d)(x)?"), ["a1", "a", "1", None]),
        (cel_regex.grouped("ab", r"\d"), None),
    ],
)
def test_functions_of_regular_expressions(found, expected) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("regex.replace('a1b2', r'\\d', '#')", "a#b#"),
        ("regex.replace('a1b2', r'\\d', '#', 1)", "a#b2"),
        ("regex.extract('a1b2', r'\\d')", "1"),
        ("regex.extract('ab', r'\\d') == null", True),
        ("regex.extractAll('a1b2', r'\\d')", ["1", "2"]),
        ("regex.groups('a1b2', r'(\\w)(\\d)')", ["a1", "a", "1"]),
    ],
)
def test_functions_of_regular_expressions_are_known_to_conditions(source, value) -> None:
    assert Expression(source, []).evaluate() == value
