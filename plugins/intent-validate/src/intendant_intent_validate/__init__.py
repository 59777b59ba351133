"""Checks data against a JSON Schema and rules. No model is asked."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from intendant.plugin import (
    CompressionPolicy,
    IntentHandler,
    IntentSpec,
    Json,
    Options,
    Schema,
    Step,
    StepError,
    StepRequest,
    StepResult,
    condition_faults,
)
from intendant_intent_validate._checks import NAMES, Checks, Rule, Violation

__all__ = ["Rule", "ValidateHandler", "ValidateParameters"]

PAUSE = 500
"""Records between two looks at whether the step was cancelled."""
SHOWN = 5
"""Violations that an error message shows."""


class ValidateParameters(Options):
    """Parameters of a validation: a schema, rules, or both."""

    schema_: dict[str, Json] | bool | None = Field(None, alias="schema")
    """A JSON Schema (draft 2020-12 unless it says otherwise) for each record, or for the whole input."""
    rules: list[Rule] = Field(default_factory=list)
    values: dict[str, Json] = Field(default_factory=dict)
    """What rules may use as `values.<name>`; the place for references."""
    each: bool | None = None
    """True: the input is a list and each element is checked; by default so if the input is a list."""
    on_fail: Literal["fail", "report", "drop"] = "fail"
    limit: int = Field(100, ge=0)
    """Violations that the output shows; all are counted."""

    @model_validator(mode="after")
    def _something(self) -> "ValidateParameters":
        if self.schema_ is None and not self.rules:
            raise ValueError("nothing to check against: give `schema`, `rules` or both")
        return self


class ValidateHandler(IntentHandler[ValidateParameters]):
    """Checks records against a JSON Schema and rules, and says where each one is wrong."""

    spec = IntentSpec(
        name="validate",
        summary="Check data against a schema and rules",
        examples=(
            "Validate the rows against the schema",
            "Verify that every order has a customer and a positive total",
            "Make sure the totals match",
            "Check that all dates lie in this quarter",
            "Ensure no invoice lacks a number",
            "Confirm the addresses are complete before shipping",
            "Test whether the configuration is well-formed",
        ),
        words=(
            "validate",
            "verify",
            "check",
            "ensure",
            "confirm",
            "assert",
            "schema",
            "rules",
            "valid",
            "conform",
        ),
        tokens=1000,
        compression=CompressionPolicy(strategy="structural", floor=0.85),
        reasoning=6.0,
        output_complexity=6.0,
    )

    def needs_model(self, step: Step) -> bool:  # noqa: ARG002  # the same for each
        """Never."""
        return False

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        if step.uses is not None:
            return ["a validation uses no connector: read in an extract step, and give its output as `input`"]
        found = [] if "input" in step.model_fields_set else ["`input` is missing: what to check"]
        rules = step.with_.get("rules")
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            for name in ("rule", "when"):
                given = rule.get(name) if isinstance(rule, dict) else None
                found += condition_faults(given, NAMES, f"rules[{index}].{name}")
        return found + _schema_faults(step.with_.get("schema"))

    async def handle(self, request: StepRequest[ValidateParameters]) -> StepResult:
        """`valid`, `checked`, `failed`, `total`, `violations`, and the records in `passed` and `rejected`.

        Raises:
            StepError: A record is wrong and `on_fail` is `fail`; the message shows the first faults.
        """
        options = request.parameters
        each = isinstance(request.input, list) if options.each is None else options.each
        if each and not isinstance(request.input, list):
            raise StepError(
                f"`each` asks for a list, and the input is {type(request.input).__name__}",
                hint="leave `each` out to check the input as a whole",
            )
        items = request.input if each else [request.input]
        found = await _violations(items, options, each=each)
        bad = {violation.index or 0 for violation in found if violation.severity == "error"}
        if bad and options.on_fail == "fail":
            raise StepError(
                _message(found, len(bad), len(items)), hint="on_fail: report passes them on, told apart"
            )
        return StepResult(
            output=_output(items, found, bad, options), notes=_notes(found, len(bad), len(items), options)
        )


async def _violations(items: list[Json], options: ValidateParameters, *, each: bool) -> list[Violation]:
    checks = Checks(options.schema_, options.rules, options.values)
    found: list[Violation] = []
    for index, item in enumerate(items):
        if index % PAUSE == 0:
            await asyncio.sleep(0)
        found += [violation async for violation in checks.of(item, index if each else None)]
    return found


def _output(
    items: list[Json], found: list[Violation], bad: set[int], options: ValidateParameters
) -> dict[str, Json]:
    output: dict[str, Json] = {
        "valid": not bad,
        "checked": len(items),
        "failed": len(bad),
        "total": len(found),
        "violations": [violation.json() for violation in found[: options.limit]],
        "passed": [item for index, item in enumerate(items) if index not in bad],
    }
    if options.on_fail == "report":
        output["rejected"] = [items[index] for index in sorted(bad)]
    return output


def _message(found: Sequence[Violation], failed: int, checked: int) -> str:
    errors = [violation for violation in found if violation.severity == "error"]
    shown = "; ".join(
        f"{item.place}{f'{item.path}: ' if item.path else ''}{item.message} ({item.rule})"
        for item in errors[:SHOWN]
    )
    more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    return f"{failed} of {checked} records are not valid: {shown}{more}"


def _notes(found: list[Violation], failed: int, checked: int, options: ValidateParameters) -> tuple[str, ...]:
    dropped = ", and were dropped" if failed and options.on_fail == "drop" else ""
    notes = [f"checked {checked} records, {failed} are not valid{dropped}"]
    warnings = sum(violation.severity == "warning" for violation in found)
    if warnings:
        notes.append(f"{warnings} warnings")
    if len(found) > options.limit:
        notes.append(f"{len(found)} violations, of which the first {options.limit} are shown")
    return tuple(notes)


def _schema_faults(schema: Any) -> list[str]:
    """What is wrong with a schema in which no reference stands."""
    if not isinstance(schema, dict) or "{{" in repr(schema):
        return []
    try:
        Schema(schema)
    except StepError as error:
        return [f"`schema` is wrong: {error.message}"]
    return []
