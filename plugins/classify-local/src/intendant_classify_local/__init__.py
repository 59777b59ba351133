"""Tells a step's intent from its structure and words."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from intendant import Classification, Classifier, ClassifyRequest, IntentSpec, Signal
from intendant_classify_local._view import StepView, words
from intendant_classify_local._words import groups, lemmas

__all__ = ["LocalClassifier"]

_INTENT_OF = {
    "read": "extract", "search": "extract", "extract": "extract", "send": "send", "write": "send", "create": "generate",
    "delete": "send", "summarize": "summarize", "generate": "generate", "validate": "validate",
    "transform": "transform", "branch": "conditional", "aggregate": "aggregate", "filter": "filter",
    "enrich": "enrich", "control": "none",
}  # fmt: skip


class LocalClassifier(Classifier):
    """Knows ten intents, and whatever else the installed handlers declare."""

    name = "local"

    def decide(self, request: ClassifyRequest) -> Classification | None:
        """The step's intent, or None if less sure than the threshold."""
        found = self._classify(StepView.of_step(request.step), request.intents)
        return found if found.confidence >= request.threshold else None

    def decide_raw(self, raw: Mapping[str, Any], intents: Iterable[IntentSpec] = ()) -> Classification:
        """The best guess for a step in any platform's form."""
        return self._classify(StepView.of_raw(raw), tuple(intents))

    def _classify(self, view: StepView, intents: tuple[IntentSpec, ...]) -> Classification:
        votes: Counter[str] = Counter()
        signals: list[Signal] = []
        for text, weight, what in (
            (view.action, 4.0, "operation"),
            (view.name, 2.0, "name"),
            (view.prompt[:80], 2.0, "prompt"),
        ):
            for word in words(text):
                group = groups().get(lemmas().get(word, ""))
                if group:
                    votes[_INTENT_OF[group]] += weight
                    signals.append(
                        Signal(text=f"the {what} says '{word}'", intent=_INTENT_OF[group], weight=weight)
                    )
                    break
        if not votes:
            return Classification(intent="generate", confidence=0.3, method=self.name)
        ranked = votes.most_common(2)
        best, top = ranked[0]
        second, other = ranked[1] if len(ranked) > 1 else (None, 0)
        share = top / (sum(votes.values()) + 0.5)
        return Classification(
            intent=None if best == "none" else best, confidence=share, second=second, margin=share - share * other / top,
            signals=tuple(sorted(signals, key=lambda signal: -signal.weight)), method=self.name,
        )  # fmt: skip
