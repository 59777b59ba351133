"""Checks data: against a JSON Schema and rules, without a model, or by a prompt that a model judges by."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from intendant.plugin import (
    ANSWER_RULES,
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
    ask_each,
    condition_faults,
    prompt_clash,
)
from intendant_intent_validate._checks import NAMES, Checks, Rule, Violation
from intendant_intent_validate._tables import (
    Freshness,
    Reference,
    Repair,
    dangling,
    duplicates,
    repaired,
    stale,
)

__all__ = ["Freshness", "Reference", "Repair", "Rule", "ValidateHandler", "ValidateParameters"]

OPTIONS = ("schema", "rules", "unique", "references", "fresh", "repair")
"""Parameters that check without a model."""
SYSTEM = (
    "You judge records: whether what is asked is true of each. Give the reason in one sentence, and as `quote` "
    "the words of the record that show it, exactly as they stand there; empty where none do."
)
JUDGEMENT: dict[str, Json] = {
    "valid": {"type": ["boolean", "null"]},
    "reason": {"type": "string"},
    "quote": {"type": "string"},
}
PAUSE = 500
"""Records between two looks at whether the step was cancelled."""
SHOWN = 5
"""Violations that an error message shows."""


class ValidateParameters(Options):
    """What to check: a schema, rules, or both."""

    schema_: dict[str, Json] | bool | None = Field(None, alias="schema")
    """A JSON Schema for each record, or for the whole input; draft 2020-12 unless it declares another."""
    rules: list[Rule] = Field(default_factory=list)
    unique: list[str | list[str]] = Field(default_factory=list)
    """Fields, or combinations of fields (lists), whose values must be unique."""
    references: list[Reference] = Field(default_factory=list)
    """Fields whose values must occur in other lists."""
    fresh: Freshness | None = None
    """How old the newest record may be."""
    repair: Repair | None = None
    """Repairs that are made before the checks."""
    values: dict[str, Json] = Field(default_factory=dict)
    """Values that the rules may use as `values.<name>`; put references here."""
    each: bool | None = None
    """Whether each element of the input is checked, or the input as a whole; by default true if the input is a
    list."""
    on_fail: Literal["fail", "report", "drop"] | None = None
    """What to do if a record is invalid; by default `fail`, and with a prompt `report`."""
    limit: int = Field(100, ge=0)
    """Maximum number of violations in the output; all are counted."""


class ValidateHandler(IntentHandler[ValidateParameters]):
    """Checks records against a JSON Schema and rules, and says where each one is wrong.

    With a `prompt` and neither of them, a model judges each record, with a reason and a quote.
    """

    instructions = f"{SYSTEM} {ANSWER_RULES}"
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
        connects=False,
    )

    def needs_model(self, step: Step) -> bool:
        """True where a prompt alone says what to check."""
        return step.prompt is not None and not any(name in step.parameters for name in OPTIONS)

    def batches(self, step: Step) -> bool:
        """True where a model is asked, about the records of each call."""
        return self.needs_model(step)

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        found = [] if "input" in step.model_fields_set else ["`input` is missing: what to check"]
        if step.prompt is None and not any(step.parameters.get(name) not in (None, []) for name in OPTIONS):
            found.append("nothing to check against: give `schema`, `rules` or both, or a `prompt` for a model")
        found += prompt_clash(step.parameters, step.prompt, OPTIONS)
        rules = step.parameters.get("rules")
        for index, rule in enumerate(rules if isinstance(rules, list) else []):
            for name in ("rule", "when"):
                given = rule.get(name) if isinstance(rule, dict) else None
                found += condition_faults(given, NAMES, f"rules[{index}].{name}")
        return found + _schema_faults(step.parameters.get("schema"))

    async def handle(self, request: StepRequest[ValidateParameters]) -> StepResult:
        """`valid`, `checked`, `failed`, `total`, `violations`, and the records in `passed` and `rejected`; with
        `on_fail: report` the reasons of each in `report`.

        Raises:
            StepError: A record is wrong and `on_fail` is `fail`; the message shows the first faults.
            BudgetExceeded: The budget does not admit asking a model.
            ProviderError: The provider refused or broke off, or none can be used.
        """
        options = request.parameters
        each = isinstance(request.input, list) if options.each is None else options.each
        if each and not isinstance(request.input, list):
            raise StepError(
                f"`each` asks for a list, and the input is {type(request.input).__name__}",
                hint="leave `each` out to check the input as a whole",
            )
        items = request.input if each else [request.input]
        asks = self.needs_model(request.step)
        policy = options.on_fail or ("report" if asks else "fail")
        judged: tuple[str, ...] = ()
        if asks:
            found, judged = await _judged(request, items, each=each)
        else:
            items, found, judged = await _checked(items, options, each=each)
        wrong = [violation for violation in found if violation.severity == "error"]
        bad = {violation.index or 0 for violation in wrong if violation.index is not None or not each}
        if wrong and policy == "fail":
            raise StepError(
                _message(found, len(bad), len(items)), hint="on_fail: report passes them on, told apart"
            )
        # What is wrong with the list as a whole is no fault of one record.
        of_list = [
            f"the list is not valid: {one.path}: {one.message}" for one in wrong if one.index is None and each
        ]
        return StepResult(
            output=_output(items, found, bad, options.limit, policy, each=each),
            notes=(*_notes(found, len(bad), len(items), options.limit, policy), *of_list, *judged),
        )


async def _judged(
    request: StepRequest[ValidateParameters], items: list[Json], *, each: bool
) -> tuple[list[Violation], tuple[str, ...]]:
    """What a model finds wrong; where it cannot tell, that is a warning."""
    if not items:
        return [], ("there were no records; no model was asked",)
    task = f"Is this true of each item? {request.prompt}\n`valid` is null where the item does not tell."
    answers = await ask_each(request, items, system=SYSTEM, task=task, properties=JUDGEMENT)
    found: list[Violation] = []
    for index, answer in enumerate(answers.values):
        place = index if each else None
        if answer is None or answer["valid"] is None:
            reason = "the model did not answer" if answer is None else answer["reason"]
            found.append(Violation(place, "prompt", f"cannot be told: {reason}", "warning"))
        elif not answer["valid"]:
            quote = str(answer["quote"]).strip()
            there = quote and quote in _words(items[index])
            shown = f" ('{quote}')" if there else " (no words of the record show it)"
            found.append(Violation(place, "prompt", f"{answer['reason']}{shown}", "error"))
    return found, answers.notes


def _words(value: Json) -> str:
    """All text of a record."""
    if isinstance(value, dict):
        return "\n".join(map(_words, value.values()))
    return "\n".join(map(_words, value)) if isinstance(value, list) else str(value)


async def _checked(
    items: list[Json], options: ValidateParameters, *, each: bool
) -> tuple[list[Json], list[Violation], tuple[str, ...]]:
    """The records as they were put right, what is wrong with them, and what was changed."""
    notes: list[str] = []
    found: list[Violation] = []
    if options.repair is not None:
        items, found, notes = repaired(items, options.repair)
        found = found if each else [replace(violation, index=None) for violation in found]
    found += await _violations(items, options, each=each)
    if each:
        for names in options.unique:
            found += duplicates(items, names)
        for reference in options.references:
            found += dangling(items, reference)
        if options.fresh is not None:
            found += stale(items, options.fresh)
    elif options.unique or options.references or options.fresh is not None:
        raise StepError("`unique`, `references` and `fresh` are about a list of records", hint="leave `each` out")
    return items, sorted(found, key=lambda violation: violation.index or 0), tuple(notes)


async def _violations(items: list[Json], options: ValidateParameters, *, each: bool) -> list[Violation]:
    checks = Checks(options.schema_, options.rules, options.values)
    found: list[Violation] = []
    for index, item in enumerate(items):
        if index % PAUSE == 0:
            await asyncio.sleep(0)
        found += [violation async for violation in checks.of(item, index if each else None)]
    return found


def _output(
    items: list[Json], found: list[Violation], bad: set[int], limit: int, policy: str, *, each: bool
) -> dict[str, Json]:
    output: dict[str, Json] = {
        "valid": not any(violation.severity == "error" for violation in found),
        "checked": len(items),
        "failed": len(bad),
        "total": len(found),
        "violations": [violation.json() for violation in found[:limit]],
        "passed": [item for index, item in enumerate(items) if index not in bad],
    }
    if policy == "report":
        output["rejected"] = [items[index] for index in sorted(bad)]
        about = [violation for violation in found if violation.index is not None or not each]
        output["report"] = _report(items, about, sorted(bad)[:limit])
    return output


def _report(items: list[Json], found: list[Violation], bad: Sequence[int]) -> list[Json]:
    """Each rejected record, where it was, and all reasons."""
    reasons: dict[int, list[Json]] = {index: [] for index in bad}
    for violation in found:
        if violation.severity == "error" and (violation.index or 0) in reasons:
            reasons[violation.index or 0].append(
                f"{violation.path}: {violation.message}" if violation.path else violation.message
            )
    return [{"index": index, "record": items[index], "reasons": reasons[index]} for index in bad]


def _message(found: Sequence[Violation], failed: int, checked: int) -> str:
    errors = [violation for violation in found if violation.severity == "error"]
    shown = "; ".join(
        f"{item.place}{f'{item.path}: ' if item.path else ''}{item.message} ({item.rule})"
        for item in errors[:SHOWN]
    )
    more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    what = f"{failed} of {checked} records are" if failed else f"the list of {checked} records is"
    return f"{what} not valid: {shown}{more}"


def _notes(found: list[Violation], failed: int, checked: int, limit: int, policy: str) -> tuple[str, ...]:
    dropped = ", and were dropped" if failed and policy == "drop" else ""
    notes = [f"checked {checked} records, {failed} are not valid{dropped}"]
    warnings = sum(violation.severity == "warning" for violation in found)
    if warnings:
        notes.append(f"{warnings} warnings")
    if len(found) > limit:
        notes.append(f"{len(found)} violations, of which the first {limit} are shown")
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
