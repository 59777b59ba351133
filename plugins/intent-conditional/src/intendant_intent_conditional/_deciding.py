"""Takes decisions by conditions, values and figures."""

import json
from math import isfinite
from typing import Any

from intendant.plugin import Expression, ExpressionFailed, Json, StepError
from intendant.records import describe_value
from intendant_intent_conditional._parameters import ConditionalParameters

NAMES = ("input", "values")


async def decide(options: ConditionalParameters, value: Json) -> tuple[str, bool, str]:
    """The branch, whether a condition chose it, and why.

    Raises:
        StepError: A condition cannot be evaluated, or nothing fits and there is no default.
    """
    if options.if_ is not None:
        matched = await _test("`if`", options.if_, value, options.values)
        return (options.then if matched else options.else_), matched, f"`{options.if_}` is {str(matched).lower()}"
    if options.switch is not None:
        return _routed(options, await _value("`switch`", options.switch, value, options.values))
    if options.measure is not None:
        return _escalated(options, await _value("`measure`", options.measure, value, options.values))
    for index, case in enumerate(options.cases):
        if await _test(f"cases[{index}]", case.when, value, options.values):
            return case.then, True, f"`{case.when}` is true"
    if options.default is None:
        raise StepError("no case is true and there is no `default`", hint="add `default: <branch>`, or a case")
    return options.default, False, "no case is true"


async def _test(place: str, source: str, value: Json, values: dict[str, Json]) -> bool:
    try:
        return await Expression(source, NAMES).test_async(input=value, values=values)
    except ExpressionFailed as error:
        hint = error.hint or "write has(input.field) && … where a field may be absent, and convert with double(…)"
        raise StepError(f"{place}: {error.message}", hint=hint) from None


async def _value(place: str, source: str, value: Json, values: dict[str, Json]) -> Json:
    try:
        return await Expression(source, NAMES).evaluate_async(input=value, values=values)
    except ExpressionFailed as error:
        hint = error.hint or "write has(input.field) ? input.field : '' where a field may be absent"
        raise StepError(f"{place}: {error.message}", hint=hint) from None


def _routed(options: ConditionalParameters, found: Json) -> tuple[str, bool, str]:
    """By the value of `switch`; a whole number is written without a point."""
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    text = found if isinstance(found, str) else "null" if found is None else json.dumps(found, default=str)
    if text in options.routes:
        return options.routes[text], True, f"`{options.switch}` is {describe_value(found)}"
    if options.default is None:
        raise StepError(
            f"`{options.switch}` is {describe_value(found)}: there is no route for it, and no `default`",
            hint=f"there are: {', '.join(options.routes)}",
        )
    return options.default, False, f"there is no route for {describe_value(found)}"


def _escalated(options: ConditionalParameters, found: Json) -> tuple[str, bool, str]:
    """By the figure of `measure`."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not isfinite(found):
        raise StepError(
            f"`{options.measure}` is {describe_value(found)}, not a number",
            hint="convert it with double(…), or give a number where it is absent",
        )
    for level in options.levels:
        if level.below is None or found < level.below:
            return level.then, True, f"`{options.measure}` is {found}"
    if options.default is None:
        raise StepError(f"`{options.measure}` is {found}, above all levels, and there is no `default`")
    return options.default, False, f"`{options.measure}` is {found}, above all levels"


def conditions(given: dict[str, Any]) -> list[tuple[str, Json]]:
    """The conditions of a step and where they stand."""
    cases = given.get("cases")
    found: list[tuple[str, Json]] = [("if", given.get("if"))]
    for index, case in enumerate(cases if isinstance(cases, list) else []):
        found.append((f"cases[{index}].when", case.get("when") if isinstance(case, dict) else None))
    return found


def expression_faults(given: dict[str, Any]) -> list[str]:
    """What is wrong with `switch` and `measure`, seen before the run."""
    found = []
    for place in ("switch", "measure"):
        source = given.get(place)
        if not isinstance(source, str) or "{{" in source:
            continue
        try:
            Expression(source, NAMES)
        except ExpressionFailed as error:
            found.append(f"`{place}` is wrong: {error.message}")
    return found
