"""`intendant budget`: limits of agents and tenants, which every run is held against."""

import pytest

FLOW = """
name: small
agent: mailer
budget: {tokens: 9000}
steps: [{id: sum, intent: summarize, input: "Ada paid 12 EUR on Monday. Bob paid 7 EUR on Friday.", prompt: what was paid}]
"""


def test_a_limit_is_set_shown_and_remembered(intendant) -> None:
    assert "no limits yet" in intendant("budget", "show").out
    done = intendant("budget", "set", "agent:mailer", "--tokens", "50,000", "--per", "day")
    assert done.code == 0, done.err
    assert "50,000 tokens" in done.out
    intendant("budget", "set", "agent:mailer", "--usd", "1.5", "--per", "day")
    intendant("budget", "set", "tenant:default", "--usd", "20", "--per", "month")
    (agent, tenant) = intendant("budget", "show", "--json").json()
    assert (agent["scope"], agent["per"], agent["limit_tokens"], agent["limit_micro"]) == (
        "agent:mailer",
        "day",
        50_000,
        1_500_000,
    )
    assert (tenant["scope"], tenant["limit_tokens"], tenant["limit_micro"]) == ("tenant:default", None, 20_000_000)
    intendant("budget", "set", "agent:mailer", "--tokens", "none", "--usd", "none", "--per", "day")
    assert "agent:mailer" not in intendant("budget", "show").out
    history = intendant("budget", "history", "--json").json()
    assert [row["limit_micro"] for row in history] == [None, 20_000_000, 1_500_000, None]
    assert len(intendant("budget", "history", "-n", "2").out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("mailer", "--tokens", "5"), "write agent:NAME or tenant:NAME"),
        (("agent:", "--tokens", "5"), "write agent:NAME or tenant:NAME"),
        (("agent:x",), "add --tokens N"),
        (("agent:x", "--tokens", "1.5"), "write --tokens 50000"),
        (("agent:x", "--usd", "-1"), "write --usd 50000"),
        (("agent:x", "--usd", "nan"), "write --usd 50000"),
    ],
)
def test_what_is_no_limit_is_told_with_the_way_out(intendant, arguments, hint) -> None:
    done = intendant("budget", "set", *arguments, "--per", "day")
    assert done.code == 2
    assert hint in done.err
    assert intendant("budget", "history").out == "no limit was ever set\n"


def test_a_run_counts_for_its_agent_and_is_refused_beyond_its_limit(intendant, tmp_path, model_server) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    intendant("budget", "set", "agent:mailer", "--tokens", "20000", "--per", "day")
    assert intendant("run", "flow.yaml", **model_server).code == 0
    (now,) = intendant("budget", "show", "--json").json()
    assert 0 < now["spent_tokens"] < 20000
    assert now["held_tokens"] == 0
    intendant("budget", "set", "agent:mailer", "--tokens", str(now["spent_tokens"]), "--per", "day")
    done = intendant("run", "flow.yaml", **model_server)
    assert done.code == 3
    assert "agent:mailer/day:" in done.out + done.err
    assert "intendant budget set agent:mailer --per day" in done.out + done.err
