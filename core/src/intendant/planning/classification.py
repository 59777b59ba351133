"""What is remembered of classifications: answers that were paid for, and corrections by people."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from intendant.model.requests import IntentSpec
from intendant.model.results import Classification, Signal
from intendant.model.workflow import Json, Step

if TYPE_CHECKING:
    from intendant.record.store import Store


def step_key(step: Step | Mapping[str, Json]) -> str:
    """The same for steps that say the same: SHA-256 over the step but its id, needs and weight in the run."""
    content = step.model_dump(by_alias=True, exclude_defaults=True) if isinstance(step, Step) else dict(step)
    for name in ("id", "needs", "intent", "priority", "critical"):
        content.pop(name, None)
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, default=str)
    return sha256(text.encode()).hexdigest()


def answer_key(step: Step, specs: Iterable[IntentSpec]) -> str:
    """The key of a model's answer: another set of installed intents may have another answer."""
    intents = "\n".join(f"{spec.name}: {spec.summary}" for spec in sorted(specs, key=lambda spec: spec.name))
    return sha256(f"{step_key(step)}\n{intents}".encode()).hexdigest()


class ClassificationMemory:
    """Reads and writes what is remembered, in the store that all runs share."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    async def known(self, steps: Iterable[Step], specs: Iterable[IntentSpec]) -> dict[str, Classification]:
        """What is known of *steps*, by step id. A correction wins over an answer."""
        from intendant.record.store import intent_labels

        specs = tuple(specs)
        wanted = [(step.id, step_key(step), answer_key(step, specs)) for step in steps]
        keys_of_all = {key for _, *keys in wanted for key in keys}
        found = await self._store.do(intent_labels.find(keys_of_all))
        known = {}
        for step_id, *keys in wanted:
            text = next((found[key] for key in keys if key in found), None)
            if text is not None:
                known[step_id] = Classification.model_validate_json(text)
        return known

    async def keep(self, step: Step, specs: Iterable[IntentSpec], answer: Classification) -> None:
        """Remember an answer that was paid for."""
        from intendant.record.store import intent_labels

        key, text = answer_key(step, specs), answer.model_dump_json()
        await self._store.do(intent_labels.keep(key, "answer", text))

    async def correct(self, step: Step | Mapping[str, Json], intent: str | None) -> None:
        """Remember what a person says: steps like this one have *intent*; None: they are no steps of work."""
        from intendant.record.store import intent_labels

        signals = (Signal(text="a person said so", intent=intent, weight=1.0),) if intent else ()
        answer = Classification(intent=intent, confidence=1.0, signals=signals, method="correction")
        await self._store.do(intent_labels.keep(step_key(step), "correction", answer.model_dump_json()))
