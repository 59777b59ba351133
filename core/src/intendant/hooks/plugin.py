"""What plugin authors subclass. Each class asks for one method."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from intendant.hooks.specs import hookimpl
from intendant.model.errors import IntendantError, PluginError, SettingsError, StepError
from intendant.model.logs import get_logger
from intendant.model.requests import (
    BudgetRequest,
    ClassifyRequest,
    CompressRequest,
    IntentSpec,
    RouteRequest,
    StepRequest,
)
from intendant.model.results import Allocation, Classification, Compression, Route, StepResult
from intendant.model.workflow import Json, Step

ModelT = TypeVar("ModelT", bound=BaseModel)
AnswerT = TypeVar("AnswerT")
log = get_logger("intendant.plugins")


class Options(BaseModel):
    """Base of plugin settings and of step parameters: immutable, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def first_error(error: ValidationError) -> str:
    """The first of a validation's errors in one line: where, and what."""
    item = error.errors()[0]
    where = ".".join(str(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


class Plugin(ABC):
    """What all plugins share.

    Attributes:
        kind: `intent`, `compress`, `tier`, `budget`, `classify`, `provider` or `connector`.
        name: The entry point's name, which is what users type.
        Settings: The plugin's own settings; `plugins.settings."tier:fast"` in the settings file fills them.
    """

    kind: ClassVar[str]
    name: str
    Settings: ClassVar[type[BaseModel]] = Options

    def __init__(self, settings: Mapping[str, Json] | None = None) -> None:
        try:
            self.settings: Any = self.Settings.model_validate(settings or {})
        except ValidationError as error:
            raise SettingsError(f"settings of {self.kind}:{self.name} are wrong: {first_error(error)}") from None

    def __repr__(self) -> str:
        return f"<{self.kind}:{self.name}>"


def _contained(plugin: Plugin, ask: Callable[[], AnswerT]) -> AnswerT | None:
    """The plugin's answer; a plugin whose own code fails declines, which is logged, and the next one is asked."""
    try:
        return ask()
    except IntendantError:
        raise
    except Exception:
        log.exception("plugin_raised", plugin=f"{plugin.kind}:{plugin.name}")
        return None


class IntentHandler(Plugin):
    """Does the steps of one intent.

    Example:
        ```python
        class Haiku(IntentHandler):
            \"\"\"Answers with a haiku.\"\"\"

            spec = IntentSpec(name="haiku", summary="Write a haiku", examples=("Write a haiku about rain",))

            async def handle(self, request: StepRequest) -> StepResult:
                reply = await request.model.complete(
                    ModelRequest(system="Answer in haiku.", messages=(Message(content=request.prompt),))
                )
                return StepResult(output=reply.text)
        ```
    """

    kind = "intent"
    spec: ClassVar[IntentSpec]
    Parameters: ClassVar[type[BaseModel]] = Options
    """What a step may say under `with` where it uses no connector."""

    @property
    def name(self) -> str:  # type: ignore[override]
        """The intent's name."""
        return self.spec.name

    @abstractmethod
    async def handle(self, request: StepRequest) -> StepResult:
        """Do the step.

        Raises:
            StepError: It cannot be done; the message tells the user why.
        """

    def needs_model(self, step: Step) -> bool:  # noqa: ARG002  # for subclasses
        """False if this step is done without asking a model; it then gets no tokens. By default True."""
        return True

    def check(self, step: Step) -> list[str]:  # noqa: ARG002  # for subclasses
        """What is wrong with *step*, seen before anything runs; empty if nothing is. By default nothing."""
        return []

    def parameters(self, request: StepRequest, model: type[ModelT]) -> ModelT:
        """The step's `with` as *model*.

        Raises:
            StepError: A parameter is missing, unknown or of the wrong type.
        """
        try:
            return model.model_validate(dict(request.parameters))
        except ValidationError as error:
            raise StepError(f"`with` is wrong: {first_error(error)}") from None

    @hookimpl
    def handle_intent(self, request: StepRequest) -> "Awaitable[StepResult] | None":
        """Claims the steps of this handler's intent."""
        return self.handle(request) if request.intent == self.spec.name else None


class Compressor(Plugin):
    """Makes content smaller."""

    kind = "compress"
    lossless: ClassVar[bool] = False
    """True if the original can be had back from the compressed text alone."""

    @abstractmethod
    def shrink(self, request: CompressRequest) -> "Compression | Awaitable[Compression | None] | None":
        """The content made smaller, or None if this is nothing for this compressor."""

    @hookimpl
    def compress(self, request: CompressRequest) -> "Compression | Awaitable[Compression | None] | None":
        """Claims content that this compressor is asked for and has not tried."""
        asked = request.strategy in ("auto", self.name)
        if not asked or self.name in request.tried or (request.lossless_only and not self.lossless):
            return None
        return _contained(self, lambda: self.shrink(request))


class TierSettings(Options):
    """Settings of a tier."""

    max_difficulty: float = 10.0
    """Steps that are harder (0 to 10) go to a stronger tier."""
    model: str | None = None
    """`provider/model`; by default what the first usable provider offers for this tier."""
    max_output_tokens: int = 2048
    temperature: float | None = None


class Tier(Plugin):
    """A class of models of like price and strength."""

    kind = "tier"
    Settings = TierSettings
    rank: ClassVar[float] = 50
    """Cheaper tiers have lower ranks and are asked first."""

    def choose(self, request: RouteRequest) -> Route | None:
        """This tier's model for the step, or None to leave it to another tier."""
        settings: TierSettings = self.settings
        if request.difficulty > settings.max_difficulty and not request.last_resort:
            return None
        for offer in request.offers:
            model = offer.models.get(self.name)
            if settings.model is not None:
                provider, _, model = settings.model.partition("/")
                if provider != offer.provider:
                    continue
            if model:
                return self._to(offer.provider, model, request)
        return None

    def _to(self, provider: str, model: str, request: RouteRequest) -> Route:
        settings: TierSettings = self.settings
        return Route(
            tier=self.name,
            provider=provider,
            model=model,
            max_output_tokens=settings.max_output_tokens,
            temperature=settings.temperature,
            reason=f"difficulty {request.difficulty:.1f} of at most {settings.max_difficulty:g}",
        )

    @hookimpl
    def route(self, request: RouteRequest) -> Route | None:
        """Claims steps that are not too hard for this tier."""
        return None if self.name in request.excluded else _contained(self, lambda: self.choose(request))


class BudgetStrategy(Plugin):
    """Shares a run's tokens among its steps."""

    kind = "budget"
    uses_history: ClassVar[bool] = False
    """True if it wants `request.history`, which costs a look into the database."""

    @abstractmethod
    def allocate(self, request: BudgetRequest) -> Allocation:
        """The shares. Their sum is at most `request.total`, and no line is above its cap."""

    @hookimpl
    def allocate_budget(self, request: BudgetRequest) -> Allocation | None:
        """Answers where this strategy is the configured one."""
        if request.strategy != self.name:
            return None
        try:
            return self.allocate(request)
        except Exception as error:
            message = f"the budget strategy '{self.name}' failed: {type(error).__name__}: {error}"
            raise PluginError(message) from error


class Classifier(Plugin):
    """Tells which intent a step has."""

    kind = "classify"
    asks_model: ClassVar[bool] = False
    """True if it asks a model through `request.model`; its answers are then kept, for all runs."""

    @abstractmethod
    def decide(self, request: ClassifyRequest) -> "Classification | Awaitable[Classification | None] | None":
        """The step's intent, or None if less sure than `request.threshold`."""

    def decide_raw(self, raw: Mapping[str, Json], intents: Iterable[IntentSpec] = ()) -> Classification | None:
        """The best guess for a step as another platform writes it: any map, with whatever keys that platform has.

        By default only maps that are steps of a workflow file are understood; None for all others.

        Args:
            raw: The step.
            intents: What the installed handlers declare.
        """
        try:
            step = Step.model_validate(dict(raw))
        except ValidationError:
            return None
        answer = self.decide(ClassifyRequest(step=step, intents=tuple(intents), threshold=0.0))
        return answer if isinstance(answer, Classification) else None

    @hookimpl
    def classify(self, request: ClassifyRequest) -> "Classification | Awaitable[Classification | None] | None":
        """Asks `decide`."""
        return _contained(self, lambda: self.decide(request))
