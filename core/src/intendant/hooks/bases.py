"""What plugin authors subclass. Each class asks for one method, named by the verb of its kind."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError

from intendant.events import Event
from intendant.hooks.sharing import share
from intendant.model.errors import SettingsError
from intendant.model.fault_words import grouped, kind_of, told_of
from intendant.model.requests import (
    BudgetLine,
    BudgetRequest,
    ClassifyRequest,
    CompressRequest,
    IntentSpec,
    OfferedModel,
    Options,
    ParametersT,
    RouteRequest,
    StepRequest,
)
from intendant.model.results import Allocation, Classification, Compression, Route, StepResult
from intendant.model.workflow import Json, Step
from intendant.model.workflow_problems import real_path

API_VERSION = 1
"""Version of the plugin interface: it changes when a plugin written for the version before would break."""


def first_error(error: ValidationError, given: Any = None) -> str:
    """The first of a validation's errors in one line: where, and what. It shows no value, which may be a secret.

    Args:
        error: What pydantic says.
        given: What was validated, so that names of types do not stand for places in it.
    """
    items = error.errors()
    paths = [real_path(item["loc"], given, missing=item["type"] == "missing") for item in items]
    path, faults = next(iter(grouped(items, paths).items()))
    if faults[0]["type"] == "extra_forbidden":
        return f"'{'.'.join(map(str, path))}' is not known here"
    if faults[0]["type"] == "missing" or not path:
        return told_of(faults, path, kind_of)
    return f"{'.'.join(map(str, path[:-1]))}.{told_of(faults, path, kind_of)}".lstrip(".")


class Plugin(ABC):
    """What all plugins share."""

    kind: ClassVar[str]
    """`intent`, `compress`, `tier`, `budget`, `classify`, `provider`, `connector` or `extension`."""
    name: str
    """The entry point's name, which is what users type."""
    api_version: ClassVar[int] = 1
    """The version of the plugin interface (`API_VERSION`) that it was written for; checked when it is loaded."""
    Settings: ClassVar[type[BaseModel]] = Options
    """The plugin's own settings; `plugins.settings."tier:fast"` in the settings file fills them."""

    def __init__(self, settings: Mapping[str, Json] | None = None) -> None:
        try:
            self.settings: Any = self.Settings.model_validate(settings or {})
        except ValidationError as error:
            raise SettingsError(f"settings of {self.key} are wrong: {first_error(error)}") from None

    @property
    def key(self) -> str:
        """Kind and name, such as `tier:fast`."""
        return f"{self.kind}:{self.name}"

    def __repr__(self) -> str:
        return f"<{self.key}>"


class IntentHandler(Plugin, Generic[ParametersT]):
    """Does the steps of one intent.

    Example:
        ```python
        class HaikuParameters(Options):
            \"\"\"What a step may say under `with`.\"\"\"

            season: str = "spring"


        class Haiku(IntentHandler[HaikuParameters]):
            \"\"\"Answers with a haiku.\"\"\"

            spec = IntentSpec(name="haiku", summary="Write a haiku", examples=("Write a haiku about rain",))

            async def handle(self, request: StepRequest[HaikuParameters]) -> StepResult:
                asked = Message(content=f"{request.prompt} It is {request.parameters.season}.")
                reply = await request.model.complete(ModelRequest(system="Answer in haiku.", messages=(asked,)))
                return StepResult(output=reply.text)
        ```
    """

    kind = "intent"
    spec: ClassVar[IntentSpec]
    Parameters: ClassVar[type[BaseModel]] = Options
    """What a step may say under `with` where it uses no connector; taken from `IntentHandler[…]`."""
    instructions: ClassVar[str] = ""
    """What it says in each model call at least, whatever the step: plans know so which budgets are too small."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Takes `Parameters` from the base class's type argument."""
        super().__init_subclass__(**options)
        for base in cls.__dict__.get("__orig_bases__", ()):
            origin, arguments = get_origin(base), get_args(base)
            named = isinstance(origin, type) and issubclass(origin, IntentHandler) and arguments
            if named and isinstance(arguments[0], type):
                cls.Parameters = arguments[0]

    @property
    def name(self) -> str:  # type: ignore[override]
        """The intent's name."""
        return self.spec.name

    @abstractmethod
    async def handle(self, request: StepRequest[ParametersT]) -> StepResult:
        """Do the step.

        Raises:
            StepError: It cannot be done; the message says why, to a user.
        """

    def needs_model(self, step: Step) -> bool:  # noqa: ARG002  # for subclasses
        """False if this step is done without asking a model; it then gets no tokens. By default True."""
        return True

    def needs_language(self, step: Step) -> bool:
        """True if this step, for which a model is asked, cannot be done by a provider that asks none. By default
        where it has an `output` schema or asks about records in batches.
        """
        return step.output is not None or self.batches(step)

    def batches(self, step: Step) -> bool:  # noqa: ARG002  # for subclasses
        """True if it asks a model about the records of this step in batches (`ask_each`), whose size the step's
        `batch` says. By default False.
        """
        return False

    def flows(self, step: Step) -> bool:  # noqa: ARG002  # for subclasses
        """True if it reads the input of this step through `request.records`, and so takes a reference to records
        that are too many to be held. By default False: it is given a list, as long as that can be held.
        """
        return False

    def check(self, step: Step) -> list[str]:  # noqa: ARG002  # for subclasses
        """What is wrong with *step*, seen before anything runs; empty if nothing is. By default nothing."""
        return []


class Compressor(Plugin):
    """Makes content smaller."""

    kind = "compress"
    lossless: ClassVar[bool] = False
    """True if the original can be had back from the compressed text alone."""

    @abstractmethod
    def compress(self, request: CompressRequest) -> "Compression | Awaitable[Compression | None] | None":
        """The content made smaller, or None if it is nothing for this compressor.

        It is only asked where its name or `auto` is wanted, once for each content, and in the lossless round only
        if it is `lossless`.
        """


class TierSettings(Options):
    """Settings of a tier."""

    max_difficulty: float = Field(default=10.0, ge=0, le=10)
    """Steps of greater difficulty (0 to 10) go to a stronger tier."""
    model: str | None = None
    """`provider/model`; by default the model of the first available provider for this tier."""
    max_output_tokens: int = Field(default=2048, ge=1)
    """The maximum length of an answer, in tokens."""
    temperature: float | None = None


class Tier(Plugin):
    """A class of models of like price and strength."""

    kind = "tier"
    Settings = TierSettings
    rank: ClassVar[float] = 50
    """Cheaper tiers have lower ranks and are asked first."""

    def route(self, request: RouteRequest) -> Route | None:
        """This tier's model for the step, or None to leave it to another tier.

        It is not asked about steps for which the tier was excluded.
        """
        settings: TierSettings = self.settings
        hardest = request.max_difficulties.get(self.name, settings.max_difficulty)
        if request.difficulty > hardest and not request.last_resort:
            return None
        for offer in request.offers:
            model = offer.models.get(self.name) or self.choose(offer.catalogue)
            if settings.model is not None:
                provider, _, model = settings.model.partition("/")
                if provider != offer.provider:
                    continue
            if model:
                return self._to(offer.provider, model, request, hardest)
        return None

    def choose(self, models: Sequence[OfferedModel]) -> str | None:  # noqa: ARG002  # for subclasses
        """This tier's model at a provider that names none for it, out of all that it has; None, the default, where
        none will do. `cheapest` finds one by what it can.
        """
        return None

    def _to(self, provider: str, model: str, request: RouteRequest, hardest: float) -> Route:
        settings: TierSettings = self.settings
        return Route(
            tier=self.name,
            provider=provider,
            model=model,
            max_output_tokens=settings.max_output_tokens,
            temperature=settings.temperature,
            reason=f"difficulty {request.difficulty:.1f} of at most {hardest:g}",
        )


def cheapest(
    models: Iterable[OfferedModel], *, images: bool = False, tools: bool = False, window: int = 0
) -> str | None:
    """The name of the cheapest model that can do what is asked; None if there is none. What costs an unknown price
    comes last, and a window that is not known has room for anything.

    Args:
        models: What a provider has.
        images: It must be able to see pictures.
        tools: It must be able to call tools.
        window: Tokens that it must be able to read and write in one call.
    """
    able = [
        model
        for model in models
        if model.images >= images and model.tools >= tools and (model.window is None or model.window >= window)
    ]
    unknown = float("inf")
    # A call reads about three times what it writes.
    found = min(
        able,
        key=lambda model: (
            unknown if model.input_usd is None else 3 * model.input_usd + (model.output_usd or 0.0),
            model.name,
        ),
        default=None,
    )
    return None if found is None else found.name


class BudgetStrategy(Plugin):
    """Shares a run's tokens among its steps."""

    kind = "budget"
    uses_history: ClassVar[bool] = False
    """True if it wants `request.history`, which costs a database query."""

    @abstractmethod
    def allocate(self, request: BudgetRequest) -> Allocation:
        """The shares. Their sum is at most `request.total`, and no line is above its cap.

        It is only asked where it is the configured strategy.
        """


class WeightedShares(BudgetStrategy):
    """Shares a run's tokens in proportion to weights, as far as the steps' caps allow.

    What a step cannot take because of its cap flows to the others (water-filling), so nothing is stranded.

    Example:
        ```python
        class CostlyFirst(WeightedShares):
            \"\"\"Steps of costly intents get more.\"\"\"

            name = "costly_first"

            def weight(self, line: BudgetLine, request: BudgetRequest) -> float:
                return float(line.baseline)
        ```
    """

    @abstractmethod
    def weight(self, line: BudgetLine, request: BudgetRequest) -> float:
        """The part of one step, beside the others; above 0."""

    def allocate(self, request: BudgetRequest) -> Allocation:
        """The shares; their sum is the smaller of the total and the sum of the caps."""
        tokens = share(
            request.total,
            {line.step_id: self.weight(line, request) for line in request.lines},
            caps={line.step_id: line.cap for line in request.lines},
        )
        return Allocation(
            tokens=tokens, strategy=self.name, unallocated=max(0, request.total) - sum(tokens.values())
        )


class Classifier(Plugin):
    """Tells which intent a step has."""

    kind = "classify"
    asks_model: ClassVar[bool] = False
    """True if it asks a model through `request.model`; its answers are then remembered for all runs."""

    @abstractmethod
    def classify(self, request: ClassifyRequest) -> "Classification | Awaitable[Classification | None] | None":
        """The step's intent, or None if less sure than `request.threshold`."""

    def classify_raw(self, raw: Mapping[str, Json], intents: Iterable[IntentSpec] = ()) -> Classification | None:
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
        answer = self.classify(ClassifyRequest(step=step, intents=tuple(intents), threshold=0.0))
        return answer if isinstance(answer, Classification) else None


class Embedder(Plugin):
    """Gives texts places in a space where those of like meaning are close, so that agents recall what other words
    say. The first that is installed is asked, beside the own ranking; `agents.embedder` names another, or none.
    """

    kind = "embed"
    space: ClassVar[str] = ""
    """Changes whenever places change, such as the name of a model: places of two spaces are never compared."""

    @abstractmethod
    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """The place of each text, all of one length.

        Raises:
            ConnectorError: It failed; with `delivered` False if nothing was charged.
        """

    def cost_of(self, texts: Sequence[str]) -> int:  # noqa: ARG002  # for subclasses
        """What embedding these costs at most, in micro-US$: held before, charged after. By default nothing."""
        return 0


class Extension(Plugin):
    """Adds to the engine without an intent of its own: hook wrappers, an event listener, commands.

    Methods marked with `hookimpl` are registered as they are; with `hookimpl(wrapper=True)` they wrap the answers
    of all other plugins, with `hookimpl(tryfirst=True)` they answer before them.

    Example:
        ```python
        class Timing(Extension):
            \"\"\"Logs how long each step takes.\"\"\"

            name = "timing"

            def on_event(self, event: Event) -> None:
                if event.type == "step_executed":
                    logging.info("%s took %.1f s", event.step_id, event.seconds)

            def commands(self) -> Mapping[str, Callable[..., object]]:
                return {"timing": show_timing}  # `intendant timing`
        ```
    """

    kind = "extension"

    def on_event(self, event: Event) -> None:
        """Called with each event of each run of the engine; must be quick. What it raises is logged."""

    def commands(self) -> Mapping[str, Callable[..., object]]:
        """Commands that it adds to `intendant`, by name: functions with typer's annotations. By default none.

        A name of two words, such as `import n8n`, is a command of a group. Names of Intendant's own commands are
        not taken. An `IntendantError` that one raises is shown as a message, with exit code 2.
        """
        return {}
