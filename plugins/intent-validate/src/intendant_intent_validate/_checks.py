"""Checks one record against a schema and rules."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from intendant.plugin import Expression, ExpressionFailed, Json, Options, Schema

NAMES = ("item", "index", "values")
PER_RECORD = 20
"""Faults of one record's schema that are reported."""


class Rule(Options):
    """What must be true of each record."""

    name: str = Field(min_length=1)
    rule: str
    """A CEL condition on `item`, `index` and `values`."""
    when: str | None = None
    """The rule applies only if this CEL condition is true."""
    severity: Literal["error", "warning"] = "error"
    message: str = ""
    """The message if the rule is broken; by default the rule itself."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault of one record."""

    index: int | None
    rule: str
    message: str
    severity: str
    path: str | None = None

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return "" if self.index is None else f"record {self.index}: "

    def json(self) -> dict[str, Json]:
        """As output."""
        found = {"index": self.index, "path": self.path, "rule": self.rule, "message": self.message}
        return {**found, "severity": self.severity}


class Checks:
    """A schema and rules, compiled once.

    Raises:
        StepError: The schema or a rule's condition is wrong.
    """

    def __init__(self, schema: dict[str, Json] | bool | None, rules: list[Rule], values: dict[str, Json]) -> None:
        self._schema = (
            None if schema is None else Schema({"allOf": [schema]} if isinstance(schema, bool) else schema)
        )
        self._values = values
        self._rules = [
            (rule, Expression(rule.rule, NAMES), None if rule.when is None else Expression(rule.when, NAMES))
            for rule in rules
        ]

    async def of(self, item: Json, index: int | None) -> AsyncIterator[Violation]:
        """What is wrong with a record; *index* is None where the whole input is one."""
        if self._schema is not None:
            for fault in await self._schema.errors_async(item, PER_RECORD):
                path, _, message = fault.partition(": ")
                yield Violation(index, "schema", message, "error", None if path == "value" else path)
        names = {"item": item, "index": index or 0, "values": self._values}
        for rule, condition, when in self._rules:
            try:
                if when is not None and not await when.test_async(**names):
                    continue
                if await condition.test_async(**names):
                    continue
                message = rule.message or f"`{rule.rule}` is not true"
            except ExpressionFailed as error:
                message = error.message
            yield Violation(index, rule.name, message, rule.severity)
