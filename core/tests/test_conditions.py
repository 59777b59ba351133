"""Conditions work on typed values; what cannot be evaluated is an error, never true or false by accident."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from intendant.pilot.conditions import INLINE, _Cost, computes_names, input_names, step_names
from intendant.pilot.sandbox import Bounds, bounded
from intendant.plugin import Expression, ExpressionFailed, StepError


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
    ("source", "item", "value"),
    [
        (r"regex.replace(item, '(\\d+) EUR', '\\1 euro')", "7 EUR and 12 EUR", "7 euro and 12 euro"),
        (r"regex.replace(item, '\\d', '#', 2)", "1 2 3", "# # 3"),
        (r"regex.replace(item, '[ab]', '<\\0>')", "abc", "<a><b>c"),
        (r"regex.extract(item, 'No\\. (\\d+)')", "Invoice No. 2026117", "2026117"),
        ("regex.extract(item, 'b+')", "abba", "bb"),
        ("regex.extract(item, 'z')", "abba", None),
        (r"regex.extractAll(item, '#(\\w+)')", "#red and #blue", ["red", "blue"]),
        ("regex.groups(item, '(a)(x)?b')", "cab", ["ab", "a", None]),
        ("regex.groups(item, '(?i)Z') == null", "cab", True),
    ],
)
def test_regular_expressions_look_into_text(source: str, item: str, value: object) -> None:
    assert Expression(source, ["item"]).evaluate(item=item) == value


def test_a_regular_expression_that_is_wrong_is_told() -> None:
    with pytest.raises(ExpressionFailed, match="unterminated subpattern"):
        Expression("regex.extract(item, '(')", ["item"]).evaluate(item="a")


def test_a_regular_expression_that_takes_for_ever_is_stopped() -> None:
    slow = Expression("regex.extract(item, '(a+)+$')", ["item"])
    with bounded(Bounds(seconds=0.3)), pytest.raises(StepError, match="took longer"):
        slow.evaluate(item="a" * 40 + "b")


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


# --- composed and decomposed text --------------------------------------------------------------------------------

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize("written", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("there", [COMPOSED, DECOMPOSED])
def test_canonically_equal_text_is_equal(written: str, there: str) -> None:
    """In values, names and the condition alike; systems differ in how they compose letters."""
    assert Expression(f"item.name == '{written}'", ["item"]).test(item={"name": there})
    assert Expression(f"item['{written}'] == 1", ["item"]).test(item={there: 1})
    assert Expression("item.a == item.b", ["item"]).test(item={"a": written, "b": there})
    assert Expression(f"'{written}' in item.tags", ["item"]).test(item={"tags": [there]})


def test_a_name_that_cel_cannot_write_says_how() -> None:
    with pytest.raises(ExpressionFailed) as caught:
        Expression("item.Größe > 1", ["item"])
    assert "item['Größe']" in caught.value.hint
    assert Expression("item['Größe'] > 1", ["item"]).test(item={"Größe": 2})


# --- bounds ------------------------------------------------------------------------------------------------------

LONG = "a" * 1500
SLOW = "item.l.all(x, item.s.replace('a', item.s).size() > 0)"


@pytest.mark.parametrize(
    ("source", "item"),
    [
        ("item.replace('a', item).replace('a', item).replace('a', item).size() > 0", "a" * 1000),
        ("item.replace('', item).replace('', item).replace('', item).size() > 0", "a" * 1000),
        ("item.l.map(x, item.l.join(item.s)).size() > 0", {"l": list("a" * 3000), "s": LONG * 100}),
        (SLOW, {"l": list(range(5000)), "s": LONG * 4}),
        ("item . replace ('a', item).replace('a', item).replace('a', item).size() > 0", "a" * 1000),
    ],
)
def test_what_takes_too_long_or_too_much_memory_is_stopped(source: str, item: object) -> None:
    """In a process of its own, and the error names the setting; neither is a failure that `on_error` lets pass."""
    with bounded(Bounds(seconds=1, megabytes=200)), pytest.raises(StepError) as caught:
        Expression(source, ["item"]).test(item=item)
    assert not isinstance(caught.value, ExpressionFailed)
    assert "run.compute_" in caught.value.hint


async def test_a_computation_dies_with_what_waits_for_it() -> None:
    item = {"l": list(range(5000)), "s": LONG * 10}
    with bounded(Bounds(seconds=3600, megabytes=1000)):
        task = asyncio.create_task(Expression(SLOW, ["item"]).test_async(item=item))
        for _ in range(20):  # the loop goes on meanwhile
            await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    ("source", "item", "value"),
    [
        ("item.l.map(x, x * 2).size()", {"l": list(range(9000))}, 9000),
        ("item.s.replace('a', item.s).size()", {"s": "a" * 3000}, 9_000_000),
        ("item.l.filter(x, x == 'é')", {"l": ["é"] * 100}, ["é"] * 100),
        ("{'n': item.l.size(), 'm': item.l[0]}", {"l": [1]}, {"n": 1, "m": 1}),
        (
            "item",
            {"time": "x", "map": {"seconds": [None, 1.5, True]}},
            {"time": "x", "map": {"seconds": [None, 1.5, True]}},
        ),
        (
            "[timestamp('2026-01-02T03:04:05Z'), duration('90s')]",
            1,
            [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), timedelta(seconds=90)],
        ),
        ("b'x'", 1, b"x"),
    ],
)
def test_values_are_the_same_wherever_they_are_computed(source, item, value, monkeypatch) -> None:
    for most in (1 << 60, -1):
        monkeypatch.setattr("intendant.pilot.conditions.INLINE", most)
        assert Expression(source, ["item"]).evaluate(item=item) == value
        with pytest.raises(ExpressionFailed, match="cannot be evaluated"):
            Expression("item.nothing > 1", ["item"]).evaluate(item={})


@pytest.mark.parametrize(
    ("source", "size", "inline"),
    [
        ("item.total > 100 && item.name.contains('x')", 10**9, True),
        ("item.name.replace('a', 'bb').replace('c', '') == ''", 100_000, True),
        ("item.name.replace('a', 'bb', 2) == ''", 100_000, True),
        ("item.tags.exists(t, t == 'x')", 1000, True),
        ("item.tags.exists(t, t == 'x')", 100_000, False),
        ("item.name.replace('a', item.name) == ''", 1000, True),
        ("item.name.replace('a', item.name) == ''", 100_000, False),
        (r"item.name.replace('a', r'\') == ''", 100_000, False),
        ("item.name.replace('a', '''b''' + item.name) == ''", 100_000, False),
        ("item.name.replace('a', 'b' + item.name) == ''", 100_000, False),
        ("item.name.replace(// it's 'a', 'b')\n 'a', item.name) == ''", 100_000, False),
        ("item.tags.join(item.name) == ''", 100_000, False),
        ("'%s'.format([item.name]) == ''", 1000, True),
        ("item.name.matches(item.pattern)", 100_000, False),
        ("item.name.matches('^a+$')", 1_000_000, True),
    ],
)
def test_what_is_known_to_end_soon_stays_in_this_process(source: str, size: int, inline: bool) -> None:
    assert (_Cost(source).of(size) <= INLINE) is inline


def test_values_that_no_evaluation_can_hold_are_errors() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    for value, says in (
        (deep, "nested too deep"),
        (10**30, "64 bits"),
        (10**5000, "64 bits"),
        ("half \ud83d", "cannot be evaluated"),
        ({"a": object()}, "is not JSON"),
    ):
        with pytest.raises(ExpressionFailed, match=says) as caught:
            Expression("item == 1", ["item"]).test(item=value)
        assert len(str(caught.value)) < 1000


def test_errors_are_short() -> None:
    for source in ("item == '" + "x" * 50_000, "item." + "a" * 50_000 + " == 1", "(" * 5000):
        with pytest.raises(ExpressionFailed) as caught:
            Expression(source, ["item"]).test(item={})
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("unit", ['\\"', '"', "steps", "steps.", "steps['", "'\"", "r'", " "])
def test_names_are_found_in_linear_time(unit: str) -> None:
    text = unit * (300_000 // len(unit))
    assert isinstance(step_names(text), set)
    assert isinstance(input_names(text), set)
    assert computes_names(text) in (True, False)
