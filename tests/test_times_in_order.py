"""Times are put in the order of their moments, whatever zone they are told in, by every handler that orders."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings, strategies as st

from intendant import OrchestrationService, Workflow
from intendant.records import misordered, moment_of, order_of
from intendant.testing import run_steps
from intendant_intent_aggregate import AggregateHandler
from intendant_intent_filter import FilterHandler
from intendant_intent_transform import TransformHandler

MOMENTS = [
    "2026-11-30T10:05:00+01:00",
    "2026-11-30T09:04:59Z",
    "2026-11-29 23:30:00-1000",
    "2026-11-30T09:05:00.5+00",
]
"""09:05:00, 09:04:59, 09:30:00 and 09:05:00.5 in UTC: no order of texts."""
IN_ORDER = [1, 0, 3, 2]


async def outcome_of(handler, value, options, intent):
    result = await run_steps([{"id": "s", "intent": intent, "input": value, "with": options}], handler)
    outcome = result.steps["s"]
    return outcome.output if outcome.failure is None else outcome.failure.message, " ".join(outcome.notes)


def rows(times):
    return [{"n": number, "at": time} for number, time in enumerate(times)]


async def test_sorted_by_moment():
    found, notes = await outcome_of(TransformHandler(), rows(MOMENTS), {"op": "sort", "by": "at"}, "transform")
    assert [row["n"] for row in found] == IN_ORDER
    found, _ = await outcome_of(TransformHandler(), rows(MOMENTS), {"op": "sort", "by": "-at"}, "transform")
    assert [row["n"] for row in found] == IN_ORDER[::-1]
    assert "as texts" not in notes


async def test_the_newest_of_each_is_the_last_moment():
    window = {"window": {"by": [], "sort_by": "-at", "count": 2}}
    found, _ = await outcome_of(FilterHandler(), rows(MOMENTS), window, "filter")
    assert {row["n"] for row in found} == {2, 3}


async def test_smallest_and_largest_moment():
    measures = {"measures": {"first": {"min": "at"}, "last": {"max": "at"}}}
    found, _ = await outcome_of(AggregateHandler(), rows(MOMENTS), measures, "aggregate")
    assert found == {"first": MOMENTS[1], "last": MOMENTS[2]}


async def test_what_was_known_at_the_time():
    quotes = [
        {"price": 1, "time": "2026-11-30T09:00:00Z"},
        {"price": 2, "time": "2026-11-30T14:35:00+05:30"},  # 09:05
        {"price": 3, "time": "2026-11-30T09:07:00Z"},
    ]
    join = {
        "with": [{"k": 1, **quote} for quote in quotes],
        "on": "k",
        "how": "asof",
        "at": {"left": "at", "right": "time"},
    }
    trades = [{"k": 1, "at": "2026-11-30T10:05:00+01:00"}, {"k": 1, "at": "2026-11-30T09:59:59+01:00"}]
    found, notes = await outcome_of(AggregateHandler(), trades, {"join": join}, "aggregate")
    assert [row["price"] for row in found] == [2, None]
    assert "UTC" not in notes
    found, notes = await outcome_of(
        AggregateHandler(), [{"k": 1, "at": "2026-11-30T09:06"}], {"join": join}, "aggregate"
    )
    assert [row["price"] for row in found] == [2]
    assert "times that say no zone were taken for UTC" in notes


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("10.12.2026", "2.11.2026"),
        ("2.11.2026", "10.12.2026"),
        ("9", "10"),
        ("10", "9"),
        ("3 May 2026", "1 June 2026"),
    ],
)
async def test_a_join_by_texts_that_do_not_sort_is_refused(left, right):
    join = {
        "with": [{"k": 1, "time": right, "v": 1}],
        "on": "k",
        "how": "asof",
        "at": {"left": "at", "right": "time"},
    }
    found, _ = await outcome_of(AggregateHandler(), [{"k": 1, "at": left}], {"join": join}, "aggregate")
    assert "does not sort as what it writes" in found
    ordered = misordered([left, right])
    assert ordered is not None
    assert sorted(ordered) == list(ordered)


async def test_days_as_people_write_them():
    """Of these the first text is the last day."""
    days = ["31.10.2026", "09.11.2026", "1. Dezember 2026"]
    measures = {"measures": {"first": {"min": "at"}, "last": {"max": "at"}}}
    found, _ = await outcome_of(AggregateHandler(), rows(days), measures, "aggregate")
    assert found == {"first": "31.10.2026", "last": "1. Dezember 2026"}
    _, notes = await outcome_of(TransformHandler(), rows(days), {"op": "sort", "by": "at"}, "transform")
    assert "use `parse_date`" in notes
    window = {"window": {"by": [], "sort_by": "-at"}}
    _, notes = await outcome_of(FilterHandler(), rows(days), window, "filter")
    assert "`parse_date`" in notes


COLUMNS = {
    "moments": MOMENTS,
    "days": ["31.10.2026", "09.11.2026", "1. Dezember 2026", "2.1.2026"],
    "days and more": ["31.10.2026", "09.11.2026", "later"],
    "numbers": ["10", "9", "100"],
    "numbers and days": ["10", "9.11.2026", "31.10.2026"],
    "mixed": ["2026-11-30", "31.10.2026", "2026-11-30T09:00:00-08:00"],
}


@pytest.mark.parametrize("name", sorted(COLUMNS))
@pytest.mark.parametrize("turn", range(4))
async def test_records_that_flow_have_the_same_extremes(name, turn, tmp_path, monkeypatch):
    """Figures are kept from batch to batch: what is left of one must not decide otherwise than the whole."""
    monkeypatch.chdir(tmp_path)
    times = COLUMNS[name][turn % len(COLUMNS[name]) :] + COLUMNS[name][: turn % len(COLUMNS[name])]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"at": time}) + "\n" for time in times * 700))
    options = {"measures": {"first": {"min": "at"}, "last": {"max": "at"}}}
    read = {"id": "r", "intent": "extract", "uses": "file.read"}
    steps = [
        {**read, "with": {"path": "t.jsonl", "records": "reference"}},
        {**read, "id": "l", "with": {"path": "t.jsonl", "records": "list"}},
        {"id": "flowing", "intent": "aggregate", "input": "{{ steps.r.output }}", "with": options},
        {"id": "held", "intent": "aggregate", "input": "{{ steps.l.output }}", "with": options},
    ]
    async with OrchestrationService(db="none") as service:
        result = await service.run(Workflow.model_validate({"name": "t", "steps": steps}))
    assert result.status == "completed", result.failures
    assert result.outputs["flowing"] == result.outputs["held"]


def test_what_is_no_time_with_a_zone_stays_a_text():
    for text in ("2026-11-30", "2026-11-30T09:00", "2026-13-30T09:00Z", "1234-an order", "0001-01-01T00:00+14:00"):
        assert moment_of(text) is None
        assert order_of(text) == (2, text)


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1), timezones=ZONES)  # noqa: DTZ001  # zones are drawn


@settings(deadline=None)
@given(st.lists(TIMES, max_size=12))
def test_the_order_of_texts_is_that_of_moments(times):
    found = sorted((time.isoformat() for time in times), key=order_of)
    assert [datetime.fromisoformat(text) for text in found] == sorted(times)
    assert all(
        moment_of(text) == datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="microseconds")
        for text in found
    )
