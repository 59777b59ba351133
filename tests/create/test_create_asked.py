"""Workflows that a model makes: every kind of mistake is told to it and mended, or nothing is written."""

import json
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from intendant import IntendantError, SyncOrchestrationService, Workflow
from intendant.testing import ScriptedProvider
from intendant_create import _command
from intendant_create._asked import ROUNDS, NotMade, asked

GOOD = """
name: failed-orders
budget: {tokens: 4000}
steps:
  - {id: orders, intent: extract, uses: file.read, with: {path: orders.csv}}
  - {id: told, intent: summarize, input: "{{ steps.orders.output }}"}
  - id: mail
    intent: send
    uses: mail.send
    input: "{{ steps.told.output }}"
    with: {host: smtp.example.org, from: a@example.org, to: b@example.org, subject: Orders}
"""
MISTAKES = {
    "no YAML": "steps: [",
    "no workflow": "hello",
    "an unknown intent": GOOD.replace("summarize", "condense"),
    "an unknown operation": GOOD.replace("file.read", "file.reed"),
    "an unknown parameter": GOOD.replace("path: orders.csv", "file: orders.csv"),
    "a missing parameter": GOOD.replace("with: {path: orders.csv}", "with: {}"),
    "a reference to nobody": GOOD.replace("steps.told", "steps.tell"),
    "a circle": GOOD.replace("with: {path: orders.csv}", 'input: "{{ steps.told.output }}", with: {path: a.csv}'),
    "two steps of one name": GOOD.replace("id: told", "id: orders"),
    "a condition that is none": GOOD.replace("id: mail", "id: mail\n    when: steps.told.output +"),
    "a secret given away": GOOD.replace("{{ steps.orders.output }}", "{{ secrets.KEY }}"),
    "nothing": "",
}
PRICES = {"scripted/scripted-1": {"input": 1.0, "output": 2.0}}


def answer(workflow: str, cron: str = "", *unclear: str) -> str:
    return json.dumps({"workflow": workflow, "cron": cron, "unclear": list(unclear)})


def service_with(*answers, **settings):
    provider = ScriptedProvider(*answers)
    chosen = {"prices": {"models": PRICES}, "routing": {"providers": ["scripted"]}, **settings}
    return SyncOrchestrationService(chosen, plugins=[provider], db="none"), provider


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_to_the_model_and_mended(mistake) -> None:
    service, provider = service_with(answer(MISTAKES[mistake]), answer(GOOD, "0 7 * * *", "yesterday's"))
    with service:
        made = asked(service, "mail me the failed orders", 50_000)
    assert [step["id"] for step in made.steps] == ["orders", "told", "mail"]
    assert (made.cron, made.unclear) == ("0 7 * * *", ["yesterday's"])
    told = provider.calls[1][1].messages[-1].content
    assert "That is wrong:\n- " in told


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_model_that_goes_on_making_it_makes_nothing(mistake) -> None:
    service, provider = service_with(answer(MISTAKES[mistake]))
    with service, pytest.raises(NotMade):
        asked(service, "mail me the failed orders", 200_000)
    assert len(provider.calls) == ROUNDS


def test_what_leaves_the_house_asks_a_person_whatever_the_model_says() -> None:
    service, _ = service_with(answer(GOOD))
    with service:
        made = asked(service, "mail me the failed orders", 50_000)
    assert made.steps[-1]["approve"]["ask"]
    assert "approve" not in made.steps[0]


def test_all_answers_together_take_no_more_than_was_given() -> None:
    service, provider = service_with(answer(MISTAKES["an unknown intent"]))
    with service, pytest.raises(NotMade):
        asked(service, "mail me the failed orders", 6000)
    assert sum(hold.tokens for hold, _ in provider.calls) <= 4 * 6000
    assert len(provider.calls) < ROUNDS


def test_a_refusal_makes_nothing() -> None:
    service, _ = service_with("I will not do that.")
    with service, pytest.raises(NotMade):
        asked(service, "mail me the failed orders", 50_000)


def test_without_a_model_nobody_is_asked() -> None:
    with SyncOrchestrationService(
        {"plugins": {"block": ["provider:openai", "provider:anthropic"]}}, db="none"
    ) as service:
        assert asked(service, "mail me the failed orders", 50_000) is None


# --- the command ---


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    app = Typer()
    app.command()(_command.create)
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "--db", "none"])


def test_the_command_writes_a_workflow_that_can_be_planned(command) -> None:
    done = command("Read a.csv, drop duplicates and save it to b.csv", "-o", "flow.yaml", "--yes")
    assert done.exit_code == 0, done.output
    flow = Workflow.load(Path("flow.yaml"))
    assert [step.id for step in flow.steps] == ["a", "filter", "save"]
    assert "at most: 0 tokens" in done.stderr
    assert "made without a model" in done.stderr


def test_the_budget_of_what_was_made_admits_a_call_of_a_server_whose_tokens_are_not_known(command) -> None:
    """Bytes are held there: twice what steps usually take did not admit one call about two records."""
    done = command(
        "Read orders.csv, keep the open ones and save them to open.csv", "-o", "flow.yaml", "--yes", "--no-model"
    )
    assert done.exit_code == 0, done.output
    flow = Workflow.load(Path("flow.yaml"))
    assert any(step.prompt for step in flow.steps)
    Path("orders.csv").write_text("order,state\n1,open\n2,paid\n")
    answers = json.dumps({"answers": [{"n": 0, "keep": True}, {"n": 1, "keep": False}]})
    service, _ = service_with(answers)
    with service:
        result = service.run(flow)
    assert result.status == "completed", result.failures


def test_without_a_yes_nothing_is_written(command) -> None:
    done = command("Read a.csv and save it to b.csv", "-o", "flow.yaml")
    assert done.exit_code != 0
    assert isinstance(done.exception, IntendantError)
    assert not Path("flow.yaml").exists()


@pytest.mark.parametrize("text", ["", "   ", "xyzzy"])
def test_a_sentence_that_says_nothing_is_refused_with_an_example(command, text) -> None:
    done = command(text)
    assert isinstance(done.exception, IntendantError)
    assert done.exception.hint


def test_without_a_file_the_workflow_is_printed(command) -> None:
    done = command("Each Monday at 9 read a.csv and mail it to a@example.org")
    assert Workflow.parse(done.stdout).steps[-1].approve is not None
    assert 'cron = "0 9 * * 1"' in done.stderr
