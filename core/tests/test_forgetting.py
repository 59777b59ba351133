"""Which memories of runs stay, which become one, and which are let go: at each of the bounds."""

import json
from typing import Any

import pytest

from intendant.planning.forgetting import due
from intendant.record.rows import MemoryRow

DAY = 86_400
NOW = 1_000 * float(DAY)


def memory(number: int, **said: Any) -> MemoryRow:
    text = f"2026-10-{number % 28 + 1:02} 'w': completed, 5 tokens, 1 s."
    usual = {
        "id": number, "kind": "run", "text": text, "importance": 5, "evidence": "[]", "source": "run",
        "subject": f"r_{number}", "created_at": NOW,
    }  # fmt: skip
    return MemoryRow(**{**usual, **said})


def gone(*rows: MemoryRow, keep: int = 0, days: float = 10) -> list[int]:
    return [row.id for row in due(rows, NOW, keep=keep, days=days).gone]


@pytest.mark.parametrize(
    ("said", "goes"),
    [
        ({}, False),
        ({"created_at": NOW - 10 * DAY}, False),
        ({"created_at": NOW - 10 * DAY - 1}, True),
        ({"created_at": NOW - 99 * DAY, "used_at": NOW - 10 * DAY}, False),
        ({"created_at": NOW - 99 * DAY, "used_at": NOW - 10 * DAY - 1}, True),
        ({"created_at": NOW - 99 * DAY, "importance": 8}, False),
        ({"created_at": NOW - 99 * DAY, "importance": 7}, True),
        ({"created_at": NOW - 99 * DAY, "source": "person"}, False),
        ({"created_at": NOW - 99 * DAY, "kind": "note"}, True),
    ],
)
def test_what_nobody_was_told_of_for_long_is_let_go(said, goes) -> None:
    """Below importance 8, and drawn from runs alone."""
    found = due([memory(1, **said)], NOW, keep=9, days=10)
    assert ([row.id for row in found.gone], found.new) == ([1] if goes else [], [])


def test_beyond_those_that_are_kept_summaries_become_one() -> None:
    rows = [memory(number) for number in range(9, 0, -1)]
    assert gone(*rows, keep=9) == []
    assert gone(*rows, keep=7) == [2, 1]
    rows[-1] = memory(1, importance=8)
    assert gone(*rows, keep=7) == [2], "important ones stay"
    rows[-2] = memory(2, text="a note of another form")
    assert gone(*rows, keep=7) == []
    notes = [memory(20, kind="note"), *rows]
    assert gone(*notes, keep=9) == [], "notes are no summaries"


def test_what_is_put_together_says_how_many_runs_a_month_had_and_how_they_ended() -> None:
    texts = [
        "2026-11-02 'w': completed, 1 s.",
        "2026-11-01 'w': failed, 1 s.",
        "2026-10-09 'w': completed, 1 s.",
        "2026-10-08 'v': refused, 1 s.",
        "2026-10-07 'w': overrun, 1 s.",
        "2026-10-06 'w': completed, 1 s.",
    ]
    rows = [memory(6 - n, text=text, importance=3 + n % 4) for n, text in enumerate(texts)]
    found = due(rows, NOW, keep=0, days=10)
    assert [row.id for row in found.gone] == [6, 5, 4, 3, 2, 1]
    assert [(each.subject, each.text, each.importance, each.evidence) for each in found.new] == [
        ("digest:w/2026-11", "2026-11 'w': 2 earlier runs: 1 completed, 1 not.", 4, ("r_5", "r_6")),
        ("digest:w/2026-10", "2026-10 'w': 3 earlier runs: 2 completed, 1 not.", 5, ("r_1", "r_2", "r_4")),
        ("digest:v/2026-10", "2026-10 'v': 1 earlier runs: 0 completed, 1 not.", 6, ("r_3",)),
    ]
    assert {each.kind for each in found.new} == {"note"}


def test_what_was_put_together_before_is_counted_in() -> None:
    before = memory(
        90, kind="note", subject="digest:w/2026-10", text="2026-10 'w': 9 earlier runs: 7 completed, 2 not.",
        importance=7, evidence=json.dumps([f"old_{n}" for n in range(500)]),
    )  # fmt: skip
    (found,) = due([before, memory(2), memory(1)], NOW, keep=0, days=10).new
    assert found.text == "2026-10 'w': 11 earlier runs: 9 completed, 2 not."
    assert found.importance == 7
    assert found.evidence == (*(f"old_{n}" for n in range(2, 500)), "r_1", "r_2"), "the newest five hundred"
    (fresh,) = due([before._replace(created_at=0.0), memory(1)], NOW, keep=0, days=10).new
    assert fresh.text == "2026-10 'w': 1 earlier runs: 1 completed, 0 not.", "what is let go is not counted"
    (other,) = due([before._replace(subject="other"), memory(1)], NOW, keep=0, days=10).new
    assert other.text == "2026-10 'w': 1 earlier runs: 1 completed, 0 not."
