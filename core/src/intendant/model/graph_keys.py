"""The keys of a step that shape the graph: maps over items, joins, ways for errors, approvals, waits and tools."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema

from intendant.model.base import MAX_AMOUNT, MAX_USD, Frozen, Json

Gather = Literal["list", "flatten", "merge"]
"""How the outputs of items become one: a list in their order, one list of all elements, or one map."""
OnItemError = Literal["stop", "skip", "keep"]
"""An item failed: no other is started and the step fails; it is left out; or its error stands in its place."""
Join = Literal["all", "any", "done"]
"""What of a step's needs must have run: all; one at least, when the others have ended; or whatever became."""
Effects = Literal["none", "idempotent", "any"]
"""What calls of a tool may change outside: nothing, what may be changed twice, or anything."""
MAX_WAIT_SECONDS = 400 * 86_400
OPERATION = r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_]+$"
"""A connector and its operation."""
MODEL = re.compile(r"^[^/\s]+/\S+$")
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)\s*$")


def seconds_of(value: Json) -> float:
    """Seconds that a duration such as `90`, `90s`, `15m`, `2h`, `3d` or `1w` means.

    Raises:
        ValueError: It is none, or longer than `MAX_WAIT_SECONDS`.
    """
    if isinstance(value, str) and (found := _DURATION.match(value)) is not None:
        value = float(found[1]) * _UNITS[found[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = "a duration is a number of seconds, or text such as 90s, 15m, 2h, 3d or 1w"
        raise ValueError(message)  # noqa: TRY004  # pydantic takes no TypeError
    if not 0 <= value <= MAX_WAIT_SECONDS:
        raise ValueError(f"a duration is from 0 to {MAX_WAIT_SECONDS} seconds")
    return float(value)


def time_of(value: Json) -> float:
    """Seconds since 1970 (UTC) of a time such as `2026-12-24T18:00:00+01:00`; without a zone, that of the system.

    Raises:
        ValueError: It is no such time.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"'{value}' is no time such as 2026-12-24T18:00:00+01:00") from None


Duration = Annotated[float, BeforeValidator(seconds_of)]


class Limits(Frozen):
    """What a run, or a step, may spend at most."""

    tokens: int | None = Field(
        default=None, ge=0, le=MAX_AMOUNT, description="Input and output tokens of all model calls together."
    )
    usd: float | None = Field(
        default=None, ge=0, le=MAX_USD, allow_inf_nan=False, description="US dollars of all model calls together."
    )

    @property
    def micro_usd(self) -> int | None:
        """The limit in millionths of a US dollar."""
        return None if self.usd is None else round(self.usd * 1_000_000)


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


class Approve(Frozen):
    """Asks people before anything of a step happens."""

    ask: str = Field(default="", max_length=5000, description="What they are asked; may have references.")
    by: tuple[str, ...] = Field(default=(), description="Who may decide; anybody where absent.")
    need: Annotated[int, Field(ge=1, le=100)] | Literal["majority", "all"] = Field(
        default=1,
        description="How many have to approve, where one denial denies; or `majority`: more than half of those in "
        "`by`, who are outvoted or not; or `all` of them.",
    )
    within: Duration | None = Field(
        default=None, description="How long they have, such as `2h` or `3d`; without it there is no end."
    )
    otherwise: "Literal['deny', 'approve', 'skip'] | Approve" = Field(
        default="deny",
        description="What holds when that time is over: `deny`, `approve` or `skip`; or whom to ask then.",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, value: Json) -> Json:
        """A single name, or a single question, may stand for itself."""
        if isinstance(value, str):
            return {"ask": value}
        if isinstance(value, dict) and isinstance(value.get("by"), str):
            return {**value, "by": [value["by"]]}
        return value

    @field_validator("otherwise", mode="before")
    @classmethod
    def _no_question(cls, value: Json) -> Json:
        """A question alone asks nobody else."""
        if isinstance(value, str) and value not in ("deny", "approve", "skip"):
            raise ValueError(f"'{value}' is none of deny, approve and skip; or say whom to ask then: {{by: bob}}")
        return value

    @model_validator(mode="after")
    def _enough(self) -> "Approve":
        """As many as are needed can decide, and others are asked only where the time of the first ends."""
        if isinstance(self.need, str) and not self.by:
            raise ValueError(f"`need: {self.need}` needs to know of whom: by: [ann, bob, cid]")
        if self.by and self.wanted > len(set(self.by)):
            known = ", ".join(dict.fromkeys(self.by))
            raise ValueError(f"{self.wanted} have to approve, and fewer may: {known}")
        if isinstance(self.otherwise, Approve) and self.within is None:
            raise ValueError("`otherwise` asks others when the time is over: say how long that is: within: 2d")
        return self

    @property
    def wanted(self) -> int:
        """How many have to approve."""
        if isinstance(self.need, int):
            return self.need
        known = len(set(self.by))
        return known if self.need == "all" else known // 2 + 1

    @property
    def denials(self) -> int | None:
        """How many denials deny; None for one."""
        return len(set(self.by)) - self.wanted + 1 if self.need == "majority" else None

    @property
    def levels(self) -> "tuple[Approve, ...]":
        """The people who are asked first, then those who are asked when that time is over, and so on."""
        return (self, *(self.otherwise.levels if isinstance(self.otherwise, Approve) else ()))


class Wait(Frozen):
    """Lets time pass, or waits until something happens outside; no process stays for it."""

    for_: Json = Field(default=None, alias="for", description="How long, such as `90s`, `2h` or `3d`.")
    until: Json = Field(default=None, description="Until when, such as `2026-12-24T18:00:00+01:00`.")
    event: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Until a signal of this name comes: `intendant signal RUN EVENT`; its payload is the output.",
    )
    within: Duration | None = Field(
        default=None, description="How long a signal may take, such as `2h` or `3d`; without it there is no end."
    )
    otherwise: Literal["fail", "skip", "continue"] = Field(
        default="fail",
        description="What becomes of the step when that time is over; with `continue` its output is null.",
    )

    @model_validator(mode="after")
    def _one_of_all(self) -> "Wait":
        if sum(given is not None for given in (self.for_, self.until, self.event)) != 1:
            raise ValueError("give one of `for`, `until` and `event`")
        if self.for_ is not None and not _is_reference(self.for_):
            seconds_of(self.for_)
        if self.until is not None and not _is_reference(self.until):
            time_of(self.until)
        if self.event is None and self.model_fields_set & {"within", "otherwise"}:
            raise ValueError("`within` and `otherwise` need an `event`")
        return self


class ToolUse(Frozen):
    """An operation that the model of a step may call."""

    uses: str = Field(pattern=OPERATION, description="A connector and its operation, such as `file.read`.")
    name: str = Field(
        default="",
        pattern=r"^([A-Za-z][A-Za-z0-9_]{0,63})?$",
        description="What the model calls it; by default such as `file_read`.",
    )
    description: str = Field(default="", max_length=2000, description="What the model is told of it besides.")
    with_: dict[str, Json] = Field(
        default_factory=dict,
        alias="with",
        description="Parameters that are fixed: the model neither sees nor changes them.",
    )
    give: dict[str, dict[str, Json]] | None = Field(
        default=None,
        description="Parameters that the model gives: a list, or a map to a JSON Schema that narrows each; by "
        "default those that the operation needs.",
    )
    effects: Effects = Field(
        default="none",
        description="What its calls may change outside: `none`, `idempotent` (what may be done twice) or `any`.",
    )
    approve: Approve | None = Field(
        default=None, description="Asks people before each call that changes something outside."
    )

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Json) -> Json:
        """An operation alone may stand for itself."""
        return {"uses": value} if isinstance(value, str) else value

    @field_validator("give", mode="before")
    @classmethod
    def _names_alone(cls, value: Json) -> Json:
        """A list of names narrows none of them."""
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return {name: {} for name in value}
        return value

    @property
    def title(self) -> str:
        """What the model calls it."""
        return self.name or re.sub(r"[^A-Za-z0-9_]", "_", self.uses)

    @property
    def connector(self) -> tuple[str, str]:
        """The connector's name and the operation's."""
        name, _, operation = self.uses.rpartition(".")
        return name, operation

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        """Editors know the short form too."""
        whole = handler.resolve_ref_schema(super().__get_pydantic_json_schema__(schema, handler))
        names: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
        whole["properties"]["give"]["anyOf"].insert(0, names)
        return {"anyOf": [{"type": "string", "pattern": OPERATION}, whole]}


def _is_reference(value: Json) -> bool:
    return isinstance(value, str) and "{{" in value
