"""How events and replies are stored: what columns say is not said twice, and older rows are read as before."""

import json
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given, strategies as st

from intendant import Workflow, events
from intendant.model.results import ModelReply, Usage
from intendant.plugin import IntentHandler, IntentSpec, StepResult
from intendant.record.journal import _row, complete_event, event_document, parse_events
from intendant.record.packing import LONG, PACKED, packed, unpacked
from intendant.record.rows import EventRow, said_by_columns, whole_event
from intendant.record.store.chain import FIRST_HASH, link, verify
from intendant.spending.kept_replies import read_reply, write_reply
from intendant.testing import engine


class Copy(IntentHandler):
    """Returns its input."""

    spec = IntentSpec(name="copy", summary="Copy", examples=("Copy it",))

    def needs_model(self, step) -> bool:
        return False

    async def handle(self, request) -> StepResult:
        return StepResult(output=request.input)


STARTED = events.StepStarted(run_id="r", step_id="a", at=1.5)
WAITED = events.SignalWanted(run_id="r", step_id="a", at=2.0, event="no \ud800 way")


def rows_of(*made: events.Event, whole: tuple[bool, ...] | None = None) -> list[EventRow]:
    """A chain of events; where *whole*, as older versions have written them."""
    found: list[EventRow] = []
    for number, event in enumerate(made):
        row = _row(event)
        if whole and whole[number]:
            row = row._replace(data=json.dumps(event_document(event)))
        columns = said_by_columns(row)
        digest = link(found[-1].hash if found else FIRST_HASH, row.data, None, columns)
        found.append(EventRow(row.run_id, number + 1, *row[1:], digest))
    return found


def test_the_json_of_an_event_says_only_what_no_column_says() -> None:
    row = _row(STARTED)
    assert row == ("r", "step_started", "a", "info", 1.5, "{}")
    assert json.loads(whole_event(row)) == {
        "type": "step_started",
        "run_id": "r",
        "step_id": "a",
        "at": 1.5,
        "severity": "info",
    }


@pytest.mark.parametrize("whole", list(product([False, True], repeat=3)))
def test_events_are_read_as_they_were_whichever_version_wrote_them(whole) -> None:
    made = [STARTED, events.StepStarted(run_id="r", step_id="a", at=3.0, attempt=2), STARTED]
    rows = rows_of(*made, whole=whole)
    assert parse_events(rows) == made
    assert verify(rows) is None


CHANGES: list[dict[str, Any]] = [
    {"run_id": "other"},
    {"type": "step_executed"},
    {"step_id": "b"},
    {"step_id": None},
    {"severity": "warning"},
    {"at": 2.5},
    {"at": b"1.5"},
    {"at": "1.5"},
    {"at": None},
    {"data": '{"attempt":3}'},
    {"data": "{"},
    {"data": b"{}"},
    {"data": None},
    {"commits": '["r","step_started","a","info",1.5]'},
]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_of_any_column_is_found(change, whole) -> None:
    rows = rows_of(STARTED, STARTED, whole=(whole, False))
    rows[0] = rows[0]._replace(**change)
    assert verify(rows) == 1


def test_what_columns_say_cannot_be_passed_off_as_commitments_or_as_the_event() -> None:
    """All lines that are hashed, shifted by one column: the same text under another meaning."""
    (row,) = rows_of(STARTED)
    columns = said_by_columns(row)
    assert verify([row._replace(commits=columns)]) == 1
    assert verify([row._replace(data=f"{columns}\n{row.data}")]) == 1


def test_time_in_whole_seconds_is_hashed_as_the_database_returns_it() -> None:
    row = _row(STARTED)
    assert said_by_columns(row._replace(at=7)) == said_by_columns(row._replace(at=7.0))


def test_hosts_get_events_with_all_their_fields_whatever_is_stored() -> None:
    usage = Usage(input_tokens=3, calls=1)
    settled = events.TokensSettled(
        run_id="r", step_id="a", at=1.5, call="c", provider="p", model="m", usage=usage, outcome="answered"
    )
    (row,) = rows_of(settled)
    assert json.loads(complete_event(row)) == settled.model_dump(mode="json")
    newer = row._replace(data=row.data.replace("{", '{"new":1,', 1))
    assert json.loads(complete_event(newer)) == {"new": 1, **settled.model_dump(mode="json")}
    for harmed in (row._replace(type="unheard"), row._replace(data="{")):
        assert complete_event(harmed) == whole_event(harmed)


async def test_operations_give_complete_events() -> None:
    async with engine(Copy()) as service:
        done = await service.run(Workflow.parse("name: t\nsteps: [{id: a, intent: copy, input: 1}]"))
        found = await service.operations.events(done.run_id)
        audited, page = await service.operations.audit(), await service.operations.search()
    for rows in (found, audited, page.rows):
        for row in rows:
            made = events.read_event(row.data)
            assert set(json.loads(row.data)) >= set(event_document(made))


def test_a_lone_surrogate_costs_no_event() -> None:
    (read,) = parse_events(rows_of(WAITED))
    assert isinstance(read, events.SignalWanted)
    assert read.event == "no ? way"


def test_defaults_of_events_are_part_of_the_journal() -> None:
    """Fields at their default are not written: another default would change what older journals say. Give a new
    meaning a new field.
    """
    kinds = get_args(get_args(events.AnyEvent)[0])
    assert len(kinds) > 40
    for kind in kinds:
        name = kind.model_fields["type"].default
        for field, info in kind.model_fields.items():
            if field in events.Event.model_fields or info.is_required():
                continue
            default = info.get_default(call_default_factory=True)
            said = f"{name}.{field}"
            empty = default is None or (default in (0, False, "", 0.0) or default in ((), {}, Usage()))
            assert NOT_EMPTY.get(said, "empty") == ("empty" if empty else default), said


NOT_EMPTY: dict[str, Any] = {
    "route_decided.agree": 2,
    "step_started.attempt": 1,
    "tokens_reserved.bound": "likely",
    "tokens_settled.produced_by": "model",
    "step_executed.produced_by": "deterministic",
    "approval_requested.need": 1,
    "approval_requested.otherwise": "deny",
}
"""Defaults that are neither none, zero nor empty."""

TEXTS = st.one_of(st.text(max_size=50), st.text(min_size=1, max_size=9).map(lambda text: text * 700))


@given(TEXTS, st.integers(0, 9), st.sampled_from([None, {"packed": "zlib:x"}, ["packed"]]))
def test_a_reply_is_read_as_it_was_written(text, cached, data) -> None:
    usage = Usage(input_tokens=5, cached_tokens=cached, calls=1)
    reply = ModelReply(text=text, usage=usage, model="m", provider="p", data=data)
    stored = write_reply(reply)
    assert read_reply(stored) == reply
    assert read_reply(reply.model_dump_json()) == reply, "as older versions wrote it"
    assert json.loads(stored)["usage"].get("cached_tokens", 0) == cached, "reports read it in the database"
    assert len(stored) <= len(reply.model_dump_json())


@given(TEXTS)
def test_a_text_is_unpacked_as_it_was(text) -> None:
    said = json.dumps(text)
    assert unpacked(packed(said)) == said
    assert packed(said) == said or len(packed(said)) < len(said)


def test_a_long_text_takes_less() -> None:
    assert len(packed(json.dumps("the same again, " * LONG))) < LONG / 4


@pytest.mark.parametrize("harmed", ["", "!", "AAAA", "eJwDAAAAAAE"])
def test_a_compressed_text_that_was_changed_is_named(harmed) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpacked(PACKED + harmed)
