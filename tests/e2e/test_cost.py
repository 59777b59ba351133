"""`intendant prices` and `intendant cost`: what models cost, and where the money went."""

import asyncio
import re

import pytest

from intendant import Workflow
from intendant.plugin import IntentHandler, IntentSpec, Message, ModelReply, ModelRequest, StepResult, Usage
from intendant.testing import ScriptedProvider, engine

FLOW = """
name: small
agent: mailer
budget: {tokens: 5000}
steps: [{id: sum, intent: summarize, input: "Ada paid 12 EUR on Monday. Bob paid 7 EUR on Friday.", prompt: what was paid}]
"""
GROUP = {
    "group", "calls", "input_tokens", "cached_tokens", "output_tokens", "micro_usd", "share", "in_doubt_calls",
    "in_doubt_tokens", "in_doubt_micro_usd", "overrun_tokens", "overrun_micro_usd",
}  # fmt: skip
ESTIMATE = {
    "known", "without_micro_usd", "spent_micro_usd", "saved_micro_usd", "saved_share", "calls", "reused_calls",
    "free_calls", "added_tokens", "against_micro_usd", "models", "prices_missing",
    "classified_in_another_run", "basis",
}  # fmt: skip


class Ask(IntentHandler):
    """Asks a model."""

    spec = IntentSpec(name="ask", summary="Ask", examples=("Ask",))

    async def handle(self, request):
        asked = ModelRequest(messages=(Message(content=request.prompt),), max_output_tokens=50)
        return StepResult(output=(await request.model.complete(asked)).text)


class Claude(ScriptedProvider):
    """Answers in the place of the provider `anthropic`."""

    name = "anthropic"

    def models(self):
        return {"only": "claude-haiku-5-5"}


def fill(url: str, *agents: str) -> None:
    """A store with a run of two steps of each agent; each call reads 1000 tokens, 400 of them cached."""
    usage = Usage(input_tokens=1000, output_tokens=40, cached_tokens=400)
    answer = ModelReply(text="yes", usage=usage, model="claude-haiku-5-5", provider="anthropic")
    steps = [{"id": name, "intent": "ask", "prompt": "word " * 1200} for name in ("first", "second")]

    async def main() -> None:
        async with engine(
            Ask(), Claude(answer), db=url, settings={"budget": {"tokens_per_step": 9000}}
        ) as service:
            for agent in agents:
                flow = {"name": "t", "agent": agent, "budget": {"tokens": 20_000}, "steps": steps}
                result = await service.run(Workflow.model_validate(flow))
                assert result.status == "completed", result.failures

    asyncio.run(main())


# --- prices ---


def test_without_a_key_the_prices_of_what_can_be_used_are_shown_and_where_the_others_are(intendant) -> None:
    done = intendant("prices")
    assert done.code == 0, done.err
    assert "costs nothing: no model is asked" in done.out
    assert "`intendant prices anthropic`" in done.out


def test_with_a_key_the_models_of_the_tiers_are_shown_within_a_terminal(intendant) -> None:
    done = intendant("prices", ANTHROPIC_API_KEY="none")
    assert done.code == 0, done.err
    assert re.search(
        r"^anthropic \(US\$ per million tokens; source: genai-prices [\d.]+\)$", done.out, re.MULTILINE
    )
    assert re.search(r"^claude-haiku-5-5 +fast( +[\d.]+){7}$", done.out, re.MULTILINE)
    assert re.search(r"^  > 100k tokens( +[\d.]+){7}$", done.out, re.MULTILINE)
    assert max(map(len, done.out.splitlines())) <= 80
    rows = intendant("prices", "--json", ANTHROPIC_API_KEY="none").json()
    assert [row["tiers"] for row in rows if row["provider"] == "anthropic"] == [
        ["fast"],
        ["balanced"],
        ["powerful"],
    ]
    assert set(rows[0]) == {"provider", "model", "tiers", "known", "source", "hint", "steps"}


def test_one_model_and_prices_set_by_hand(intendant) -> None:
    (row,) = intendant("prices", "anthropic/claude-opus-5-5", "--json").json()
    assert row["steps"][0]["input"] > 0
    by_hand = 'prices.models={"mine/big":{"input":1.5,"output":2,"batch":0.5}}'
    done = intendant("prices", "mine", "--set", by_hand)
    assert "mine (US$ per million tokens; source: set by hand in the settings)" in done.out
    assert re.search(r"^big +1\.50 +2\.00 +1\.50 +1\.50 +1\.50 +0\.75 +1\.00$", done.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("antropic", "did you mean anthropic"),
        ("anthropic/claude-opus-55", "did you mean anthropic/claude-opus-5-5"),
    ],
)
def test_a_name_that_is_not_known_is_told_with_what_comes_close(intendant, name, hint) -> None:
    done = intendant("prices", name)
    assert done.code == 2
    assert hint in done.err


# --- cost ---


def test_where_nothing_was_run_yet_it_says_so_and_makes_no_database(intendant, tmp_path) -> None:
    done = intendant("cost")
    assert (done.code, done.out) == (0, "nothing was spent; no runs yet; `intendant run FILE` makes one\n")
    document = intendant("cost", "--json").json()
    assert (document["groups"], document["total"]["micro_usd"]) == ([], 0)
    assert intendant("cost", "last").code == 2
    assert not list(tmp_path.rglob("*.db"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--db", "sqlite:///nowhere.db"), "there is no database nowhere.db"),
        (("--since", "yesterday"), "'yesterday' is no day for --since"),
        (("--until", "2026-13-01"), "write --until 2026-11-21"),
        (("--by", "colour"), "colour"),
        (("--db", "mysql"), "is not a database URL"),
    ],
)
def test_wrong_arguments_are_told_and_nothing_is_made(intendant, tmp_path, arguments, said) -> None:
    done = intendant("cost", *arguments)
    assert done.code == 2
    assert said in done.err
    assert not list(tmp_path.rglob("*.db"))


def test_a_run_without_a_model_cost_nothing_and_saved_nothing(intendant, tmp_path) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    assert intendant("run", "flow.yaml").code == 0
    done = intendant("cost")
    assert done.code == 0, done.err
    assert re.search(r"^extractive/extractive +1 +", done.out, re.MULTILINE)
    assert "ESTIMATE: $0, as no model was asked" in done.out
    ran = intendant("show", "last", "--json").json()
    total = intendant("cost", "last", "--json").json()["total"]
    assert total["input_tokens"] + total["output_tokens"] == ran["ledger"]["tokens"] == 0
    assert intendant("cost", "r_none").code == 2


def test_the_money_is_shown_by_what_it_went_to_with_an_estimate_of_what_was_saved(intendant, tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    fill(url, "mailer", "mailer", "writer")
    done = intendant("cost", "--by", "agent", "--db", url)
    assert done.code == 0, done.err
    # A call is 600 tokens at 0.1, 400 at 0.01 and 40 at 0.5 micro-US$: 84 of them.
    assert re.search(r"^mailer +4 +4,000 +1,600 +160 +\$0\.000336 +66\.7%$", done.out, re.MULTILINE)
    assert re.search(r"^total +6 +6,000 +2,400 +240 +\$0\.000504 +100\.0%$", done.out, re.MULTILINE)
    assert "saved, as an ESTIMATE: $0.0283 (98%)\n  $0.0288 without orchestration, $0.000504 with it\n" in done.out
    assert "anthropic/claude-opus-5-5" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    document = intendant("cost", "--db", url, "--json").json()
    assert set(document) == {"run_id", "agent", "since", "until", "by", "groups", "total", "held", "estimate"}
    assert (set(document["total"]), set(document["estimate"])) == (GROUP, ESTIMATE)
    assert document["total"]["micro_usd"] == 6 * 84
    # 1000 tokens at 4 and 40 at 20 micro-US$, on the model of the tier `powerful`.
    assert document["estimate"]["without_micro_usd"] == 6 * (4000 + 800)
    assert intendant("cost", "last", "--db", url, "--json").json()["by"] == "step"
    assert intendant("cost", "--agent", "writer", "--db", url, "--json").json()["total"]["calls"] == 2
    assert intendant("cost", "--until", "2026-01-01", "--db", url).out == "nothing was spent there\n"


def test_where_the_models_are_not_installed_any_more_the_estimate_is_not_known(intendant, tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    fill(url, "mailer")
    done = intendant("cost", "--db", url, "--set", 'plugins.block=["provider:anthropic"]')
    assert done.code == 0, done.err
    assert "not known, as prices are missing: anthropic (not installed)" in done.out
