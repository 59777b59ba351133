"""The plugin keeps the contract, and does what it is for."""

import asyncio

from intendant_intent_haiku import HaikuHandler

from intendant.testing import IntentContract, ScriptedProvider, run_steps


class TestHaiku(IntentContract):
    plugin = HaikuHandler
    entry_point = "haiku"
    steps = ({"id": "a", "prompt": "rain"},)


def test_answers_in_three_lines() -> None:
    """The model's answer is the output, and the subject reaches the model."""
    provider = ScriptedProvider("Rain on the tin roof\nthe budget holds its breath, counts\nno drop is wasted\n")
    step = {"id": "poem", "intent": "haiku", "prompt": "about the rain", "input": {"mm": 12}}
    result = asyncio.run(run_steps([step], HaikuHandler(), provider))
    assert result.outputs["poem"].count("\n") == 2
    assert '{"mm":12}' in provider.calls[0][1].messages[0].content


def test_asks_for_a_subject() -> None:
    """A step without prompt and input is refused before any token is spent."""
    provider = ScriptedProvider()
    result = asyncio.run(run_steps([{"id": "poem", "intent": "haiku"}], HaikuHandler(), provider))
    assert "subject" in result.failures["poem"].message
    assert provider.calls == []
