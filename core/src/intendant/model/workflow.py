"""The workflow file: what a person writes, as models. `docs/workflow-file.md` explains it by example."""

from collections.abc import Mapping
from functools import cached_property
from math import isfinite
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from intendant.model.errors import Problem, WorkflowError
from intendant.model.source import Document, Path, parse

Json = Any
"""A JSON value: None, bool, int, float, str, list of these, dict of str to these."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
InDoubt = Literal["idempotent", "retry", "hold", "fail"]
"""What becomes of a paid call that was in flight when its process died: the same call again under the same key;
another call, the lost one charged; nothing until a person decides; or the step fails."""
InputType = Literal["string", "integer", "number", "boolean", "array", "object", "any"]
MAX_FILE_BYTES = 20_000_000
MAX_AMOUNT = 2**53
"""Tokens; what every database and every JSON reader can hold."""
MAX_USD = 1e9

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


class Frozen(BaseModel):
    """An immutable record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, use_attribute_docstrings=True)


class Input(Frozen):
    """A value the workflow asks for when it starts."""

    type: InputType = Field(default="string", description="Type of the value.")
    default: Json = Field(
        default=None, description="Used where none is given; an input without a default must be given."
    )
    description: str = ""
    choices: tuple[Json, ...] | None = Field(default=None, description="The only values allowed.")

    @model_serializer(mode="wrap")
    def _without_missing_default(self, write: SerializerFunctionWrapHandler) -> dict[str, Json]:
        """No default is not the same as the default null."""
        written: dict[str, Json] = write(self)
        if self.required:
            written.pop("default", None)
        return written

    @property
    def required(self) -> bool:
        """True if the run cannot start without a value."""
        return "default" not in self.model_fields_set

    def accepts(self, value: Json) -> bool:
        """True if *value* has this input's type. A bool is not a number."""
        if self.type == "any":
            return True
        if isinstance(value, bool):
            return self.type == "boolean"
        if isinstance(value, float) and not isfinite(value):
            return False
        return isinstance(value, _PYTHON_TYPES[self.type])

    def read(self, text: str) -> Json:
        """The value that *text*, as typed on a command line, means for this input.

        Raises:
            ValueError: The text does not have this input's type.
        """
        import json

        if self.type == "string":
            return text
        try:
            value = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            if self.type == "any":
                return text
            raise ValueError(f"'{text}' is not of type {self.type}") from None
        if not self.accepts(value):
            raise ValueError(f"'{text}' is not of type {self.type}")
        return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


class Limits(Frozen):
    """What a run may spend at most."""

    tokens: int | None = Field(
        default=None, ge=0, le=MAX_AMOUNT, description="Input and output tokens of all model calls together."
    )
    usd: float | None = Field(
        default=None, ge=0, le=MAX_USD, allow_inf_nan=False, description="US dollars of all model calls together."
    )


class Retry(Frozen):
    """When and how a failed step is tried again."""

    attempts: int = Field(default=3, ge=1, le=20, description="Tries in all, the first included.")
    delay: float = Field(default=1.0, ge=0, le=3600, description="Seconds before the second try.")
    backoff: float = Field(default=2.0, ge=1, le=10, description="Each further wait is this many times as long.")
    jitter: float = Field(default=0.2, ge=0, le=3600, description="Up to this many random seconds are added.")
    on: Literal["transient", "any"] = Field(
        default="transient",
        description="`transient`: time-outs, rate limits, lost connections; `any`: every failure.",
    )


class Step(Frozen):
    """One step of a workflow."""

    id: Name = Field(description="Other steps refer to this: letters, digits and underscores.")
    name: str = Field(default="", max_length=500)
    description: str = ""
    intent: str | None = Field(default=None, description="What the step is for; classified where absent.")
    uses: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_]+$",
        description="A connector and its operation, such as `file.read`.",
    )
    with_: dict[str, Json] = Field(
        default_factory=dict,
        alias="with",
        description="Parameters of the connector's operation, or of the handler.",
    )
    needs: tuple[Name, ...] = Field(
        default=(), description="Steps that must be done first, besides those referred to."
    )
    when: str | None = Field(default=None, description="A CEL condition; the step is skipped where it is false.")
    prompt: str | None = Field(default=None, description="What a model is asked to do.")
    input: Json = Field(default=None, description="What the step works on.")
    output: dict[str, Json] | None = Field(
        default=None, description="JSON Schema that the step's output must match."
    )
    retry: Retry | None = None
    timeout: float | None = Field(
        default=None, gt=0, le=86_400, description="Seconds until an attempt is cancelled."
    )
    critical: bool = Field(default=False, description="Gets a larger share of the budget.")
    in_doubt: InDoubt | None = Field(
        default=None,
        description="What becomes of a model call that was out when its process died: `idempotent`, `retry`, "
        "`hold` or `fail`.",
    )
    cache: float = Field(
        default=0.0,
        ge=0,
        le=365 * 86_400,
        description="Seconds for which a model's answer to the very same request, in whatever run of the tenant, "
        "is used again; 0: never.",
    )
    max_wait: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        validation_alias=AliasChoices("max_wait", "slack"),
        description="Seconds that the step's answers may take; from 60 on they are asked for in a provider's "
        "batch lane, where it has one, at its price.",
    )
    priority: int = Field(
        default=0, ge=-100, le=100, description="Of steps that are ready, the highest starts first."
    )

    @property
    def title(self) -> str:
        """The step's name, or its id where it has none."""
        return self.name or self.id

    @field_validator("when")
    @classmethod
    def _no_braces(cls, value: str | None) -> str | None:
        if value is not None and "{{" in value:
            raise ValueError("a condition is written without braces, such as: steps.fetch.output.size() > 0")
        return value

    @cached_property
    def connector(self) -> tuple[str, str] | None:
        """The connector's name and the operation's, taken from `uses`."""
        if self.uses is None:
            return None
        name, _, operation = self.uses.rpartition(".")
        return name, operation


class Workflow(Frozen):
    r"""A graph of steps, with inputs and a budget.

    Example:
        >>> flow = Workflow.parse("name: hello\nsteps: [{id: greet, intent: generate, prompt: Say hello}]")
        >>> flow.steps[0].intent
        'generate'
    """

    name: str = Field(min_length=1, max_length=200)
    description: str = ""
    agent: str = Field(
        default="default", min_length=1, max_length=200, description="Whose budget and history this counts to."
    )
    inputs: dict[Name, Input] = Field(default_factory=dict)
    budget: Limits = Field(default_factory=Limits)
    steps: tuple[Step, ...] = Field(min_length=1, max_length=20_000)

    _document: Document | None = PrivateAttr(None)

    @classmethod
    def load(cls, path: str | FilePath) -> Self:
        """Read a workflow file; YAML unless it ends in `.json`.

        Raises:
            WorkflowError: The file cannot be read, or is wrong; carries all problems with line and column.
        """
        path = FilePath(path)
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise WorkflowError([Problem(f"the file is larger than {MAX_FILE_BYTES} bytes", file=str(path))])
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise WorkflowError([Problem("there is no such file", file=str(path))]) from None
        except OSError as error:
            raise WorkflowError([Problem(error.strerror or "cannot be read", file=str(path))]) from None
        except UnicodeDecodeError as error:
            problem = Problem(f"byte {error.start} is not UTF-8", "save the file as UTF-8", file=str(path))
            raise WorkflowError([problem]) from None
        return cls.parse(text, file=str(path))

    @classmethod
    def parse(cls, text: str, *, file: str = "") -> Self:
        """Read a workflow from text.

        Args:
            text: YAML, or JSON if *file* ends in `.json`.
            file: The name to show in messages.

        Raises:
            WorkflowError: The text is not a workflow; carries all problems with line and column.
        """
        return cls.from_document(parse(text, file=file))

    @classmethod
    def from_document(cls, document: Document) -> Self:
        """Read a workflow from a parsed document."""
        if not isinstance(document.value, dict):
            raise WorkflowError([document.problem("a workflow is a map with `name` and `steps`")])
        try:
            flow = cls.model_validate(document.value)
        except ValidationError as error:
            raise WorkflowError(_problems(error, document), draft=cls._draft(document, error)) from None
        flow._document = document  # noqa: SLF001  # its own
        return flow

    @classmethod
    def _draft(cls, document: Document, error: ValidationError) -> Self | None:
        """What is left when everything that is wrong is taken out; None if that is no workflow."""
        from copy import deepcopy

        value = deepcopy(document.value)
        for item in error.errors():
            _take_out(value, tuple(part for part in item["loc"] if part != "[key]"))
        try:
            draft = cls.model_validate(value)
        except ValidationError:
            return None
        draft._document = document  # noqa: SLF001
        return draft

    @property
    def document(self) -> Document:
        """The text's positions; an empty document for a workflow made in code."""
        return self._document or Document(None, {})

    @cached_property
    def by_id(self) -> Mapping[str, Step]:
        """The steps by their ids."""
        return {step.id: step for step in self.steps}

    @cached_property
    def order(self) -> Mapping[str, int]:
        """Each step's position in the file."""
        return {step.id: index for index, step in enumerate(self.steps)}


# --- problems ----------------------------------------------------------------------------------------------

_HINTS = {
    "id": "an id has letters, digits and underscores only, such as `fetch_mails`",
    "uses": "write connector.operation, such as `file.read`",
}


def _problems(error: ValidationError, document: Document) -> list[Problem]:
    from difflib import get_close_matches

    problems = []
    for item in error.errors():
        path: Path = tuple(part for part in item["loc"] if part != "[key]")
        message, hint = item["msg"].removeprefix("Value error, "), ""
        if item["type"] == "too_short" and document.value.get("steps"):
            continue  # there are steps, but each of them is wrong, which is told already
        match item["type"]:
            case "extra_forbidden":
                close = get_close_matches(str(path[-1]), _fields_at(path), n=1)
                message = f"'{path[-1]}' is not known here"
                hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(_fields_at(path))}"
            case "missing":
                message = f"'{path[-1]}' is missing"
            case "string_pattern_mismatch":
                message = f"'{item['input']}' is not allowed as {path[-1]}"
                hint = _HINTS.get(str(path[-1]), _HINTS["id"])
            case _:
                message = f"{path[-1]}: {message[:1].lower()}{message[1:]}" if path else message
        problems.append(document.problem(message, path, hint=hint, step=_step_at(path, document)))
    far = 10**9
    return sorted(problems, key=lambda problem: (problem.line or far, problem.column or 0))


def _take_out(value: Any, path: Path) -> None:
    *parents, last = path or ("",)
    for part in parents:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(value, dict):
        value.pop(last, None)


def _step_at(path: Path, document: Document) -> str:
    if len(path) > 1 and path[0] == "steps" and isinstance(path[1], int):
        step = document.value["steps"][path[1]]
        return str(step.get("id", "")) if isinstance(step, dict) else ""
    return ""


def _fields_at(path: Path) -> list[str]:
    """The fields that are known where the unknown one at *path* stands."""
    model: type[BaseModel] = Workflow
    if path[0] == "steps":
        model = Retry if "retry" in path[:-1] else Step
    elif path[0] == "inputs" and len(path) > 1:
        model = Input
    elif path[0] == "budget" and len(path) > 1:
        model = Limits
    return [field.alias or name for name, field in model.model_fields.items()]
