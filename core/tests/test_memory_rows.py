"""What is kept of memories: of several of one agent, each is changed by itself, and its index goes with it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import insert, select

from intendant.model.errors import IntendantError
from intendant.record.store import Store, database, memories, tables
from intendant.record.store.memories import New
from intendant.record.store.spend_report import apart

TERMS = {"one": (1, 2), "two": (2, 3), "three": (3, 4), "other": (5, 6), "gone": ()}


def terms_of(text: str) -> tuple[int, ...]:
    """A number for each word of a text and one that it shares with its neighbour."""
    return tuple(term for word in text.split() for term in TERMS[word])


def weigh(count: int, total: int) -> float:
    return total / count


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


@pytest.fixture
def do(url) -> Iterator[Callable[[Any], Any]]:
    store = Store(url)
    yield lambda work: asyncio.run(store.do(work))
    store.close()


@pytest.fixture
def ids(do) -> list[int]:
    """Three memories of one agent, of an agent with neighbours; the second is placed."""
    do(memories.add("m", "a", [New("note", "one", 5)], terms_of))
    made = do(
        memories.add("m", "m", [New("note", text, 5, subject=text) for text in ("one", "two", "three")], terms_of)
    )
    do(memories.add("m", "z", [New("note", "three", 5)], terms_of))
    do(
        memories.place(
            "m", "m", "space", {each: (text, text.encode()) for each, text in zip(made, TERMS, strict=False)}
        )
    )
    return made


def index(url: str) -> set[tuple[int, int]]:
    """By memory, the terms under which it is found."""
    return set(
        apart(
            url,
            lambda connection: [
                tuple(row)
                for row in connection.execute(select(tables.memory_term.c.memory_id, tables.memory_term.c.term))
            ],
        )
    )


def expected(texts: dict[int, str]) -> set[tuple[int, int]]:
    return {(each, term) for each, text in texts.items() for term in terms_of(text)}


def of(do, name: str = "m") -> list[tuple[int, str]]:
    return [(row.id, row.text) for row in do(memories.list_memories("m", name))]


def places(do, space: str = "space") -> list[tuple[int, bytes | None]]:
    return [(each.row.id, each.place) for each in do(memories.placed("m", "m", space, 9))]


def test_a_memory_that_is_edited_is_found_by_its_new_words_and_has_no_place(do, url, ids) -> None:
    one, two, three = ids
    changed = do(memories.edit("m", "m", two, {"text": "other", "importance": 9}, terms_of))
    assert (changed.id, changed.text, changed.importance, changed.kind, changed.source) == (
        two,
        "other",
        9,
        "note",
        "person",
    )
    assert of(do) == [(three, "three"), (two, "other"), (one, "one")]
    assert index(url) == expected({one - 1: "one", one: "one", two: "other", three: "three", three + 1: "three"})
    assert places(do) == [(three, b"three"), (two, None), (one, b"one")]


def test_a_memory_about_the_same_subject_takes_the_place_of_the_one_before(do, url, ids) -> None:
    one, two, three = ids
    assert do(memories.add("m", "m", [New("fact", "other", 2, "run", ["r_1"], "two")], terms_of)) == [two]
    assert do(memories.find("m", "m", two)).text == "two", "a person's word stays"
    assert do(memories.add("m", "m", [New("fact", "other", 2, "person", ["r_1"], "two")], terms_of)) == [two]
    row = do(memories.find("m", "m", two))
    assert (row.text, row.kind, row.importance, json.loads(row.evidence)) == ("other", "fact", 2, ["r_1"])
    assert index(url) == expected({one - 1: "one", one: "one", two: "other", three: "three", three + 1: "three"})
    drawn = do(memories.add("m", "m", [New("fact", "gone", 2, "run", subject="s")], terms_of))
    assert do(memories.add("m", "m", [New("fact", "one", 3, "run", subject="s")], terms_of)) == drawn
    assert do(memories.find("m", "m", drawn[0])).text == "one", "what runs said is replaced by runs too"
    assert do(memories.add("m", "z", [New("note", "one", 5, subject="two")], terms_of)) != [two]


def test_memories_that_are_forgotten_go_with_their_index_and_are_returned(do, url, ids) -> None:
    one, two, three = ids
    gone = do(memories.forget("m", "m", [two, two], terms_of))
    assert [row.id for row in gone] == [two]
    assert of(do) == [(three, "three"), (one, "one")]
    assert index(url) == expected({one - 1: "one", one: "one", three: "three", three + 1: "three"})
    assert do(memories.candidates("m", "m", [1], weigh)).total == 2
    with pytest.raises(IntendantError, match=f"the agent 'm' has no memory {two}"):
        do(memories.forget("m", "m", [one, two], terms_of))
    with pytest.raises(IntendantError, match="has no memory"):
        do(memories.find("m", "a", one))
    assert [row.id for row in do(memories.forget("m", "m", None, terms_of))] == [three, one]
    assert (of(do), len(of(do, "a")), len(of(do, "z"))) == ([], 1, 1)
    assert index(url) == expected({one - 1: "one", three + 1: "three"})
    assert do(memories.candidates("m", "m", [1], weigh)).total == 0
    assert do(memories.forget("m", "nobody", None, terms_of)) == []


def test_others_take_the_place_of_memories_in_one_transaction(do, url, ids) -> None:
    one, two, _three = ids
    rows = {row.id: row for row in do(memories.list_memories("m", "m"))}
    do(memories.replace("m", "m", [rows[one], rows[two]], [New("note", "other", 1)], terms_of))
    assert [text for _, text in of(do)] == ["other", "three"]
    assert do(memories.candidates("m", "m", [5, 3], weigh)).total == 2
    do(memories.replace("m", "m", [], [New("note", "one", 1)], terms_of))
    assert [text for _, text in of(do)] == ["one", "other", "three"]


def test_a_memory_is_placed_while_it_has_the_text_that_was_placed(do, ids) -> None:
    one, two, three = ids
    assert places(do) == [(three, b"three"), (two, b"two"), (one, b"one")]
    assert places(do, "elsewhere") == [(three, None), (two, None), (one, None)]
    do(
        memories.place(
            "m", "m", "space", {two: ("two", b"new"), three: ("threes", b"new"), one - 1: ("one", b"new")}
        )
    )
    assert places(do) == [(three, b"three"), (two, b"new"), (one, b"one")]
    do(memories.place("m", "m", "spice", {two: ("two", b"there")}))
    assert places(do) == [(three, b"three"), (two, None), (one, b"one")], "a memory is in one space"
    assert places(do, "spice") == [(three, None), (two, b"there"), (one, None)]
    assert [each.row.id for each in do(memories.placed("m", "m", "space", 2))] == [three, two], "the newest"
    do(memories.place("m", "m", "space", {}))


def test_each_use_of_a_memory_is_counted(do, ids) -> None:
    one, two, three = ids
    do(memories.mark_used("m", "m", [two]))
    do(memories.mark_used("m", "m", [two, three, one - 1]))
    found = {row.id: row for row in do(memories.list_memories("m", "m"))}
    assert [found[each].uses for each in ids] == [0, 2, 1]
    assert [found[each].used_at is None for each in ids] == [True, False, False]
    assert do(memories.list_memories("m", "a"))[0].uses == 0, "of another agent"


def test_what_was_drawn_from_a_run_goes_with_it_and_what_was_put_together_stays(do, url, ids) -> None:
    drawn = [
        New("fact", "one", 5, "run", ["r_1", "r_2"]),
        New("fact", "two", 5, "person", ["r_1"]),
        New("note", "three", 5, "run", ["r_1"]),
        New("fact", "other", 5, "run", ["r_11"]),
        New("lesson", "gone", 5, "run", ["r_1"]),
    ]
    made = do(memories.add("m", "m", drawn, terms_of))
    theirs = do(memories.add("m", "z", [New("fact", "one", 5, "run", ["r_1"])], terms_of))
    assert do(lambda connection: memories.forget_run(connection, "r_1", terms_of)) == 3
    assert [each for each, _ in of(do)] == [*sorted(made[1:4], reverse=True), *reversed(ids)]
    assert theirs[0] not in dict(of(do, "z"))
    assert {each for each, _ in index(url)} == {ids[0] - 1, *ids, ids[-1] + 1, *made[1:4]}
    assert do(memories.candidates("m", "m", [1], weigh)).total == 6


def test_memories_of_some_kinds_are_listed_newest_first(do, ids) -> None:
    (fact,) = do(memories.add("m", "m", [New("fact", "one", 5)], terms_of))
    assert [row.id for row in do(memories.list_memories("m", "m", kinds=["fact"]))] == [fact]
    assert [row.id for row in do(memories.list_memories("m", "m", kinds=["note", "fact"], limit=2))] == [
        fact,
        ids[-1],
    ]


def test_runs_that_were_told_of_a_text_are_found(do, url) -> None:
    """As its JSON stands in what they keep, and by no sign that means something to the database."""

    def run(own: str, tenant: str, agent: str, at: float, text: str | None) -> dict[str, Any]:
        row = {
            "id": own,
            "workflow": "w",
            "plan": "{}",
            "plan_version": 1,
            "inputs": "{}",
            "status": "running",
            "epoch": 1,
        }
        return {
            **row,
            "tenant": tenant,
            "agent": agent,
            "created_at": at,
            "memory": None if text is None else json.dumps([text], ensure_ascii=False),
        }

    said = 'é says "100 %"_'
    rows = [
        run("r_2", "m", "m", 2.0, f"- {said}."),
        run("r_1", "m", "m", 3.0, said),
        run("r_3", "m", "m", 4.0, 'é says "100 x"_'),
        run("r_4", "a", "m", 1.0, said),
        run("r_5", "z", "m", 1.0, said),
        run("r_6", "m", "a", 1.0, said),
        run("r_7", "m", "z", 1.0, said),
        run("r_8", "m", "m", 1.0, None),
    ]
    engine = database.connect(url)
    database.prepare(engine)
    with engine.begin() as connection:
        connection.execute(insert(tables.run), rows)
    engine.dispose()
    assert do(memories.told_of("m", "m", said)) == ["r_2", "r_1"]


def test_memories_that_share_the_most_weight_come_first_and_then_the_newest(do) -> None:
    texts = ["one", "two", "one two", "three", "one", "other"]
    made = do(memories.add("m", "m", [New("note", text, 5) for text in texts], terms_of))
    found = do(memories.candidates("m", "m", [1, 2, 3, 9], weigh))
    assert (found.total, found.frequencies) == (6, {1: 3, 2: 4, 3: 3})
    rows = [row.id for row in found.rows]
    assert set(rows) == set(made[:5])
    assert do(memories.candidates("m", "m", [], weigh)) == memories.Found(0, {}, [])
    assert do(memories.candidates("m", "nobody", [1], weigh)) == memories.Found(0, {}, [])


def test_of_many_memories_sixty_are_read_those_of_the_most_weight(do) -> None:
    first = do(memories.add("m", "m", [New("note", "one two", 5)], terms_of))
    rest = do(memories.add("m", "m", [New("note", "two", 5) for _ in range(80)], terms_of))
    found = do(memories.candidates("m", "m", [1, 2], weigh))
    assert {row.id for row in found.rows} == {*first, *rest[-59:]}
    assert found.frequencies == {1: 1, 2: 81}
