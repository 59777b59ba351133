"""Workflows from sentences, beside the plugins that they use: never one that cannot be planned."""

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
