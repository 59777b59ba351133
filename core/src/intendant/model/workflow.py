"""The workflow file: what a person writes, as models. `docs/workflow-file.md` explains it by example."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path as FilePath
from typing import Any, Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    GetJsonSchemaHandler,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from intendant.model.base import MAX_AMOUNT, MAX_USD, Frozen, Json, Name
from intendant.model.errors import Problem, ReferenceFailed, WorkflowError
from intendant.model.graph_keys import (
    MODEL,
    OPERATION,
    Approve,
    Gather,
    Join,
    Limits,
    OnItemError,
    Retry,
    ToolUse,
    Wait,
)
from intendant.model.inputs import Input
from intendant.model.placing import Placed, place, size_of
from intendant.model.references import Reference, references_of
from intendant.model.source import Document, Path, parse
from intendant.model.sub_workflows import MAX_STEPS, Callers, embed
from intendant.model.workflow_files import STDIN, standard_input, text_of

__all__ = [
    "MAX_AMOUNT",
    "MAX_USD",
    "Branch",
    "Flow",
    "Frozen",
    "InDoubt",
    "Input",
    "Json",
    "Limits",
    "Loop",
    "OnError",
    "OnFailure",
    "Placed",
    "Retry",
    "Rollback",
    "Step",
    "Workflow",
]

InDoubt = Literal["idempotent", "retry", "hold", "fail"]
"""What becomes of a paid call that was in flight when its process died: the same call again under the same key;
another call, the lost one charged; nothing until a person decides; or the step fails."""
MAX_TURNS = 8
"""Turns of a step with tools that does not say how many it may take."""
ITEM = "item"
"""The name of an item where `as` gives none."""
ON_ERROR = "on_error"
"""Stands in the address of a step that runs because another one failed."""


ROLLBACK = "rollback"
"""Stands in the address of a step that runs to undo what another one has done."""
OnFailure = Literal["keep", "rollback"]
"""What becomes of what completed steps have done where a run fails: it is kept, or undone."""


class Step(Frozen):
    """One step of a workflow."""

    id: Name = Field(description="Other steps refer to this: letters, digits and underscores.")
    name: str = Field(default="", max_length=500)
    description: str = ""
    intent: str | None = Field(default=None, description="What the step is for; classified where absent.")
    uses: str | None = Field(
        default=None,
        pattern=OPERATION,
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

    options: dict[str, Json] = Field(
        default_factory=dict, description="Parameters of the handler, also beside a `uses`."
    )
    budget: Limits | None = Field(default=None, description="What the step may spend, inside the run's budget.")
    tier: str | None = Field(default=None, min_length=1, description="The tier of its model calls.")
    model: str | None = Field(
        default=None, description="The model of its calls, `provider/model`; wins over every other choice."
    )
    max_output_tokens: int | None = Field(
        default=None, ge=1, le=MAX_AMOUNT, description="The longest answer of a call, in tokens."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, description="Of its model calls.")
    batch: int | None = Field(
        default=None, ge=1, le=1000, description="Records of one model call, where its handler asks in batches."
    )
    for_each: Json = Field(
        default=None, description="A list; the step, or its group, is executed once for each item."
    )
    as_: Name | None = Field(default=None, alias="as", description="The name of an item in references; `item`.")
    key: str | None = Field(
        default=None,
        description="What tells an item from others, such as `row.id`; by default its place in the list.",
    )
    concurrency: int | None = Field(default=None, ge=1, le=1000, description="Items at the same time.")
    gather: Gather | None = Field(
        default=None,
        description="What the outputs of the items become: `list`, `flatten` (one list of all their elements) or "
        "`merge` (one map).",
    )
    on_item_error: OnItemError | None = Field(
        default=None,
        description="An item failed: `stop` (the step fails), `skip` it, or `keep` its error in its place.",
    )
    steps: tuple["Step", ...] | None = Field(
        default=None, min_length=1, max_length=1000, description="A group: these steps are one step for others."
    )
    loop: "Loop | None" = Field(default=None, description="Steps that are executed again and again.")
    flow: "Flow | None" = Field(
        default=None, description="The path of a workflow file, whose steps are executed; `with` gives its inputs."
    )
    returns: Json = Field(default=None, description="The output of a group; by default that of its last step.")
    branches: dict[Name, "Branch"] | None = Field(
        default=None, description="What is done in the branch that the step took."
    )
    join: Join = Field(
        default="all",
        description="What of the steps that it needs must have run: `all`, `any` (one of them), or `done` "
        "(whatever became of them).",
    )
    on_error: "Literal['continue'] | OnError | None" = Field(
        default=None,
        description="What is done where the step fails for good: `continue`, or an `output`, or `steps`.",
    )
    rollback: "Rollback | None" = Field(
        default=None,
        description="What undoes the step, if it was completed, where the run fails and its workflow says "
        "`on_failure: rollback`.",
    )
    tools: tuple[ToolUse, ...] = Field(
        default=(),
        max_length=32,
        description="Operations that the model may call, turn by turn, until it answers.",
    )
    max_turns: int | None = Field(
        default=None,
        ge=1,
        le=50,
        description="Of a step with `tools`: model calls at most, that for the answer included.",
    )
    approve: Approve | None = Field(default=None, description="Asks people before anything of the step happens.")
    wait: Wait | None = Field(default=None, description="Lets time pass before the step, or waits for a signal.")

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

    @field_validator("model")
    @classmethod
    def _provider_and_model(cls, value: str | None) -> str | None:
        if value is not None and not MODEL.match(value):
            raise ValueError("write provider/model, such as openai/gpt-5-mini")
        return value

    @model_validator(mode="before")
    @classmethod
    def _item_as_input(cls, value: Json) -> Json:
        """A single step that is executed for each item works on the item, unless it says otherwise."""
        if (
            isinstance(value, dict)
            and "for_each" in value
            and not ({"input", "steps", "loop", "flow"} & value.keys())
        ):
            return {**value, "input": f"{{{{ {value.get('as') or ITEM} }}}}"}
        return value

    @property
    def is_group(self) -> bool:
        """True if it is made of steps of its own."""
        return self.steps is not None

    @property
    def is_composite(self) -> bool:
        """True for a group, a loop or a sub-workflow: others do its work."""
        return self.steps is not None or self.loop is not None or self.flow is not None

    @property
    def is_work(self) -> bool:
        """True if a handler does it; false for groups, and for steps that only wait or ask."""
        if self.is_composite:
            return False
        pauses = self.wait is not None or self.approve is not None
        said = self.intent or self.uses or self.prompt or self.with_ or self.options or self.tools
        return not pauses or bool(said)

    @property
    def is_map(self) -> bool:
        """True if it is executed once for each item of a list."""
        return "for_each" in self.model_fields_set

    @property
    def turns(self) -> int:
        """How many model calls it may make to come to an answer with its tools; 1 where it has none."""
        return (self.max_turns or MAX_TURNS) if self.tools else 1

    @property
    def item_name(self) -> str:
        """The name of an item in references."""
        return self.as_ or ITEM

    @property
    def parameters(self) -> dict[str, Json]:
        """What its handler is given: `options`, and `with` where the step uses no connector."""
        return self.options if self.uses else {**self.with_, **self.options}

    def bodies(self) -> Iterator[tuple[str, tuple["Step", ...], Path]]:
        """The steps within it: what their addresses begin with after its own, the steps, and their place."""
        if self.steps is not None:
            yield "", self.steps, ("steps",)
        if self.loop is not None:
            yield "", self.loop.steps, ("loop", "steps")
        for name, branch in (self.branches or {}).items():
            yield f"{name}/", branch.steps, ("branches", name, "steps")
        if isinstance(self.on_error, OnError) and self.on_error.steps is not None:
            yield f"{ON_ERROR}/", self.on_error.steps, (ON_ERROR, "steps")
        if self.rollback is not None:
            yield f"{ROLLBACK}/", self.rollback.steps, (ROLLBACK, "steps")

    @cached_property
    def connector(self) -> tuple[str, str] | None:
        """The connector's name and the operation's, taken from `uses`."""
        return None if self.uses is None else self.uses.rpartition(".")[::2]

    @cached_property
    def references(self) -> tuple[Reference | tuple[Path, ReferenceFailed], ...]:
        """The references that it makes itself, and what looks like one and is none, with its place in the step."""
        return tuple(references_of(self))


class Branch(Frozen):
    """What is done in one branch."""

    steps: tuple[Step, ...] = Field(min_length=1, max_length=1000)
    returns: Json = Field(default=None, description="The branch's result; by default the last step's output.")


class Loop(Frozen):
    """Steps that are executed again and again, at most `max` times, each time with the state that the time before
    has left.
    """

    state: Json = Field(default=None, description="The state of the first pass; the steps see it as `state`.")
    steps: tuple[Step, ...] = Field(min_length=1, max_length=1000)
    next: Json = Field(description="The state after a pass, such as a reference to one of its steps.")
    while_: str = Field(
        alias="while", description="A CEL condition, tested after each pass on the new state; false ends the loop."
    )
    max: int = Field(ge=1, le=1000, description="Passes at most.")


class Flow(Frozen):
    """A workflow that is a step of another one; written as the path of its file."""

    file: str
    """As it is written, relative to the file that names it."""
    workflow: "Workflow"

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        """What is written."""
        return {"type": "string", "minLength": 1}


class Rollback(Frozen):
    """What undoes a step."""

    steps: tuple[Step, ...] = Field(min_length=1, max_length=1000)


class OnError(Frozen):
    """What is done where a step fails for good: an output in its place, or steps, of which the last gives it."""

    output: Json = None
    steps: tuple[Step, ...] | None = Field(default=None, min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _one_of_both(self) -> "OnError":
        if ("output" in self.model_fields_set) == (self.steps is not None):
            raise ValueError("give either `output` or `steps`, or write `on_error: continue`")
        return self


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
    finally_: tuple[Step, ...] = Field(
        default=(), alias="finally", max_length=1000, description="Steps that run at the end, whatever happened."
    )
    on_failure: OnFailure = Field(
        default="keep",
        description="What becomes of what completed steps have done where the run fails: `keep`, or `rollback`.",
    )
    returns: dict[str, Json] | None = Field(
        default=None, description="What the run gives back: names and references."
    )
    defaults: dict[str, Json] = Field(default_factory=dict, description="Keys of steps that hold for all of them.")

    _document: Document | None = PrivateAttr(None)

    @classmethod
    def load(cls, path: str | FilePath) -> Self:
        """Read a workflow file; YAML unless it ends in `.json`. `-` stands for standard input.

        Raises:
            WorkflowError: The file cannot be read, or is wrong; carries all problems with line and column.
        """
        path = FilePath(path)
        if str(path) == "-":
            return cls.parse(standard_input(), file=STDIN)
        return cls.parse(text_of(path), file=str(path))

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
    def from_document(cls, document: Document, callers: Callers | None = None) -> Self:
        """Read a workflow from a parsed document.

        Args:
            document: The document.
            callers: The files on the way to it, where it is part of another workflow.

        Raises:
            WorkflowError: It is not a workflow, or one that it is made of is not; carries all problems.
        """
        if not isinstance(document.value, dict):
            raise WorkflowError([document.problem("a workflow is a map with `name` and `steps`")])
        value = prepared(document)
        wrong, unread = embed(value, document, Callers.of(document) if callers is None else callers)
        try:
            flow = cls.model_validate(value)
        except ValidationError as error:
            wrong += problems_of(error, document)
            raise WorkflowError(wrong, draft=draft_of(cls, value, document, unread, error)) from None
        flow._document = document  # noqa: SLF001  # its own
        if not wrong and flow.size > MAX_STEPS:
            message = f"it has {flow.size} steps with its sub-workflows, more than {MAX_STEPS}"
            wrong.append(document.problem(message))
        if wrong:
            raise WorkflowError(wrong, draft=draft_of(cls, value, document, unread))
        return flow

    @property
    def document(self) -> Document:
        """The text's positions; an empty document for a workflow made in code."""
        return self._document or Document(None, {})

    @property
    def folder(self) -> str:
        """The folder of its file, where relative paths are looked for first; empty for one without a file."""
        file = self.document.file
        return str(FilePath(file).resolve().parent) if file and file != STDIN and FilePath(file).is_file() else ""

    @cached_property
    def by_id(self) -> Mapping[str, Step]:
        """The steps by their ids, those of `finally` included."""
        return {step.id: step for step in (*self.steps, *self.finally_)}

    @cached_property
    def order(self) -> Mapping[str, int]:
        """Each step's position in the file."""
        return {step.id: index for index, step in enumerate((*self.steps, *self.finally_))}

    @cached_property
    def size(self) -> int:
        """How many steps it has, those of its sub-workflows included each time that they are used."""
        return size_of(self)

    def problem(self, placed: Placed, message: str, path: Path = (), *, hint: str = "") -> Problem:
        """A problem of a step, which may be one of a sub-workflow, at *path* in it."""
        document = (self if placed.inside is None else placed.inside).document
        step = step_at(placed.path, document) or placed.step.id  # as it is written
        return document.problem(message, (*placed.path, *path), hint=hint, step=step)

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """All steps in the order of the file, those within others after them."""
        found: list[Placed] = []
        place(found, "", self.steps, ("steps",), None)
        place(found, "", self.finally_, ("finally",), None, last=True)
        return tuple(found)

    @cached_property
    def by_key(self) -> Mapping[str, Placed]:
        """All steps by their paths in the graph."""
        return {placed.key: placed for placed in self.placed}

    @cached_property
    def work(self) -> tuple[Step, ...]:
        """All steps that a handler does; the id of one within others is its path in the graph."""
        return tuple(
            placed.step if placed.outer is None else placed.step.model_copy(update={"id": placed.key})
            for placed in self.placed
            if placed.step.is_work
        )


# Last, as these functions look at the models.
from intendant.model.partial_workflows import draft_of  # noqa: E402
from intendant.model.workflow_problems import prepared, problems_of, step_at  # noqa: E402
