"""Schemas are checked without leaving them, and a check ends, however much a schema says."""

import asyncio
import json

import pytest

from intendant.pilot.sandbox import Bounds, bounded
from intendant.pilot.schemas import _rules
from intendant.plugin import Schema, StepError


def doubling(levels: int, last: object = True) -> dict:
    """A schema whose rules double with each level."""
    refs = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**refs, f"a{levels}": last}, "$ref": "#/$defs/a0"}


def nested(levels: int, last: object = 1) -> object:
    value: object = last
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("schema", "value", "fault"),
    [
        ({"type": "string"}, "x", None),
        ({"type": "string"}, 1, 'value: 1 is not of type "string"'),
        ({"items": {"required": ["a"]}}, [{}, {"a": 1}], '[0]: "a" is a required property'),
        ({"properties": {"a": {"items": {"type": "null"}}}}, {"a": [1]}, 'a[0]: 1 is not of type "null"'),
        ({"properties": {"next": {"$ref": "#"}, "v": {"type": "null"}}}, {"next": {"v": 1}}, "next.v: 1 is"),
        ({"$defs": {"a b/c": {"type": "null"}}, "$ref": "#/$defs/a%20b~1c"}, 1, "value: 1 is"),
        ({"$defs": {"a": {"$anchor": "x", "type": "null"}}, "$ref": "#x"}, 1, "value: 1 is"),
        (doubling(4, {"type": "null"}), 1, "value: 1 is"),
        (doubling(4, {"type": "null"}), None, None),
    ],
)
async def test_faults_have_their_places(schema: dict, value: object, fault: str | None) -> None:
    for found in (Schema(schema).errors(value, 1), await Schema(schema).errors_async(value, 1)):
        assert [item.startswith(fault or "") for item in found] == [True] * (fault is not None)
    assert Schema(schema).accepts(value) is (fault is None)


@pytest.mark.parametrize("levels", [30, 60, 200])
async def test_a_check_that_takes_too_long_is_stopped(levels: int) -> None:
    schema = Schema(doubling(levels))
    with bounded(Bounds(seconds=0.5)):
        for check in (schema.errors, schema.accepts):
            with pytest.raises(StepError, match=r"longer than 0\.5 s") as caught:
                check(1)
            assert "run.compute_seconds" in caught.value.hint
        with pytest.raises(StepError, match="longer than"):
            await schema.errors_async(1)


async def test_a_check_dies_with_its_step() -> None:
    with bounded(Bounds(seconds=3600)):
        task = asyncio.create_task(Schema(doubling(40)).errors_async(1))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_of_very_many_faults_the_first_is_named() -> None:
    """The library collects all of them before it gives one away."""
    with bounded(Bounds(seconds=60, megabytes=300)):
        for levels in (16, 22):
            assert Schema(doubling(levels, False)).errors(1) == ["value: False schema does not allow 1"]
    many = [{"b": 1}] * 200_000
    assert Schema({"items": {"required": ["a"]}}).errors(many) == ['[0]: "a" is a required property']


def test_a_schema_within_itself() -> None:
    twice = {"$ref": "#/$defs/a"}
    tree = {"$defs": {"a": {"items": {"allOf": [twice, twice]}}}, **twice}
    with bounded(Bounds(seconds=60)):
        assert Schema(tree).accepts(nested(60))


@pytest.mark.parametrize(
    ("schema", "number", "again"),
    [
        ({"type": "string"}, 2, 0),
        (doubling(3), 8, 0),
        ({"properties": {"next": {"$ref": "#"}}}, 3, 1),
        ({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}] * 2}, "b": {"items": {"$ref": "#/$defs/a"}}}}, 3, 2),
    ],
)
def test_rules_are_counted_through_references(schema: dict, number: int, again: int) -> None:
    found = _rules(json.dumps(schema))
    assert found.number >= number
    assert found.again >= again


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "strnig"}, "this is not a usable JSON Schema"),
        ({"$ref": "http://example.org/x"}, "outside the schema"),
        ({"$ref": "file:///etc/passwd"}, "outside the schema"),
        ({"$ref": "#/nowhere"}, "does not exist"),
        ({"minimum": 10**5000}, "too many digits"),
        ({"allOf": nested(900, {})}, "nested too deep"),
        ({"pattern": "("}, "usable"),
    ],
)
def test_what_is_no_schema_says_why(schema: dict, says: str) -> None:
    with pytest.raises(StepError, match=says) as caught:
        Schema(schema)
    assert len(str(caught.value)) < 1000


def test_messages_are_short() -> None:
    (fault,) = Schema({"type": "string"}).errors([["x" * 100] * 1000])
    assert len(fault) < 400


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(?=(a+)+$)a", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"^(a*)*\1b"])
def test_a_pattern_takes_no_exponential_time(pattern: str) -> None:
    assert Schema({"pattern": pattern}).accepts("a" * 60 + "!") in (True, False)
