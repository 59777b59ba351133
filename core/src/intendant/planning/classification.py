"""What is remembered of classifications: answers that were paid for, and corrections by people."""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from intendant.hooks.bases import IntentHandler
from intendant.model.requests import ClassifyRequest, IntentSpec
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


SURE = 0.9
"""How sure the intent of a step is that follows from the operation that it uses."""


def connecting(
    request: ClassifyRequest, answer: Classification | None, handlers: Mapping[str, IntentHandler]
) -> Classification | None:
    """The answer where its intent may use the step's connector; else the intent that may and fits best.

    Classifiers go by words: a step named `join` that reads from a database is no aggregation.
    """
    step, operation = request.step, request.operation
    if operation is None:
        return answer
    able = [spec for spec in request.intents if spec.connects]
    fitting = [spec.name for spec in able if spec.side_effects == operation.side_effects]
    faults = {spec.name: _faults(step, handlers[spec.name]) for spec in able}
    chosen = min(fitting, key=faults.__getitem__, default=None)
    told = None if answer is None else answer.intent
    if answer is not None and told == chosen and answer.second not in faults:
        # No doubt is left: the other intent that its words speak for uses no connector.
        return answer.model_copy(update={"confidence": max(answer.confidence, SURE), "second": None})
    if chosen is None or (told in faults and faults[told] <= faults[chosen]):
        return answer
    does = "changes something outside" if operation.side_effects else "only reads"
    signal = Signal(text=f"'{step.uses}' {does}", intent=chosen, weight=1.0)
    return Classification(intent=chosen, confidence=SURE, signals=(signal,), method="connector")


def _faults(step: Step, handler: IntentHandler) -> int:
    """How many things of a step a handler would refuse."""
    unknown = [name for name in step.options if name not in handler.Parameters.model_fields]
    try:
        return len(unknown) + len(handler.check(step))
    except Exception:  # noqa: BLE001  # a plugin's own code, which the check of the step reports
        return len(unknown) + 1


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
