"""Recall: a labelled set in ten languages, plain BM25 beside it, and the index at 100,000 memories."""

import asyncio
import math
import random
import statistics
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from time import perf_counter

import pytest

from intendant.planning import recall
from intendant.planning.recall import Candidate, frequencies_of, rank, weight
from intendant.record.store import Store, memories
from intendant.text.grams import folded, grams_of, term_of, terms_of

sys.path.insert(0, str(Path(__file__).parent))
from recall_set import BM25, Question, labelled

TEXTS, QUESTIONS = labelled()
FIVE = 5


def share(found: dict[Question, bool]) -> float:
    return sum(found.values()) / len(found)


class FoldedBM25(BM25):
    """BM25 that is not put at a disadvantage: without accents, and with pairs of characters where a script has no
    spaces.
    """

    @staticmethod
    def words(text: str) -> list[str]:
        return [
            part
            for word in BM25.words(folded(text))
            for part in ([word] if word.isascii() else list(grams_of(word).elements()))
        ]


def by_bm25(kind: type[BM25] = BM25) -> dict[Question, bool]:
    index = kind(TEXTS)
    return {question: question.answer in index.best(question.text, FIVE) for question in QUESTIONS}


@cache
def by_rank() -> dict[Question, bool]:
    candidates = [Candidate(place, said) for place, said in enumerate(TEXTS)]
    frequencies = frequencies_of(TEXTS)
    return {
        question: question.answer
        in [each.id for each in rank(question.text, candidates, frequencies, len(TEXTS), limit=FIVE)]
        for question in QUESTIONS
    }


def test_the_set_is_what_it_says() -> None:
    assert (len(TEXTS), len(set(TEXTS)), len(QUESTIONS)) == (1000, 1000, 200)
    assert len({question.language for question in QUESTIONS}) == 10
    assert sum(question.kin for question in QUESTIONS) == 100


def test_recall_at_five_beside_bm25() -> None:
    """At least 0.85, and five points better than plain BM25, on the set that was written before the ranking."""
    ours, plain, fair = by_rank(), by_bm25(), by_bm25(FoldedBM25)
    languages = defaultdict(list)
    for question, hit in ours.items():
        languages[question.language].append(hit)
    kin = {question: hit for question, hit in ours.items() if question.kin}
    other = {question: hit for question, hit in ours.items() if not question.kin}
    print(  # noqa: T201  # the figures of the docs
        f"\nrecall@5: {share(ours):.3f} (kin words {share(kin):.2f}, other words {share(other):.2f}); "
        f"BM25 {share(plain):.3f}, without accents and with pairs {share(fair):.3f}; "
        f"{ {name: sum(hits) / len(hits) for name, hits in languages.items()} }"
    )
    assert share(ours) >= 0.85
    assert share(ours) >= share(plain) + 0.05
    assert share(ours) >= share(fair) + 0.05
    assert all(sum(hits) / len(hits) >= 0.8 for hits in languages.values()), languages


@pytest.mark.parametrize(
    "question",
    ["What is the capital of Australia?", "Lösche doppelte Dateien im Ordner", "Traduis ce poème, s'il te plaît"],
)
def test_what_has_nothing_to_do_with_a_question_is_not_recalled(question) -> None:
    candidates = [Candidate(place, said) for place, said in enumerate(TEXTS)]
    assert rank(question, candidates, frequencies_of(TEXTS), len(TEXTS)) == []


def test_importance_decides_between_what_fits_alike() -> None:
    candidates = [Candidate(1, "Acme pays in 30 days", 3), Candidate(2, "Acme pays in 60 days", 8)]
    frequencies = frequencies_of([each.text for each in candidates])
    assert [each.id for each in rank("When does Acme pay?", candidates, frequencies, 2)] == [2, 1]


@pytest.mark.parametrize("question", ["", "  ", "?!", "\ud800", "x" * 100_000, "\u0000", "🙂🙂"])
async def test_any_question_is_answered_by_a_list(question, url) -> None:
    store = Store(url)
    await store.do(memories.add("default", "a", [memories.New("note", "Acme pays", 5)], terms_of))
    found = await store.do(memories.candidates("default", "a", terms_of(question)[:300], weight))
    candidates = [Candidate(row.id, row.text, row.importance) for row in found.rows]
    assert rank(question, candidates, found.frequencies, found.total) == []
    store.close()


async def test_the_index_finds_what_ranking_all_of_them_finds(url) -> None:
    """The same recall from the database, among the memories of ten other agents of the same words."""
    store = Store(url)
    entries = [memories.New("note", said, 5) for said in TEXTS]
    ids = await store.do(memories.add("default", "a", entries, terms_of))
    for tenant, name in (("default", "b"), ("other", "a")):
        await store.do(memories.add(tenant, name, entries[:100], terms_of))
    hits = 0
    for question in QUESTIONS:
        found = await store.do(memories.candidates("default", "a", terms_of(question.text), weight))
        assert found.total == 1000
        assert {row.id for row in found.rows} <= set(ids), "of this agent alone"
        candidates = [Candidate(row.id, row.text, row.importance) for row in found.rows]
        ranked = rank(question.text, candidates, found.frequencies, found.total, limit=FIVE)
        hits += ids[question.answer] in [each.id for each in ranked]
    assert hits / len(QUESTIONS) >= share(by_rank()) - 0.01
    store.close()


@pytest.mark.slow
async def test_a_hundred_thousand_memories_are_searched_in_twenty_milliseconds(url) -> None:
    """The labelled memories among 99,000 about runs. No other test asserts a time: this is what was asked for."""
    words = [
        "order",
        "customer",
        "invoice",
        "delay",
        "report",
        "weekly",
        "supplier",
        "stock",
        "price",
        "contract",
        "parcel",
        "warehouse",
        "summary",
        "error",
        "retry",
        "mail",
        "table",
        "export",
        "backup",
        "server",
        "client",
        "meeting",
        "budget",
        "quarter",
        "region",
        "sales",
        "margin",
        "forecast",
        "ticket",
        "release",
        "review",
        "vendor",
        "account",
        "ledger",
        "payment",
        "refund",
        "tax",
        "audit",
        "policy",
    ]
    chance = random.Random(1)
    others = [
        f"Run {number}: {' '.join(chance.choice(words) for _ in range(10))} {chance.randrange(10**6)}."
        for number in range(99_000)
    ]
    said = [*TEXTS, *others]
    chance.shuffle(said)
    store, ids = Store(url), []
    for start in range(0, len(said), 2000):
        new = [memories.New("note", each, 5) for each in said[start : start + 2000]]
        ids += await store.do(memories.add("default", "a", new, terms_of))
        await asyncio.sleep(0)
    numbers, times, hits = dict(zip(said, ids, strict=True)), [], 0
    for question in QUESTIONS:
        began = perf_counter()
        found = await store.do(memories.candidates("default", "a", terms_of(question.text), weight))
        candidates = [Candidate(row.id, row.text, row.importance) for row in found.rows]
        ranked = rank(question.text, candidates, found.frequencies, found.total, limit=FIVE)
        times.append(perf_counter() - began)
        hits += numbers[TEXTS[question.answer]] in [each.id for each in ranked]
    store.close()
    print(  # noqa: T201  # the figures of the docs
        f"\np50 {statistics.median(times) * 1000:.1f} ms, max {max(times) * 1000:.1f} ms, recall@5 {hits / 200}"
    )
    assert statistics.median(times) <= 0.02
    assert hits / len(QUESTIONS) >= 0.85


# --- figures, worked out by hand ---


def grams(text: str) -> dict[int, int]:
    return {term_of(gram): count for gram, count in grams_of(text).items()}


def test_the_weight_of_a_part_falls_with_the_memories_that_have_it() -> None:
    assert recall.weight(1, 10) == pytest.approx(math.log(1 + 9.5 / 1.5))
    assert recall.weight(10, 10) == pytest.approx(math.log(1 + 0.5 / 10.5))
    assert recall.weight(12, 10) == pytest.approx(math.log(1 + 0.5 / 12.5)), "more than there are is no error"


def test_a_score_is_bm25_times_importance() -> None:
    texts = ["pump", "pump pump hall", "spring in the hall"]
    known = recall.frequencies_of(texts)
    assert known[term_of(next(iter(grams_of("hall"))))] == 2
    memories = [recall.Candidate(n, text, 10 - 3 * n) for n, text in enumerate(texts)]
    found = recall.rank("pump", memories, known, 3, least=0.0)
    assert [one.id for one in found] == [0, 1, 2]
    asked = {term: recall.weight(known[term], 3) for term in grams("pump")}
    lengths = [sum(grams(text).values()) for text in texts]
    for one in found[:2]:
        norm = 1.2 * (0.25 + 0.75 * lengths[one.id] / (sum(lengths) / 3))
        score = sum(
            asked[term] * grams(texts[one.id])[term] * 2.2 / (grams(texts[one.id])[term] + norm) for term in asked
        )
        assert one.score == pytest.approx(score * (1 + (5 - 3 * one.id) / 50))
    assert (found[0].overlap, found[1].overlap, found[2].overlap) == (1.0, 1.0, 0.0)


def test_what_overlaps_less_than_wanted_is_left_out() -> None:
    memories = [recall.Candidate(1, "pump"), recall.Candidate(2, "unlike")]
    known = recall.frequencies_of(["pump", "unlike"])
    (half,) = recall.rank("pump hall", [memories[0]], known, 2, least=0.0)
    whole = sum(recall.weight(1, 2) for _ in grams("pump hall"))
    shared = sum(recall.weight(1, 2) for _ in grams("pump"))
    assert half.overlap == pytest.approx(min(1.0, shared / min(whole, shared)))
    assert [one.id for one in recall.rank("pump", memories, known, 2)] == [1]
    assert recall.rank("pump", memories, known, 2, limit=0) == []
    assert recall.rank("", memories, known, 2) == recall.rank("pump", [], known, 2) == []


def test_the_newer_one_of_equal_memories_comes_first() -> None:
    memories = [recall.Candidate(n, "pump") for n in (1, 3, 2)]
    assert [one.id for one in recall.rank("pump", memories, {}, 3)] == [3, 2, 1]


def test_rankings_are_put_together_by_the_reciprocals_of_their_ranks() -> None:
    assert recall.fused([1, 2, 3], [3, 2], limit=9) == [3, 2, 1]  # 1/63 + 1/61, 2/62, 1/61
    assert recall.fused([1, 2], [4, 5], limit=3) == [4, 1, 5], "of equal ones the larger number"
    deep = list(range(101, 161))
    assert recall.fused([*deep, 7], [*deep[::-1], 7], limit=61)[-1] == 7, "twice the last is 2/121"


def test_a_place_has_length_one_or_is_none() -> None:
    assert list(recall.unit([3.0, 4.0]) or ()) == pytest.approx([0.6, 0.8])
    assert recall.unit([0.0, 0.0]) is None
    assert recall.unit([float("inf"), 1.0]) is None
    assert recall.unit([float("nan")]) is None
    assert recall.cosine([0.6, 0.8], [0.8, 0.6]) == pytest.approx(0.96)
    assert recall.cosine([1.0], [1.0, 0.0]) == 0.0
