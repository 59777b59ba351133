"""Other people's data, odd and hostile, through all handlers: a step ends, or says what is wrong with the data."""

import os
import random
from typing import Any

import pytest

from intendant.testing import OnlyTier, run_steps
from intendant_intent_aggregate import AggregateHandler
from intendant_intent_conditional import ConditionalHandler
from intendant_intent_enrich import EnrichHandler
from intendant_intent_extract import ExtractHandler
from intendant_intent_filter import FilterHandler
from intendant_intent_generate import GenerateHandler
from intendant_intent_summarize import SummarizeHandler
from intendant_intent_transform import OPS, TransformHandler
from intendant_intent_validate import ValidateHandler
from intendant_provider_extractive import ExtractiveProvider

ROUNDS = int(os.environ.get("INTENDANT_SAMPLE", "12"))
NAMES = ["a", "b", "a.b", "", "caf\u00e9", "cafe\u0301", "First Name", "n", "id", "text", "name"]


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


VALUES = [None, True, 0, -1, 1.5, 10**400, -(10**30), 1e308, 5e-324, [], {}, [1, [2]], {"a": {"b": 1}}, nested(50)]
VALUES += [
    "",
    "a",
    "caf\u00e9",
    "cafe\u0301",
    "1",
    "1.250",
    "12/5/2026",
    "\0",
    "x" * 5000,
    "{a}",
    "{{ x }}",
    "<b>",
]
VALUES += ["a@b.c: hi", "\u0663", "\U0001d54f" * 50, {"a.b": 1, "": 2}, "- \n- \n", "\u202e\u2066"]


class Chance:
    """Values, records and steps by chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.choice = self._random.choice

    def name(self) -> str:
        return self.choice(NAMES)

    def value(self, depth: int = 0) -> Any:
        what = self._random.random()
        if depth > 3 or what < 0.4:
            return self.choice(VALUES)
        count = self._random.randrange(5)
        if what < 0.6:
            return [self.value(depth + 1) for _ in range(count)]
        return {self.name(): self.value(depth + 1) for _ in range(count)}

    def records(self) -> list[dict[str, Any]]:
        size = self._random.randrange
        return [{self.name(): self.value(2) for _ in range(size(6))} for _ in range(size(6))]

    def parameters(self, intent: str) -> dict[str, Any]:
        made: dict[str, Any] = self.choice(STEPS[intent])(self)
        return made


def transforming(chance: Chance) -> dict[str, Any]:
    op = chance.choice(list(OPS))
    name = chance.name
    more: dict[str, dict[str, Any]] = {
        "select": {"fields": [name(), name()]},
        "drop": {"fields": [name()]},
        "rename": {"fields": {"z": name()}},
        "set": {"fields": {"z": chance.choice(["item.a", "item.a + 1", "{'x': item}"])}, "on_error": "null"},
        "sort": {"by": [name(), f"-{name()}"]},
        "limit": {"count": 2},
        "flatten": chance.choice([{"field": name()}, {}]),
        "set_difference": {"other": [1, chance.choice([1, "a"])]},
        "map_headers": {"map": {name(): "z"}},
        "project": {"path": name()},
        "split": chance.choice([{}, {"field": name()}]),
        "parse_json": {"on_error": "null"},
        "render": {"template": "{a} {First Name}", "missing": chance.choice(["fail", "empty"])},
        "parse_date": {"field": name()},
        "days_between": {"from": name(), "to": name(), "into": "z"},
        "add_days": {"field": name(), "days": 5},
        "to_bar_chart": {"label": name(), "value": name()},
        "to_line_chart": {"x": name(), "y": chance.choice([name(), [name(), name()]]), "title": "<&"},
        "truncate_date": {"field": name(), "to": chance.choice(["hour", "week", "quarter"])},
        "to_timezone": {"field": name(), "from_timezone": chance.choice(["UTC", None])},
        "convert_unit": {"field": name(), "to": "mi", "from_unit": chance.choice(["km", None])},
        "pivot": {"rows": name(), "columns": name(), "values": name(), "combine": chance.choice(["sum", "list"])},
        "unpivot": {"keep": name()},
        "expand": {"field": name()},
        "reduce": chance.choice([{"with": "sum", "field": name()}, {"with": "merge"}, {"each": "[item]"}]),
        "partition": {"where": chance.choice(CONDITIONS)},
        "shorten": {"length": 3},
    }
    return {"op": op, **more.get(op, {})}


MEASURES = ["sum", "mean", "median", "min", "max", "count", "first", "last", "list", "count_distinct"]
KINDS = ["number", "date", "email", "url", "phone", "iban"]
CONDITIONS = ["item.a > 1", "item == 1", "has(item.a) && item.a == 'x'", "item.exists(x, x == 1)", "index > 0"]
STEPS: dict[str, list[Any]] = {
    "filter": [
        lambda c: {"where": c.choice(CONDITIONS), "on_error": c.choice(["drop", "keep", "fail"])},
        lambda c: {"where": "item.a.replace('a', item.b).replace('b', item.a) == ''", "on_error": "drop"},
        lambda c: {"contains_any": {"fields": [c.name()], "words": ["a", "caf\u00e9"]}},
        lambda c: {"unique_by": c.choice(["*", c.name()])},
        lambda c: {"window": {"by": c.name(), "sort_by": f"-{c.name()}"}},
        lambda c: {"not_in": {"records": [1, {"a": 1}], "by": c.choice([None, c.name()])}},
        lambda c: {"between": {"field": c.name(), "last_days": 2}},
        lambda c: {"similar_by": {"fields": c.name()}},
    ],
    "transform": [transforming],
    "aggregate": [
        lambda c: {"group_by": c.name(), "measures": {"m": {c.choice(MEASURES): c.name()}}, "sort_by": "-m"},
        lambda c: {"measures": {"m": {c.choice(MEASURES): c.name()}}, "on_error": "skip"},
        lambda c: {"join": {"with": [{"a": 1}, {"b": "x"}], "on": c.name(), "how": "outer", "prefix": "r_"}},
    ],
    "enrich": [
        lambda c: {"from": [{"a": 1, "x": 2}, {"b": 1}], "on": c.name(), "many": "first", "overwrite": "null"},
        lambda c: {"from": {c.name(): {"z": 1}}, "on": c.name()},
    ],
    "validate": [
        lambda c: {"schema": {"properties": {"a": {"type": "number", "minimum": 0}}}, "on_fail": "report"},
        lambda c: {"schema": {"uniqueItems": True}, "each": False, "on_fail": "report"},
        lambda c: {"rules": [{"name": "r", "rule": c.choice(CONDITIONS)}], "on_fail": "report"},
    ],
    "conditional": [lambda c: {"if": c.choice(["input == 1", "input.size() > 0", "input.a > 1"])}],
    "extract": [
        lambda c: {"fields": {"x": {"kind": c.choice(KINDS), "all": c.choice([True, False])}}},
        lambda c: {"fields": {"x": {"kind": c.choice(KINDS)}}, "from": [c.name(), "text"]},
    ],
    "generate": [
        lambda c: {"template": "{a} {First Name} {caf\u00e9}"},
        lambda c: {"template": "{input}"},
        lambda c: {"allow_extractive": True},
    ],
    "summarize": [lambda c: {"points": 3}, lambda c: {"sentences": 2}, lambda c: {}],
}


class Fast(OnlyTier):
    """The tier that the provider stands in for."""

    name = "fast"


@pytest.mark.sampled(9)
@pytest.mark.parametrize("intent", STEPS)
async def test_no_data_makes_a_handler_fail_by_accident(intent: str) -> None:
    """A step is completed, or fails with a message meant for its author."""
    chance = Chance(20261128)
    plugins = [
        *(FilterHandler(), TransformHandler(), AggregateHandler(), EnrichHandler(), ValidateHandler()),
        *(
            ConditionalHandler(),
            ExtractHandler(),
            GenerateHandler(),
            SummarizeHandler(),
            ExtractiveProvider(),
            Fast(),
        ),
    ]
    completed = 0
    for _ in range(ROUNDS):
        step = {"id": "s", "intent": intent, "input": "{{ inputs.v }}", "with": chance.parameters(intent)}
        step |= {"prompt": "Say what is in it"} if intent in ("generate", "summarize") else {}
        value = chance.choice([chance.value, chance.records, chance.records])()
        outcome = (await run_steps([step], *plugins, inputs={"v": value})).steps["s"]
        completed += outcome.failure is None
        if outcome.failure is not None:
            assert "fault of the plugin" not in outcome.failure.hint, (outcome.failure, step, str(value)[:500])
            assert len(outcome.failure.message) < 3000
    assert completed > 0, "the data is not all refused"
