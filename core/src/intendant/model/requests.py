"""What the five questions carry: one frozen request each, so that new facts arrive as optional fields."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, get_args, get_origin, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, field_validator, model_validator
from typing_extensions import TypeVar

from intendant.model.described import Described
from intendant.model.record_access import ListRecords, Records
from intendant.model.results import Compression, ModelReply, Route, ToolCall
from intendant.model.workflow import Frozen, Json, Step


class Options(Described):
    """Base of plugin settings and of step parameters: immutable, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_a_word_too(cls, given: Any) -> Any:
        """Reads null as the choice `"null"` where a field has one: it is written without quotation marks."""
        if not isinstance(given, Mapping) or not any(value is None for value in given.values()):
            return given
        fields = {name: field for one, field in cls.model_fields.items() for name in {one, field.alias or one}}
        words = {name for name, field in fields.items() if _has_null_as_a_word(field.annotation)}
        return {name: "null" if value is None and name in words else value for name, value in given.items()}


def _has_null_as_a_word(kind: Any) -> bool:
    """Whether a field may be the text `null`, and may not be null itself."""
    inner = [kind] if get_origin(kind) is Literal else list(get_args(kind))
    words = [value for one in inner if get_origin(one) is Literal for value in get_args(one)]
    return "null" in words and type(None) not in inner and None not in words


ParametersT = TypeVar("ParametersT", bound=BaseModel, default=Options)
"""The parameters of a handler's steps."""
ParametersT_co = TypeVar("ParametersT_co", bound=BaseModel, default=Options, covariant=True)
"""The same where it is only read: a request with special parameters is a request."""


class CompressionPolicy(Frozen):
    """How far an intent's input may be compressed."""

    target: float = Field(default=1.0, gt=0, le=1)
    """Target size as a share of the content's tokens, used even where the budget has room. 1: content is
    compressed only as far as the budget requires."""
    protect: tuple[str, ...] = ()
    """Regular expressions: what they match (a field's name, an order number) is kept, with the line, row or value
    it stands in. A compression that loses a match is rejected."""
    expansions: int = Field(default=0, ge=0, le=5)
    """How often the model may ask for parts of what was left out. Budget is reserved for that; 0 uses all of it
    for the first answer. Only for providers whose models support tools."""

    abstractive: bool = False
    """Where selecting loses too much, a model of the cheapest tier may rewrite the content. The cost comes out of
    the step's budget and counts against the savings; the result must reach the floor too."""

    @field_validator("protect")
    @classmethod
    def _are_expressions(cls, expressions: tuple[str, ...]) -> tuple[str, ...]:
        for expression in expressions:
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(f"{expression!r} is no regular expression: {error}") from None
        return expressions

    strategy: str = "auto"
    """A compressor's name; `auto`: lossless ones first, then the others, until the content fits; `none`: never."""
    floor: float = Field(default=0.8, ge=0, le=1)
    """Expected share of critical facts that must survive; a compression below it is rejected."""
    risk: float | None = Field(default=None, gt=0, lt=1)
    """Share of documents that may fall below `floor`. With it the floor holds for new documents of the kinds that
    it was calibrated on, not just on average. None: the floor applies to the expected value of each document."""


class MemoryContext(Frozen):
    """What is known before a run begins: of the person it is for, and of earlier runs."""

    profile: str = ""
    """Who it is for, and what they want."""
    runs: tuple[str, ...] = ()
    """What earlier runs came to, the newest first."""
    notes: tuple[str, ...] = ()
    """What else is known."""


MemoryKind = Literal["profile", "run", "note", "pattern"]


class MemoryEntry(Frozen):
    """Something that an agent remembers."""

    id: int
    """Its number; no other memory ever gets it."""
    kind: MemoryKind
    """`profile`: who the agent works for, and what they want; `run`: what an earlier run came to; `note`: what was
    said; `pattern`: what several runs have in common."""
    text: str
    importance: int = Field(ge=1, le=10)
    evidence: tuple[str, ...] = ()
    """The runs that it is drawn from."""
    source: Literal["person", "host", "run"] = "person"
    created_at: float
    """Seconds since 1970."""
    used_at: float | None = None
    """When a run was told of it last."""
    uses: int = 0
    """How many runs were told of it."""


class IntentSpec(Frozen):
    """What a handler declares of its intent; classifier, budget strategies and routing read it.

    Args of note:
        examples: Five or more steps in a user's words; they teach the classifier and are what the contract
            kit tries.
        words: Verbs and nouns that speak for this intent.
        tokens: Baseline budget of one step, in tokens, where a model is needed.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    summary: str
    examples: tuple[str, ...] = Field(min_length=1)
    words: tuple[str, ...] = ()
    tokens: int = Field(default=1000, ge=0)
    compression: CompressionPolicy = CompressionPolicy()
    reasoning: float = Field(default=3.0, ge=0, le=10)
    """How much thought a typical step takes; counts towards its difficulty."""
    output_complexity: float = Field(default=4.0, ge=0, le=10)
    """How intricate a typical answer is; counts towards its difficulty."""
    tier_bias: float = Field(default=0.0, ge=-10, le=10)
    """Added to a step's difficulty (0 to 10) when it is routed."""
    side_effects: bool = False
    """True if doing the step changes something outside the run."""
    memory: bool = False
    """True if its calls are told what is known before the run (`MemoryContext`)."""
    delivers: bool = False
    """Whether its steps deliver their `input`: one without is an error where the operation needs one."""
    reads_only: bool = False
    """Whether its steps use only operations that change nothing outside; others are an error."""
    connects: bool = True
    """Whether a step of it may use a connector; one that does is else an error, and not taken for it."""


class Operation(Frozen):
    """What a connector can do under one name."""

    name: str
    summary: str
    side_effects: bool
    idempotent: bool = False
    """True if doing it twice leaves the same state as doing it once."""
    varies: bool = False
    """True if it may change less, depending on its parameters."""
    parameters: dict[str, Json] = Field(default_factory=dict)
    """JSON Schema of its parameters."""


class ClassifyRequest(Frozen):
    """Which intent has this step?"""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    step: Step
    intents: tuple[IntentSpec, ...]
    """The installed ones."""
    threshold: float = 0.7
    """A classifier that is less sure than this declines; 0 asks for the best guess."""
    goal: str = ""
    """What the whole workflow is for."""
    feeds_from: tuple[Step, ...] = ()
    feeds_into: tuple[Step, ...] = ()
    operation: Operation | None = None
    """The connector's operation that the step's `uses` names, if it is installed."""
    model: SkipValidation[Any] = Field(default=None, repr=False)
    """A `ModelClient` with a budget of its own, where classifiers may ask a model; None where they may not."""


class BudgetLine(Frozen):
    """One step as a budget strategy sees it."""

    step_id: str
    intent: str
    baseline: int
    """Tokens that a step of this intent takes by its `IntentSpec`."""
    critical: bool = False
    confidence: float = 1.0
    cap: int = Field(default=4000, ge=0)


class BudgetRequest(Frozen):
    """How is this run's budget shared?"""

    total: int
    """Tokens to share."""
    lines: tuple[BudgetLine, ...]
    strategy: str = "proportional"
    """The configured strategy; the others decline."""
    critical_factor: float = 1.5
    """A critical step counts this many times."""
    agent: str = "default"
    history: Mapping[str, tuple[int, ...]] = Field(default_factory=dict)
    """Tokens that steps of an intent took in past runs of this agent, newest first."""


class CompressRequest(Frozen):
    """Can this be made smaller?"""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    text: str
    tokens: int
    """Tokens of `text`."""
    target_tokens: int
    """What should be reached."""
    count: SkipValidation[Any] = Field(repr=False)
    """Counts tokens of a text: `request.count(text) -> int`."""
    strategy: str = "auto"
    lossless_only: bool = False
    tried: tuple[str, ...] = ()
    """Compressors that were asked before about this content."""
    query: str = ""
    """What the step wants to know of the content."""
    intent: str = ""
    kind: str = "text"
    """What sort of content it is; see `kind_of`."""
    protect: tuple[str, ...] = ()
    """Regular expressions: units in which they match are kept."""
    context: tuple[tuple[str, str], ...] = Field(default=(), repr=False)
    """What stands in the same prompt already, by names that the prompt gives it; may be referred to."""
    model: SkipValidation[Any] = Field(default=None, repr=False)
    """A `ModelClient` where a model may be asked to rewrite the text; None where only selecting is allowed."""
    dense: bool = False
    """Forms that need decoding by the reader are welcome too: values split into prefixes and references."""


class OfferedModel(Frozen):
    """What is known of a model before it is asked."""

    name: str
    input_usd: float | None = None
    """US$ for a million input tokens, at the lowest rate; None if the price is not known."""
    output_usd: float | None = None
    """US$ for a million output tokens."""
    window: int | None = None
    """Tokens that it reads and writes at most in one call; None if that is not known."""
    images: bool = False
    """True if it can be shown pictures."""
    tools: bool = False
    """True if it can be offered tools."""


class ModelOffer(Frozen):
    """A provider that can be used now, and the models it has for the tiers."""

    provider: str
    models: Mapping[str, str]
    """Model by tier name."""
    catalogue: tuple[OfferedModel, ...] = ()
    """All models that it can be asked for, for tiers that it names none for."""
    charges: bool = True
    """False if it computes its answers without a language model."""


class RouteRequest(Frozen):
    """Which tier does this step?"""

    step_id: str
    intent: str
    difficulty: float = Field(ge=0, le=10)
    """How hard the step is, tier bias of the intent and what is known of the agent included."""
    factors: Mapping[str, float] = Field(default_factory=dict)
    """What the difficulty is made of."""
    offers: tuple[ModelOffer, ...]
    """The usable providers, preferred first."""
    tokens: int = 0
    """The step's allocation."""
    excluded: tuple[str, ...] = ()
    """Tiers that were tried and failed."""
    last_resort: bool = False
    """True if every tier declined; then any tier that has a model answers."""
    max_difficulties: Mapping[str, float] = Field(default_factory=dict)
    """Up to which difficulty tiers take steps, by tier, where `routing.tiers` says otherwise than their own."""
    intensity: float | None = None
    """The combined intensity of the run's agent, 0 to 10; part of `difficulty` already. None without data."""


class Image(Frozen):
    """A picture that a model is shown."""

    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: str = Field(repr=False)
    """The file, in base 64."""


class PromptReuse(Frozen):
    """What later calls will send again, so that the provider may keep it: they begin with the same bytes."""

    messages: int = Field(default=0, ge=0)
    """The turns, from the first, that they begin with; 0: with the system text and the tools only."""
    calls: int = Field(default=1, ge=1)
    """How many later calls are expected, none of them more than about `seconds` after the one before."""
    seconds: float = Field(default=5.0, ge=0)
    """The time expected until the next call."""


class CacheMark(Frozen):
    """Asks the provider to keep a prompt's beginning. The gateway sets these where prices make it pay."""

    messages: int = Field(ge=0)
    """How many turns belong to it; 0: the system text and the tools only."""
    ttl: Literal["5m", "1h"] = "5m"
    """For how long. Providers keep it for longer rather than shorter."""


class Message(Frozen):
    """One turn of a conversation with a model."""

    role: Literal["user", "assistant", "tool"] = "user"
    content: str
    images: tuple[Image, ...] = Field(default=(), repr=False)
    """Of a user's turn: shown before the text. For providers with `Provider.images`."""
    calls: tuple[ToolCall, ...] = ()
    """Of an assistant's turn: the tools it called, all of which `tool` turns answer next."""
    answers: str = ""
    """Of a `tool` turn: the id of the call whose result this is."""
    raw: Json = Field(default=None, repr=False)
    """Of an assistant's turn: `ModelReply.raw`, which the provider sends back as it was."""


class Tool(Frozen):
    """Something that a model may ask for instead of answering."""

    name: str
    description: str
    parameters: dict[str, Json]
    """JSON Schema of an object."""


class ModelRequest(Frozen):
    """What a model is asked."""

    messages: tuple[Message, ...] = Field(min_length=1)
    system: str = ""
    max_output_tokens: int | None = Field(default=None, ge=1)
    """The longest answer that is wanted. The gateway adds what the model is given to think, and clamps the sum to
    what the tier and the budget admit."""
    temperature: float | None = None
    json_schema: dict[str, Json] | None = Field(default=None, repr=False)
    """Asks for an answer of this shape."""
    tools: tuple[Tool, ...] = ()
    """What the model may ask for; for providers with `Provider.tools`."""
    tool_choice: Literal["auto", "none"] = "auto"
    """`none`: the model has to answer now."""
    reuse: PromptReuse | None = None
    """What later calls will send again; the gateway decides from it what the provider is asked to keep."""
    cache_marks: tuple[CacheMark, ...] = Field(default=(), max_length=4)
    """What the provider is asked to keep, longest last; set by the gateway unless given."""
    source: Json = None
    """The data the call is about, for providers that compute answers without a language model."""
    task: str = ""
    """`summarize`, `generate` or another word for what is asked, for providers that compute answers without a
    language model.
    """


@runtime_checkable
class ModelClient(Protocol):
    """The door to a model that a handler is given. Every call is counted, reserved, paid and recorded."""

    @property
    def route(self) -> Route | None:
        """Which model is behind the door; None if no provider can be used."""

    @property
    def tokens_left(self) -> int | None:
        """Tokens that the step may still spend; None if it has no limit."""

    @property
    def tokens_total(self) -> int | None:
        """Tokens that the step may spend in all, what it has spent included; None if it has no limit. Unlike
        `tokens_left` it is the same for an attempt that repeats what a process that died has done.
        """

    @property
    def context_window(self) -> int | None:
        """Tokens that the model reads and writes at most in one call; None if that is not known."""

    def count(self, text: str) -> int:
        """Tokens of *text* for that model, counted from above where they cannot be known."""

    def stronger(self) -> "ModelClient | None":
        """A client of the next stronger tier, with the same budget, for answers that do not fit; None if there is
        none.
        """

    def complete(
        self, request: ModelRequest, on_text: Callable[[str], object] | None = None
    ) -> Awaitable[ModelReply]:
        """Ask the model. What does not fit the budget is sent with a shorter answer, a shorter input or to a
        cheaper model, as far as that helps; the journal says so.

        Args:
            request: What it is asked.
            on_text: Told of the answer piece by piece, while it is written. Once a piece was shown the call is not
                tried again.

        Raises:
            BudgetExceeded: The budget does not admit the call; nothing was sent.
            ProviderError: The provider refused or broke off.
        """

    def fit(
        self,
        content: Json,
        *,
        query: str = "",
        share: float = 0.75,
        overhead: str = "",
        context: Sequence[tuple[str, str]] = (),
        room: int | None = None,
    ) -> Awaitable[Compression]:
        """Write *content* as text, compressed as far as the step's budget and policy ask, and no further.

        Args:
            content: Text, or JSON data.
            query: What the step wants to know of it.
            share: The part of the tokens left that the text may take; the rest is for the answer.
            overhead: What else will stand in the prompt.
            context: Names and texts that stand in the prompt before it, to which repeated lines may refer.
            room: Tokens that the text may take, instead of a share of what is left: an attempt that repeats
                another asks the same then, and is answered from the record.
        """


class UseConnector(Protocol):
    """Does the operation that a step's `uses` names."""

    def __call__(self, value: Json = None, parameters: Mapping[str, Json] | None = None) -> Awaitable[Json]:
        """Do the operation on *value*; returns what the connector returns.

        *parameters* take the place of those of the step's `with`, or are added to them, by dotted paths such as
        `query.id`.

        Each call in a step is a delivery of its own, in the order of the calls: a retried step does not repeat
        those that were delivered.

        Raises:
            ConnectorError: It failed, or an earlier attempt may have delivered it already.
            StepError: The step has no `uses`.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRequest(Generic[ParametersT_co]):
    """Do this step."""

    run_id: str
    step: Step
    intent: str
    parameters: ParametersT_co
    """The step's `options`, or its `with` where it uses no connector, as the handler's `Parameters`."""
    model: ModelClient = field(repr=False)
    """The only way to a model; every call is counted, held, charged and recorded."""
    use_connector: UseConnector = field(repr=False)
    """`await request.use_connector(value)` does the operation that the step's `uses` names."""
    input: Json = None
    """The step's input with all references resolved."""
    prompt: str = ""
    """The step's prompt with all references resolved."""
    idempotency_key: str = ""
    """The same for each attempt at the step of a run; hand it on to whatever can recognise a repetition."""
    records: Records = field(default_factory=ListRecords, repr=False)
    """Reads the input and writes the output batch by batch, for handlers that declare `flows`."""
