"""Asks the models that were chosen for an attempt, and those of other tiers where an answer fails.

An answer fails here where the model, or a filter before or after it, refuses, where its provider is down with all
that stand in for it, and where its context window is too small. An answer that does not fit its schema is
corrected by its handler, and then asked of a stronger tier (`ModelClient.stronger`).
"""

from typing import Protocol

from intendant import events
from intendant.model.errors import ContextOverflow, ModelRefused, ProviderError
from intendant.model.requests import ModelRequest
from intendant.model.results import ModelReply, Route
from intendant.pilot.recording import Recorder
from intendant.planning.outcomes import same_answer
from intendant.planning.run_routing import Asked, Decided, RunRouter
from intendant.record.journal import StepLog
from intendant.spending.calls import OnText


class Sender(Protocol):
    """What sends the calls of an attempt."""

    async def send_to(self, route: Route, request: ModelRequest, on_text: OnText | None) -> ModelReply:
        """One call to one model."""

    def move_to(self, route: Route) -> None:
        """Ask this model from now on."""


class Rerouting:
    """The choice of one attempt, as it stands.

    Args:
        router: Chooses.
        asked: The step, its references resolved.
        decided: What was chosen first.
        log: The journal of the step.
        failed: Tiers whose answers failed in earlier attempts; shared by all attempts of the step.
    """

    def __init__(
        self, router: RunRouter, asked: Asked, decided: Decided, log: StepLog, failed: dict[str, str]
    ) -> None:
        self._router = router
        self._asked = asked
        self._log = log
        self._failed = failed
        self.decided = decided

    async def send(self, sender: Sender, request: ModelRequest, on_text: OnText | None) -> ModelReply:
        """Ask; where an answer fails, ask another tier.

        Raises:
            ProviderError: No tier is left, or a part of the answer was shown already.
        """
        shown = _Shown(on_text)
        while True:
            try:
                if self.decided.choice.last and not request.tools:
                    return await self._agreed(sender, request, on_text)
                return await sender.send_to(self.decided.route, request, shown.callback)
            except ProviderError as error:
                if shown.any or not _is_failed_answer(error) or not self._another(error):
                    raise
                sender.move_to(self.decided.route)

    async def _agreed(self, sender: Sender, request: ModelRequest, on_text: OnText | None) -> ModelReply:
        """Ask the models in turn until enough say the same, or an answer has the right form; else the last one."""
        replies: list[ModelReply] = []
        choice, routes = self.decided.choice, self.decided.routes
        for name in choice.ask:
            reply = await sender.send_to(routes[name], request, None)
            like = [each for each in replies if same_answer(each.text, reply.text)]
            if choice.accepts(reply.text) if choice.agree == 1 else len(like) + 1 >= choice.agree:
                found = (*like, reply)[0]
                if on_text is not None:
                    on_text(found.text)
                return found
            replies.append(reply)
        return await sender.send_to(routes[choice.last], request, on_text)

    def _another(self, error: ProviderError) -> bool:
        """Choose without the tier that failed; False if nothing is left."""
        tier = self.decided.route.tier
        self._failed[tier] = f"{tier} failed ({error.code})"
        found = self._router.decide(self._asked, tuple(self._failed), self._failed[tier])
        if found is None or found.route.tier in self._failed:
            return False
        self.decided = found
        self._log.record(events.RouteDecided, severity="warning", **found.facts)
        return True

    def stronger(self) -> Route | None:
        """The model of the next stronger tier that has another one."""
        return self._router.stronger(self.decided.route)


def choose(
    model: "Chooser", router: RunRouter, asked: Asked, log: StepLog, recorder: Recorder, failed: dict[str, str]
) -> None:
    """Choose the model of an attempt, and record why; nothing where no tier is left to choose.

    Args:
        model: Is told.
        router: Chooses.
        asked: The step.
        log: Its journal.
        recorder: Writes it. What is chosen for items of a list is written where it is not what was planned.
        failed: Tiers that failed in earlier attempts, and how.
    """
    found = router.decide(asked, tuple(failed), "; ".join(failed.values()))
    if found is None:
        return
    planned = asked.plan.route
    if planned is not None and (planned.provider, planned.model) == (found.route.provider, found.route.model):
        recorder.tell(log, events.RouteDecided, **found.facts)
    else:
        log.record(events.RouteDecided, **found.facts)
    model.decided(Rerouting(router, asked, found, log, failed))


class Chooser(Protocol):
    """What is told which models to ask."""

    def decided(self, ways: Rerouting) -> None:
        """Ask these."""


class _Shown:
    """Notes whether a part of an answer was shown."""

    def __init__(self, on_text: OnText | None) -> None:
        self._on_text = on_text
        self.any = False
        self.callback = None if on_text is None else self._show

    def _show(self, piece: str) -> None:
        self.any = True
        if self._on_text is not None:
            self._on_text(piece)


def _is_failed_answer(error: ProviderError) -> bool:
    return isinstance(error, ModelRefused | ContextOverflow) or error.at_fault
