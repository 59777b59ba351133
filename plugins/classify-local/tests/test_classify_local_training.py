"""The material the weights are learned from: made of names the same way each time, each step once."""

import hashlib
import importlib
import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

TRAINING = Path(__file__).parents[1] / "training"
TEXTS = (
    *("ddl", "asked", "written", "shells", "expressions", "requests"),
    *("bubbles", "questions", "literals", "elsewhere", "routed", "failing"),
)
TABLES = ("types", "makers", "builders", "functions", "apps", "suites")
WORLD = ("world", "exports", "calls", *TEXTS)
LEARNED_FROM = "7c3bb6867c84bfdad1cda24c25bf9eaa69a40880de0a8202b90252e08131f2e6"
INTENTS = {
    "none": 6252,
    "send": 5286,
    "transform": 4848,
    "extract": 4179,
    "validate": 1868,
    "generate": 1626,
    "aggregate": 1556,
    "conditional": 1373,
    "enrich": 1526,
    "filter": 1368,
    "summarize": 475,
}


@pytest.fixture(scope="module")
def modules():
    """The modules beside learn.py, which find one another only as scripts do."""
    names = ("material", "machinery", "operations", "wording")
    sys.path.insert(0, str(TRAINING))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(TRAINING))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def rows(modules):
    return modules["material"].material()


@pytest.fixture
def read(modules, tmp_path):
    """Reads lines as `steps.jsonl` is read."""

    def reader(*lines):
        path = tmp_path / "steps.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        return modules["material"].material(path)

    return reader


def bare(row):
    return json.dumps({key: value for key, value in row["step"].items() if key != "id"}, sort_keys=True)


def names_of(modules, table):
    lines = modules["wording"].lines(modules["machinery"].tables()[table]["names"])
    return [(head, name) for head, names in lines for name in names]


def test_the_rows_are_those_the_weights_were_learned_from(rows):
    """After a change of the material: learn anew, then put the new digest and counts here."""
    text = "\n".join(json.dumps(row, sort_keys=True) for row in rows)
    assert hashlib.sha256(text.encode()).hexdigest() == LEARNED_FROM


def test_each_intent_has_its_rows(rows):
    assert Counter(row["gold"] for row in rows) == INTENTS


def test_every_row_is_complete_and_numbered_by_its_place(rows):
    complete = {"row", "platform", "gold", "alt", "difficulty", "workflow", "step"}
    assert all(complete <= set(row) <= complete | {"weight"} for row in rows)
    assert [row["row"] for row in rows] == [f"T{place:04}" for place in range(len(rows))]
    assert all(row["step"]["id"] and row["gold"] in INTENTS and row["alt"] in {*INTENTS, None} for row in rows)


def test_no_step_made_of_names_stands_there_twice(modules, rows):
    made = {bare(row) for table in TABLES for row in modules["machinery"].machinery(table)}
    count = Counter(bare(row) for row in rows if row["step"]["id"].startswith("v"))
    assert made <= set(count)
    assert set(count.values()) == {1}


@pytest.mark.parametrize("table", TABLES + WORLD)
def test_a_table_gives_the_same_rows_whatever_else_draws(modules, table):
    before = modules["machinery"].machinery(table)
    random.seed(1)
    assert modules["machinery"].machinery(table) == before


def test_what_is_done_to_a_row_does_not_reach_the_next_reading(modules):
    before = json.dumps(modules["machinery"].machinery("apps"))
    for row in modules["machinery"].machinery("apps"):
        row["step"].get("params", {}).clear()
    assert json.dumps(modules["machinery"].machinery("apps")) == before


def test_each_type_comes_in_three_shapes_with_its_intent(modules):
    names = names_of(modules, "types")
    rows = modules["machinery"].machinery("types")
    assert [(row["gold"], row["step"]["type"]) for row in rows[::3]] == names
    assert Counter(row["gold"] for row in rows) == Counter(gold for gold, _ in names for _ in range(3))
    assert all(name in row["step"]["type"] for row, (_, name) in zip(rows[1::3], names, strict=True))


@pytest.mark.parametrize("table", ["makers", "builders", "suites"])
def test_each_type_of_a_maker_comes_twice_and_contradicted_ones_under_three_names(modules, table):
    names = names_of(modules, table)
    more = modules["machinery"].tables()[table].get("contradicted", {})
    wanted = Counter(head.split()[1] for head, _ in names for _ in range(2))
    wanted.update({gold: 3 * len(types) for gold, types in more.items()})
    assert Counter(row["gold"] for row in modules["machinery"].machinery(table)) == wanted


@pytest.mark.parametrize("table", TEXTS)
def test_each_text_comes_in_four_carriers_and_whole(modules, table):
    names = modules["machinery"].tables()[table]["names"]
    rows = modules["machinery"].machinery(table)
    assert [row["gold"] for row in rows] == [gold for gold, _, _ in names for _ in range(4)]
    for place, (_, _, text) in enumerate(names):
        wanted = text.split(" ", 1) if table == "requests" else [text]
        for row in rows[4 * place : 4 * place + 4]:
            assert all(json.dumps(part)[1:-1] in json.dumps(row["step"]) for part in wanted)


def test_each_function_comes_in_four_carriers(modules):
    names = names_of(modules, "functions")
    rows = modules["machinery"].machinery("functions")
    assert Counter(row["gold"] for row in rows) == Counter(gold for gold, _ in names for _ in range(4))
    for place, (_, name) in enumerate(names):
        four = rows[4 * place : 4 * place + 4]
        assert len({json.dumps({**row["step"], "name": ""}) for row in four}) == 4
        plain = name.replace(":", "").replace("_", "")
        assert {row["step"]["name"].lower().translate({32: "", 45: "", 95: ""}) for row in four} == {plain}


def test_each_operation_of_an_app_comes_in_each_step_of_its_family(modules):
    wanted = Counter()
    for family in modules["machinery"].tables()["apps"]["families"]:
        for gold, entries in modules["wording"].lines(family["names"]):
            wanted[gold] += sum(1 + entry.count(",") for entry in entries) * len(family["steps"])
    rows = modules["machinery"].machinery("apps")
    assert Counter(row["gold"] for row in rows) == wanted
    assert not any("<" in json.dumps(row["step"]) for row in rows)


def test_a_head_holds_until_the_next_and_a_row_may_say_otherwise(read):
    head = {"numbered": "a", "platform": "p", "difficulty": "easy", "weight": 0.5}
    rows = read(
        head,
        {"gold": "send", "step": {"name": "x"}},
        {"gold": "filter", "alt": "send", "weight": 2, "step": {"name": "y"}},
        {"platform": "q", "difficulty": "hard"},
        {"gold": "none", "workflow": "w", "step": {"name": "z", "id": "k"}},
    )
    first, second, third = rows
    assert first == {
        "row": "T0000",
        "platform": "p",
        "gold": "send",
        "alt": None,
        "difficulty": "easy",
        "weight": 0.5,
        "workflow": "p-0",
        "step": {"id": "a0", "name": "x"},
    }
    assert (second["alt"], second["weight"], second["step"]["id"]) == ("send", 2, "a1")
    assert (third["platform"], third["workflow"], third["step"]["id"]) == ("q", "w", "k")
    assert "weight" not in third


def test_rows_of_a_family_take_turns_and_go_on_from_a_platform_that_is_named(read):
    rows = [{"gold": "send", "step": {"name": str(place)}} for place in range(8)]
    rows[5]["platform"] = "f0"
    head = {"numbered": "a", "family": "f", "of": 3, "each": 2, "difficulty": "easy"}
    found = read(head, *rows)
    assert [row["platform"] for row in found] == ["f0", "f0", "f1", "f1", "f2", "f0", "f0", "f1"]
    assert [row["workflow"] for row in found][3:6] == ["f1-0", "f2-1", "f0-1"]
    assert not {"family", "of", "each"} & set(found[0])


def test_rows_with_ids_of_their_own_are_workflows_of_their_own(read):
    head = {"numbered": "a", "platform": "p", "difficulty": "easy", "workflows": "cat"}
    found = read(head, {"gold": "send", "step": {"id": "c7"}}, {"gold": "send", "step": {"name": "x"}})
    assert [row["workflow"] for row in found] == ["cat-7", "p-0"]


def test_a_table_leaves_out_what_stands_there_already_since_the_count_began(modules, read):
    """And the numbers have no gap."""
    types = modules["machinery"].machinery("types")
    there = {"gold": "none", "step": types[1]["step"]}
    head = {"numbered": "v", "platform": "p", "difficulty": "easy"}
    found = read(head, there, {"machinery": "types"})
    assert [bare(row) for row in found] == [bare(types[1]), bare(types[0]), *(bare(row) for row in types[2:])]
    assert [row["step"]["id"] for row in found] == [f"v{place}" for place in range(len(types))]
    assert len(read(head, there, {"numbered": "w"}, {"machinery": "types"})) == len(types) + 1


def test_indented_lines_go_on_and_a_tilde_is_a_space(modules):
    lines = modules["wording"].lines("\na send | x y\n    z~1\nb none | q\n")
    assert list(lines) == [("a send", ["x", "y", "z 1"]), ("b none", ["q"])]


@pytest.mark.parametrize(
    ("how", "name", "wanted"),
    [
        ("spaced", "HTTPGetItem", "HTTP Get Item"),
        ("parted", "getItem_by-id", "get Item by id"),
        ("snake", "ListS3Objects", "list_s3_objects"),
    ],
)
def test_names_are_parted_into_words(modules, how, name, wanted):
    assert getattr(modules["wording"], how)(name) == wanted


def test_a_name_is_written_in_each_style(modules):
    assert modules["wording"].written("read_the_file") == {
        "snake": "read_the_file",
        "title": "Read the file",
        "camel": "readTheFile",
        "kebab": "read-the-file",
        "pascal": "ReadTheFile",
    }
