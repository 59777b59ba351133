"""The five questions.

A hook is a question; the first plugin that can answer does; one that cannot returns None. Order: what the
settings name first, else `tryfirst`/`trylast`, else by name (tiers: cheapest first). Never by installation.

A hook implementation is a plain `def`: it claims synchronously and works asynchronously, by returning an
awaitable. An `async def` is refused when the plugin is registered, because its coroutine, which is not None,
would count as an answer before it has run. Authors need not know: they subclass `IntentHandler`, `Compressor`,
`Tier`, `BudgetStrategy` or `Classifier`, and write one method.
"""

from collections.abc import Awaitable

import pluggy

from intendant.model.requests import (
    BudgetRequest,
    ClassifyRequest,
    CompressRequest,
    RouteRequest,
    StepRequest,
)
from intendant.model.results import Allocation, Classification, Compression, Route, StepResult

PROJECT = "intendant"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a hook implementation in a plugin that does without the base classes."""


@hookspec(firstresult=True)
def classify(
    request: ClassifyRequest,
) -> "Classification | Awaitable[Classification | None] | None":
    """Which intent has this step?

    Asked once per step when a workflow is planned, unless the step names its intent. None means "not sure
    enough": the next classifier is asked. If all decline they are asked once more with `threshold` 0, for their
    best guess. `Classification(intent=None)` is an answer: this is no step of work.

    Example:
        ```python
        @hookimpl
        def classify(request):
            if request.step.uses == "slack.post":
                return Classification(intent="send", confidence=0.99, method="slack")
            return None
        ```
    """


@hookspec(firstresult=True)
def allocate_budget(request: BudgetRequest) -> "Allocation | None":
    """How is this run's budget shared?

    Asked once per run. The configured strategy answers, the others return None.

    Example:
        ```python
        @hookimpl
        def allocate_budget(request):
            if request.strategy != "first_takes_all":
                return None
            return Allocation(tokens={request.lines[0].step_id: request.total}, strategy="first_takes_all")
        ```
    """


@hookspec(firstresult=True)
def compress(
    request: CompressRequest,
) -> "Compression | Awaitable[Compression | None] | None":
    """Can this be made smaller?

    Asked when content does not fit: first lossless compressors only, then all, again and again with what was
    `tried`, until it fits or all have declined. None means "not I, or not this".

    Example:
        ```python
        @hookimpl
        def compress(request):
            if "squeeze" in request.tried or request.lossless_only:
                return None
            text = " ".join(request.text.split())
            return Compression(text=text, tokens_before=request.tokens, tokens_after=request.count(text),
                               strategy="squeeze", lossless=False)
        ```
    """


@hookspec(firstresult=True)
def route(request: RouteRequest) -> "Route | None":
    """Which model does this step?

    Asked once per step, cheapest tier first, and again without a tier that failed. None means "too hard for me",
    or that no usable provider has a model for this tier.

    Example:
        ```python
        @hookimpl
        def route(request):
            if request.difficulty > 1:
                return None
            return Route(tier="tiny", provider="openai", model="…", max_output_tokens=500, reason="trivial")
        ```
    """


@hookspec(firstresult=True)
def handle_intent(request: StepRequest) -> "Awaitable[StepResult] | None":
    """Do this step.

    Asked once per attempt. The handler of `request.intent` returns an awaitable; all others return None. A
    `tryfirst` implementation may take an intent over.

    Example:
        ```python
        @hookimpl
        def handle_intent(request):
            return shout(request) if request.intent == "shout" else None

        async def shout(request):
            return StepResult(output=str(request.input).upper())
        ```
    """
