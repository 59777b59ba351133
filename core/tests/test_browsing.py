"""Looking through events page by page finds each that is wanted once, the newest first, whatever the pages."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from intendant.record.store import browsing, database, runs, tables
from intendant.record.store.auditing import Wish
from intendant.record.store.browsing import search

RUNS = [
    # id, tenant, agent, workflow, began, finished
    ("r_a", "m", "m", "flow", 100.0, 120.0),
    ("r_b", "m", "m", "flow", 110.0, None),
    ("r_c", "m", "m", "flow", 110.0, 115.0),
    ("r_d", "a", "m", "flow", 105.0, 130.0),
    ("r_e", "z", "m", "flow", 106.0, 131.0),
    ("r_f", "m", "a", "flow", 107.0, 132.0),
    ("r_g", "m", "z", "flow", 108.0, 133.0),
    ("r_h", "m", "m", "deed", 109.0, 134.0),
    ("r_i", "m", "m", "work", 111.0, 135.0),
]
KINDS, LEVELS, STEPS = ("begun", "done", "said"), ("info", "warning", "error"), ("a", "b", None)


def events() -> Iterator[dict[str, Any]]:
    for number, run in enumerate(RUNS):
        for seq in range(1, 8 + number % 3):
            yield {
                "run_id": run[0],
                "seq": seq,
                "type": KINDS[(seq + number) % 3],
                "step_id": STEPS[seq % 3],
                "severity": LEVELS[(2 * seq + number) % 3],
                "at": run[4] + 3 * seq,
                "data": f'{{"n": {seq}, "of": "100 %{seq % 2}_"}}',
                "hash": f"{run[0]}{seq}",
            }


@pytest.fixture(scope="module")
def connection(tmp_path_factory) -> Iterator[Connection]:
    url = f"sqlite:///{tmp_path_factory.mktemp('browsing')}/x.db"
    engine = database.connect(url)
    database.prepare(engine)
    usual = {"plan": "{}", "plan_version": 1, "inputs": "{}", "status": "completed", "epoch": 1}
    names = ("id", "tenant", "agent", "workflow", "created_at", "finished_at")
    with engine.begin() as connection:
        connection.execute(insert(tables.run), [{**usual, **dict(zip(names, run, strict=True))} for run in RUNS])
        connection.execute(insert(tables.event), list(events()))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def wanted(wish: Wish, text: str = "") -> tuple[list[tuple[str, int]], int]:
    """What has to be found, by trying all; and how many events the runs have that are looked through."""
    same = {"id": wish.run_id, "tenant": wish.tenant, "agent": wish.agent, "workflow": wish.workflow}
    places = {"id": 0, "tenant": 1, "agent": 2, "workflow": 3}
    chosen = [run for run in RUNS if all(value in (None, run[places[name]]) for name, value in same.items())]
    chosen = [run for run in chosen if wish.until is None or run[4] < wish.until]
    chosen = [run for run in chosen if wish.since is None or run[5] is None or run[5] >= wish.since]
    found, looked_at = [], 0
    for run in sorted(chosen, key=lambda run: (run[4], run[0]), reverse=True):
        own = [event for event in events() if event["run_id"] == run[0]]
        looked_at += len(own)
        found += [
            (run[0], event["seq"])
            for event in reversed(own)
            if (not wish.kinds or event["type"] in wish.kinds)
            and (not wish.severities or event["severity"] in wish.severities)
            and wish.step in (None, event["step_id"])
            and (wish.since is None or event["at"] >= wish.since)
            and (wish.until is None or event["at"] < wish.until)
            and any(text in (event[name] or "") for name in ("data", "type", "step_id"))
        ]
    return found, looked_at


WISHES = [
    ({}, ""),
    ({"tenant": "m"}, ""),
    ({"tenant": "m", "agent": "m"}, ""),
    ({"tenant": "m", "agent": "m", "workflow": "flow"}, ""),
    ({"workflow": "flow"}, ""),
    ({"run_id": "r_f"}, ""),
    ({"run_id": "nothing"}, ""),
    ({"kinds": ("done",)}, ""),
    ({"severities": ("warning", "error")}, ""),
    ({"step": "b", "tenant": "m"}, ""),
    ({"since": 119.0}, ""),
    ({"since": 120.0}, ""),
    ({"since": 121.0, "until": 127.0}, ""),
    ({"until": 110.0}, ""),
    ({"until": 110.5, "agent": "m"}, ""),
    ({"kinds": ("said",), "severities": ("info",), "step": "a"}, ""),
    ({}, "%1_"),
    ({}, "egu"),
    ({"tenant": "m"}, "b"),
    ({"tenant": "m"}, '"n": 3'),
]


@pytest.mark.parametrize(("wish", "text"), WISHES)
def test_pages_hold_each_event_that_is_wanted_once_and_look_at_each_once(connection, wish, text) -> None:
    for limit, most in ((1, 1000), (3, 4), (50, 1), (2, 7)):
        asked = Wish(**wish, limit=limit)
        expected, all_of = wanted(asked, text)
        place, found, looked_at = None, [], 0
        for _ in range(200):
            page = search(asked, place, text, most)(connection)
            found += [(row.run_id, row.seq) for row in page.rows]
            looked_at += page.scanned
            assert len(page.rows) <= limit
            assert page.scanned <= most
            if page.place is None:
                break
            assert len(page.rows) == limit or page.scanned == most
            place = page.place
        assert (found, looked_at) == (expected, all_of)


def test_a_page_has_fifty_events_unless_another_number_is_asked_for(connection) -> None:
    page = search(Wish())(connection)
    assert (len(page.rows), page.scanned) == (50, 50)
    assert page.rows[0]._asdict() == {
        "run_id": "r_i",
        "seq": 9,
        "at": 138.0,
        "type": "said",
        "step_id": "a",
        "severity": "error",
        "agent": "m",
        "workflow": "work",
        "hash": "r_i9",
        "commits": None,
        "data": '{"n": 9, "of": "100 %1_"}',
    }


@pytest.mark.parametrize(
    ("said", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"after": 3}, [4, 5, 6, 7, 8]),
        ({"after": 3, "limit": 2}, [4, 5]),
        ({"kinds": ("begun",)}, [2, 5, 8]),
        ({"step": "a"}, [3, 6]),
        ({"after": 9}, []),
    ],
)
def test_events_of_a_run_come_in_order_after_the_one_that_is_known(connection, said, numbers) -> None:
    assert [row.seq for row in browsing.events_between("r_b", **said)(connection)] == numbers


# --- lists of runs, and what their steps took ---


def listed(**said: Any) -> list[str]:
    """The runs that are wanted, by trying all, the newest first; of the same age in any order."""
    places = {"tenant": 1, "agent": 2, "workflow": 3}
    found = [
        run for run in RUNS if all(run[places[name]] == value for name, value in said.items() if name in places)
    ]
    found = [run for run in found if run[4] >= said.get("since", 0) and run[4] < said.get("before", 999)]
    return sorted(run[0] for run in found)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"tenant": "m"},
        {"agent": "m"},
        {"workflow": "flow"},
        {"tenant": "m", "agent": "m", "workflow": "flow"},
        {"since": 107.0},
        {"before": 107.0},
        {"since": 106.0, "before": 109.0},
    ],
)
def test_runs_are_listed_by_what_they_are_and_when_they_began(connection, said) -> None:
    found = runs.list_runs(50, runs.Wanted(**said))(connection)
    assert sorted(row.id for row in found) == listed(**said)
    assert [row.created_at for row in found] == sorted((row.created_at for row in found), reverse=True)
    assert {(row.tokens, row.micro_usd) for row in found} == {(0, 0)}, "without a budget, nothing is spent"


def test_of_many_runs_the_newest_are_listed_with_what_is_spent(connection) -> None:
    with connection.begin_nested():
        connection.execute(insert(tables.budget), [{"id": "run:r_i", "spent_tokens": 7, "spent_micro": 9}])
        (first, *rest) = runs.list_runs(3)(connection)
        assert first == runs.Listed("r_i", "work", "m", "completed", 111.0, 135.0, 7, 9)
        assert (first.seconds, len(rest)) == (24.0, 2)
        connection.rollback()
    assert runs.list_runs(50, runs.Wanted(status="failed"))(connection) == []
    assert len(runs.list_runs(50, runs.Wanted(status="completed"))(connection)) == len(RUNS)
    assert next(row for row in runs.list_runs(50)(connection) if row.id == "r_b").seconds is None


def test_what_completed_steps_took_is_told_by_intent_the_latest_first(connection) -> None:
    def step(
        run: str, key: str, at: float, intent: Any, amounts: Any, status: str = "completed"
    ) -> dict[str, Any]:
        usage = dict(zip(("input_tokens", "output_tokens"), amounts, strict=False))
        outcome = json.dumps({"intent": intent, "usage": usage})
        return {
            "run_id": run,
            "key": key,
            "status": status,
            "attempt": 1,
            "epoch": 1,
            "outcome": outcome,
            "finished_at": at,
        }

    rows = [
        step("r_a", "a", 5.0, "ask", (1, 2)),
        step("r_a", "b", 7.0, "ask", (3, 4)),
        step("r_b", "a", 6.0, "tell", (5,)),
        step("r_b", "b", 4.0, "ask", (0, 0)),
        step("r_b", "c", 4.0, None, (1, 1)),
        step("r_b", "d", 4.0, "ask", (9, 9), "failed"),
        *(step(run, "a", 9.0, "ask", (100, 100)) for run in ("r_d", "r_e", "r_f", "r_g")),
    ]
    with connection.begin_nested():
        connection.execute(insert(tables.step), rows)
        assert runs.usage_history("m", "m")(connection) == {"ask": (7, 3), "tell": (5,)}
        assert runs.usage_history("m", "m", 2)(connection) == {"ask": (7,), "tell": (5,)}
        connection.rollback()
