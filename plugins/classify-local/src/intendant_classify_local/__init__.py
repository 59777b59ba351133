"""Tells a step's intent from its structure and words, without a model call and without the network."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from intendant.plugin import Classification, Classifier, ClassifyRequest, IntentSpec, Signal, Step
from intendant_classify_local._custom import best_match, claim, likeness, nearest, opening
from intendant_classify_local._effects import effect
from intendant_classify_local._explain import signals
from intendant_classify_local._features import BARE, features
from intendant_classify_local._model import NONE, model
from intendant_classify_local._neighbours import leanings
from intendant_classify_local._view import StepView

__all__ = ["LocalClassifier"]

_CLAIM = 0.5
"""A declared intent is chosen where it is more probable than this."""
_LIKENESS, _LIKE = 5.0, 0.3
"""What likeness to an example adds to an intent's score, and the likeness below which it adds nothing."""
_STRUCTURE_RULES = 0.45
"""What words say for a declared intent counts this much where the step names an operation of a connector."""


class LocalClassifier(Classifier):
    """Knows ten intents and what is no step of work; learns others from what their handlers declare.

    Example:
        ```python
        step = {"type": "action", "plugin": "slack", "action": "sendMessage"}
        LocalClassifier().classify_raw(step).intent  # "send"
        ```
    """

    name = "local"

    def classify(self, request: ClassifyRequest) -> Classification | None:
        """The step's intent, or None if less sure than `request.threshold`."""
        view = StepView.of_step(request.step)
        found = self._classify(view, request.intents, leanings(request))
        found = _without_effects(found, request)
        return found if found.confidence >= request.threshold else None

    def classify_raw(self, raw: Mapping[str, Any], intents: Iterable[IntentSpec] = ()) -> Classification:
        """The best guess for a step of any platform, however unsure.

        Args:
            raw: The step as a mapping, with such keys as `name`, `type`, `plugin`, `action`, `params`, `prompt`,
                `description`, or as it stands in an Intendant workflow file.
            intents: The declared intents; those that the model does not know are told by their examples and words.
        """
        said = raw.get("intent")
        if isinstance(said, str) and said:
            return Classification(intent=said, confidence=1.0)
        return self._classify(StepView.of_raw(raw), tuple(intents))

    def side_effect(self, step: Step | Mapping[str, Any]) -> str:
        """What the step may change outside, in words, whatever its intent; empty if nothing speaks for it."""
        return effect(StepView.of_step(step) if isinstance(step, Step) else StepView.of_raw(step))

    def _classify(
        self, view: StepView, intents: Sequence[IntentSpec], around: Mapping[str, float] | None = None
    ) -> Classification:
        """The answer for *view*; *around* is what its neighbours add to the scores where no machinery is named."""
        learned = model()
        found = features(view)
        more = self._from_examples(view, found, intents)
        if around and found and found[0].startswith(BARE):
            more = {name: more.get(name, 0.0) + around.get(name, 0.0) for name in {*more, *around}}
        known = learned.known(found)
        probabilities = learned.probabilities(known, more)
        ranked = sorted(zip(probabilities, learned.intents, strict=True), reverse=True)
        nothing = probabilities[learned.intents.index(NONE)]
        if nothing < learned.abstain:
            ranked = [pair for pair in ranked if pair[1] != NONE]
        elif ranked[0][1] != NONE:
            ranked = [(nothing, NONE), *(pair for pair in ranked if pair[1] != NONE)]
        (top, best), (next_top, second) = ranked[:2]
        answer = Classification(
            intent=None if best == NONE else best,
            confidence=round(learned.confidence(top), 3),
            second=None if second == NONE else second,
            margin=round(max(top - next_top, 0.0), 3),
            signals=signals(view, known, learned, best, second),
            method=self.name,
        )
        return self._declared(view, intents, answer)

    def _from_examples(
        self, view: StepView, found: Sequence[str], intents: Sequence[IntentSpec]
    ) -> dict[str, float]:
        """What the handlers' examples add where a step names no machinery, so that words alone decide."""
        if not intents or not found or not found[0].startswith(BARE):
            return {}
        return {name: _LIKENESS * share for name, share in likeness(view, intents).items() if share > _LIKE}

    def _declared(self, view: StepView, specs: Sequence[IntentSpec], answer: Classification) -> Classification:
        """*answer*, or an intent that the model does not know where the step's words speak for that."""
        own = [spec for spec in specs if spec.name not in model().intents]
        if not own:
            return answer
        name, probability, shared = best_match(view, own)
        like = nearest(view, specs)
        near = max(own, key=lambda spec: like[spec.name]).name
        likely = claim(like[near], max((like[spec.name] for spec in specs if spec.name != near), default=0.0))
        if likely > probability:
            name, probability, shared = near, likely, []
        begun, opened, verb = opening(view, own, specs)
        if opened > probability:
            name, probability, shared = begun, opened, [verb]
        if view.action and view.plugin:
            probability *= _STRUCTURE_RULES
        if probability <= _CLAIM:
            return answer
        said = ", ".join(f"'{word}'" for word in shared[:3])
        reason = Signal(
            text=f"{said} speaks for '{name}', as its handler declares it"
            if said
            else f"it is like an example that the handler of '{name}' gives",
            intent=name,
            weight=round(probability, 2),
        )
        return Classification(
            intent=name,
            confidence=round(probability, 3),
            second=answer.intent,
            margin=round(probability - answer.confidence * (1 - probability), 3),
            signals=(reason, *answer.signals[:1]),
            method=self.name,
        )


def _without_effects(found: Classification, request: ClassifyRequest) -> Classification:
    """An operation that changes nothing cannot be of an intent that does: then the second best is the answer."""
    operation = request.operation
    changing = {spec.name for spec in request.intents if spec.side_effects}
    if operation is None or operation.side_effects or found.intent not in changing:
        return found
    reason = Signal(text=f"'{request.step.uses}' only reads", intent=found.second or "", weight=found.confidence)
    return Classification(
        intent=found.second,
        confidence=found.confidence,
        signals=(reason, *found.signals[:2]),
        method=found.method,
    )
