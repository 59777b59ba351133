"""Each part of a delivery that is made in parts has an identity of its own for whoever receives it."""

import json

import pytest

from intendant import OrchestrationService, Settings, Workflow
from intendant.plugin import ConnectorCall
from intendant.testing import WireServer

HEADERS = {"webhook.post": "webhook-id", "http.post": "idempotency-key"}


@pytest.mark.parametrize("uses", sorted(HEADERS))
@pytest.mark.parametrize("size", [1, 2])
async def test_a_receiver_that_keeps_ids_takes_every_part(uses, size):
    """One that drops what it has seen the id of would lose all parts but the first."""
    kept = {}

    def receive(sent):
        kept.setdefault(sent.headers[HEADERS[uses]], sent.body)
        return 200, {"ok": True}, {}

    connector = uses.partition(".")[0]
    allowed = Settings.model_validate(
        {"plugins": {"settings": {f"connector:{connector}": {"allow": ["127.0.0.1"]}}}}
    )
    async with (
        WireServer(receive).running() as url,
        OrchestrationService(allowed, db="none") as service,
    ):
        step = {"id": "s", "intent": "send", "uses": uses, "input": [{"n": n} for n in range(5)]}
        step |= {"with": {"url": url}, "options": {"size": size}}
        result = await service.run(Workflow.model_validate({"name": "t", "steps": [step]}))
        assert result.steps["s"].failure is None, result.steps["s"].failure
    assert sorted(record["n"] for body in kept.values() for record in json.loads(json.dumps(body))) == list(
        range(5)
    )


@pytest.mark.parametrize("characters", [8, 40, 64])
def test_a_short_key_tells_deliveries_of_one_step_apart(characters):
    keys = ["a" * 64, *(f"{'a' * 64}~{use}" for use in range(1, 200))]
    short = [ConnectorCall(None, key, "r", "s").short_key(characters) for key in keys]
    assert short[0] == "a" * characters
    assert len(set(short)) == len(keys)
    assert {len(key) for key in short} == {characters}
    assert all(key.isalnum() for key in short)
