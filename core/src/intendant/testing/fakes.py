"""Stand-ins for what is outside: a provider that answers from a script, and an engine of exactly these plugins."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from intendant.config.settings import Settings
from intendant.hooks.bases import Plugin, Tier, WeightedShares
from intendant.hooks.providers import Hold, Provider, TokenCounting
from intendant.model.errors import ProviderError
from intendant.model.requests import BudgetLine, BudgetRequest, ModelRequest, Options
from intendant.model.results import ModelReply, RunResult, StopReason, ToolCall, Usage
from intendant.model.workflow import Json, Workflow
from intendant.pilot.service import OrchestrationService
from intendant.pilot.sync import SyncOrchestrationService
from intendant.spending.tokens import estimate_tokens

Said = str | ModelReply | Sequence[ToolCall]
Answer = Said | Exception | Callable[[ModelRequest], Said]


class ScriptedProvider(Provider):
    """Answers calls from a script, in order, and remembers them; the last answer repeats.

    Args:
        answers: Text, the tools that it wants called, a whole reply, an exception to raise, or a function of the
            request.

    Example:
        >>> provider = ScriptedProvider("Hello")
        >>> provider.calls
        []
    """

    name = "scripted"
    rank: ClassVar[float] = 0
    tools: ClassVar[bool] = True
    Settings = Options

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self._answers = list(answers) or ["an answer"]
        self.calls: list[tuple[Hold, ModelRequest]] = []
        """Each call's hold and request."""

    def available(self) -> bool:
        """Always."""
        return True

    def models(self) -> Mapping[str, str]:
        """One model for every usual tier."""
        return {
            "fast": "scripted-1",
            "balanced": "scripted-1",
            "powerful": "scripted-1",
            "only": "scripted-1",
        }

    def token_counting(self, model: str) -> TokenCounting:  # noqa: ARG002
        """By `estimate_tokens`, as if that were its own tokenizer: what it reports is counted so."""
        return TokenCounting(estimate_tokens, exact=True)

    async def complete(self, hold: Hold, request: ModelRequest) -> ModelReply:
        """The next answer of the script."""
        self.calls.append((hold, request))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        made = answer(request) if callable(answer) else answer
        return made if isinstance(made, ModelReply) else _reply(made, hold, request)


def _reply(said: str | Sequence[ToolCall], hold: Hold, request: ModelRequest) -> ModelReply:
    calls = () if isinstance(said, str) else tuple(said)
    text = said if isinstance(said, str) else ""
    sent = sum(estimate_tokens(message.content) for message in request.messages)
    usage = Usage(
        input_tokens=min(sent, hold.tokens - hold.max_output_tokens),
        output_tokens=min(
            estimate_tokens(text) + sum(estimate_tokens(str(call.arguments)) for call in calls),
            hold.max_output_tokens,
        ),
    )
    stop: StopReason = "tool" if calls else "end"
    return ModelReply(text=text, usage=usage, model=hold.model, provider="scripted", calls=calls, stop_reason=stop)


class OnlyTier(Tier):
    """A single tier that takes every step."""

    name = "only"


class EqualShares(WeightedShares):
    """Shares equally; answers for the strategy `proportional`, which is the default."""

    name = "proportional"

    def weight(self, line: BudgetLine, request: BudgetRequest) -> float:  # noqa: ARG002  # all weigh the same
        """The same for each."""
        return 1.0


PRICES = {"prices": {"models": {"scripted/scripted-1": {"input": 1.0, "output": 2.0}}}}


def engine(*plugins: Plugin, settings: Mapping[str, Any] | None = None, db: str = "none") -> OrchestrationService:
    """An engine of exactly these plugins, with a scripted provider, one tier and one budget strategy where none
    is among them. Nothing installed is looked for, and no settings file or variable is read.
    """
    chosen, everything = _made_of(plugins, settings)
    return OrchestrationService(chosen, plugins=everything, discover=False, db=db)


def sync_engine(
    *plugins: Plugin, settings: Mapping[str, Any] | None = None, db: str = "none"
) -> SyncOrchestrationService:
    """`engine` for tests without an event loop."""
    chosen, everything = _made_of(plugins, settings)
    return SyncOrchestrationService(chosen, plugins=everything, discover=False, db=db)


def _made_of(plugins: Sequence[Plugin], settings: Mapping[str, Any] | None) -> tuple[Settings, list[Plugin]]:
    kinds = {plugin.kind for plugin in plugins}
    extra: list[Plugin] = []
    extra += [] if "provider" in kinds else [ScriptedProvider()]
    extra += [] if "tier" in kinds else [OnlyTier()]
    extra += [] if "budget" in kinds else [EqualShares()]
    chosen = Settings.load({**PRICES, **(settings or {})}, env={}, file=None)
    return chosen, [*plugins, *extra]


async def run_steps(
    steps: Iterable[Mapping[str, Json]],
    *plugins: Plugin,
    inputs: Mapping[str, Json] | None = None,
    **settings: Any,
) -> RunResult:
    """Run a workflow of these steps with exactly these plugins.

    Example:
        ```python
        result = await run_steps([{"id": "a", "intent": "haiku", "prompt": "rain"}], Haiku())
        ```
    """
    given = dict(inputs or {})
    flow = Workflow.model_validate(
        {"name": "test", "steps": list(steps), "inputs": {name: {"type": "any"} for name in given}}
    )
    async with engine(*plugins, settings=settings) as service:
        return await service.run(flow, given)


def refusal(*, billed: bool = False, retryable: bool = False) -> ProviderError:
    """A provider's error, for scripts."""
    return ProviderError("the provider said no", billed=billed, retryable=retryable)
