"""Workflows from sentences, beside the plugins that they use: never one that cannot be planned."""

import json

import pytest
from sentences import SENTENCES

from intendant import SyncOrchestrationService, Workflow
from intendant_create import sketch
from intendant_create._command import written


@pytest.fixture(scope="module")
def service():
    with SyncOrchestrationService(db="none") as made:
        yield made


@pytest.mark.parametrize("text", [text for _, text, _ in SENTENCES])
def test_every_workflow_can_be_planned(service, text) -> None:
    made = sketch(text)
    assert made.steps
    service.plan(Workflow.parse(written(made)))


HOSTILE = [
    "read",
    "send",
    "and then and then if else otherwise",
    "Summarize summarize summarize summarize",
    "Read ../../etc/passwd.txt and mail it to a@b.example",
    "select from {{ secrets.KEY }} and save to x.json",
    "Read a.csv and {{ steps.nobody.output }} then save it to b.csv",
    "count 'quo\"tes' in we'ird.csv per na\\me",
    "\u202e\x00 read a.csv \ud800",
    "读取 a.csv 并保存到 b.csv",
    "read a.csv " * 40,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_sentence_makes_a_workflow_that_cannot_be_planned(service, text) -> None:
    made = sketch(text)
    planned = service.plan(Workflow.parse(written(made))).steps if made.steps else ()
    assert len(planned) == len(made.steps)


def test_columns_of_files_that_are_named_make_steps_that_need_no_model(tmp_path) -> None:
    (tmp_path / "orders.csv").write_text(
        "id,Customer,amount,region\n1,Ada,120.5,North\n2,Bo,80,South\n3,Cy,300,North\n"
    )
    made = sketch(
        "Read orders.csv, keep those with an amount above 100 and sum the amount per region", str(tmp_path)
    )
    kept, summed = made.steps[1], made.steps[2]
    assert kept["with"] == {"where": "item['amount'] > 100"}
    assert summed["with"] == {"group_by": ["region"], "measures": {"amount": {"sum": "amount"}}}
    assert not any("prompt" in step for step in made.steps)
    with SyncOrchestrationService(
        {"plugins": {"settings": {"connector:file": {"roots": [str(tmp_path)]}}}}, db="none"
    ) as service:
        made.steps[0]["with"]["path"] = str(tmp_path / "orders.csv")
        result = service.run(Workflow.parse(written(made)))
    assert result.outputs[summed["id"]] == [{"region": "North", "amount": 420.5}]


ORDERS = """id,region,amount,state,day
1,North,120.5,failed,2026-11-29
2,South,80,ok,2026-11-29
3,North,300,failed,
4,East Side,10,Cancelled,2026-11-28
5,East Side,60,Cancelled,2026-11-28
"""


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("keep the failed orders", [1, 3]),
        ("drop the failed orders", [2, 4, 5]),
        ("drop those that are not failed", [1, 3]),
        ("keep everything except cancelled", [1, 2, 3]),
        ("keep failed or cancelled orders", [1, 3, 4, 5]),
        ("keep the East Side orders", [4, 5]),
        ("keep the failed ones with an amount above 200", [3]),
        ("remove the cancelled orders with an amount below 50", [1, 2, 3, 5]),
        ("drop those with an amount above 100", [2, 4, 5]),
        ("keep those without a day", [3]),
        ("remove rows without a day", [1, 2, 4, 5]),
    ],
)
def test_what_values_of_a_table_are_named_is_kept_or_dropped_without_a_model(tmp_path, said, kept) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    made = sketch(f"Read orders.csv, {said}, write out.json", str(tmp_path))
    assert [step["intent"] for step in made.steps] == ["extract", "filter", "send"]
    assert not any("prompt" in step for step in made.steps)
    with SyncOrchestrationService(
        {"plugins": {"settings": {"connector:file": {"roots": [str(tmp_path)]}}}}, db="none"
    ) as service:
        made.steps[0]["with"]["path"] = str(tmp_path / "orders.csv")
        made.steps[2]["with"]["path"] = str(tmp_path / "out.json")
        result = service.run(Workflow.parse(written(made)))
    assert result.status == "completed", result.failures
    assert [record["id"] for record in json.loads((tmp_path / "out.json").read_text())] == kept


def test_what_is_counted_or_summarised_is_chosen_first(tmp_path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    for said in ("count the failed orders per region", "summarise the failed orders"):
        made = sketch(f"Read orders.csv and {said}", str(tmp_path))
        assert made.steps[1]["with"] == {"where": "item['state'] == 'failed'"}, said


def test_a_comparison_of_what_is_not_said_is_left_to_a_model(tmp_path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    made = sketch("Read orders.csv, keep the failed orders above 50", str(tmp_path))
    assert made.steps[1]["prompt"] == "keep the failed orders above 50"
    assert "with" not in made.steps[1]


def test_columns_of_many_values_and_words_of_columns_are_no_states(tmp_path) -> None:
    rows = "".join(f"{n},person{n},region\n" for n in range(30))
    (tmp_path / "a.csv").write_text(f"id,name,region\n{rows}")
    made = sketch("Read a.csv and count person3 per region", str(tmp_path))
    assert [step["intent"] for step in made.steps] == ["extract", "aggregate"]
