"""Decides which way to go: by conditions on typed values, or by a question that a model answers."""

from typing import Any

from pydantic import Field, model_validator

from intendant.plugin import (
    CompressionPolicy,
    Expression,
    ExpressionFailed,
    IntentHandler,
    IntentSpec,
    Json,
    Options,
    Step,
    StepError,
    StepRequest,
    StepResult,
    ask,
    condition_faults,
    prompt_clash,
)

__all__ = ["Case", "ConditionalHandler", "ConditionalParameters"]

NAMES = ("input", "values")
UNKNOWN = "unknown"
"""The branch that is taken where the model cannot tell and there is no `default`."""
SYSTEM = "You decide which branch a workflow takes, by what is asked and what the data says."


class Case(Options):
    """A condition, and the branch that is taken where it is true."""

    when: str
    then: str = Field(min_length=1)


class ConditionalParameters(Options):
    """Either `cases`, of which the first that is true is taken, or a single `if`; neither where a prompt asks."""

    cases: list[Case] = Field(default_factory=list)
    default: str | None = None
    """The branch where no case is true, else that is an error; with a prompt, where the model cannot tell."""
    branches: list[str] = Field(default_factory=list)
    """With a prompt: the branches to choose from; by default `then` and `else`."""
    if_: str | None = Field(None, alias="if")
    then: str = "true"
    """The branch where `if` is true."""
    else_: str = Field("false", alias="else")
    """The branch where `if` is false."""
    values: dict[str, Json] = Field(default_factory=dict)
    """What the conditions may use as `values.<name>`; the place for references."""

    @model_validator(mode="after")
    def _one_form(self) -> "ConditionalParameters":
        if self.cases and self.if_ is not None:
            raise ValueError("give either `cases` or `if`, and not both")
        if self.cases and self.model_fields_set & {"then", "else_"}:
            raise ValueError("`then` and `else` belong to `if`; with `cases` write `default`")
        if self.if_ is not None and (self.default is not None or self.branches):
            raise ValueError("`default` and `branches` do not belong to `if`; write `else`")
        return self


class ConditionalHandler(IntentHandler[ConditionalParameters]):
    """Decides which branch is taken, for later steps to refer to in their `when`.

    With a `prompt` and no conditions, a model chooses among the branches.
    """

    spec = IntentSpec(
        name="conditional",
        summary="Decide which branch is taken",
        examples=(
            "If the order total exceeds 1000, ask for approval, otherwise proceed",
            "Choose a path by the customer's region",
            "Decide whether the ticket is urgent or can wait",
            "When the stock is below the minimum, take the reorder branch",
            "Depending on the payment status, continue or stop",
            "Check whether any rows were found and branch on that",
            "Unless the user is verified, go to the manual review",
        ),
        words=(
            "if",
            "when",
            "unless",
            "otherwise",
            "decide",
            "depending",
            "branch",
            "choose",
            "condition",
            "path",
        ),
        tokens=300,
        compression=CompressionPolicy(strategy="structural", floor=0.80),
        reasoning=6.0,
        output_complexity=4.0,
        tier_bias=-0.5,
    )

    def needs_model(self, step: Step) -> bool:
        """True where a prompt alone asks for the decision."""
        return step.prompt is not None and not any(name in step.parameters for name in ("cases", "if"))

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        if step.uses is not None:
            return ["a conditional uses no connector: read in an extract step, and give its output as `input`"]
        found = prompt_clash(step.parameters, step.prompt, ("cases", "if"))
        if step.prompt is None and not any(name in step.parameters for name in ("cases", "if")):
            found.append("nothing to decide by: give `cases` or `if`, or a `prompt` for a model")
        if "input" not in step.model_fields_set and "values" not in step.parameters:
            found.append("nothing to decide on: give `input` or `values`")
        for place, source in _conditions(step.parameters):
            found += condition_faults(source, NAMES, place)
        return found

    async def handle(self, request: StepRequest[ConditionalParameters]) -> StepResult:
        """`branch`, `matched` (false where the default was taken), and `value`: the input as it came.

        Raises:
            StepError: A condition cannot be evaluated, or no case is true and there is no default.
            BudgetExceeded: The budget does not admit asking a model.
            ProviderError: The provider refused or broke off, or none can be used.
        """
        options = request.parameters
        if self.needs_model(request.step):
            return await _chosen(request, options)
        branch, matched, why = await _decide(options, request.input)
        output = {"branch": branch, "matched": matched, "value": request.input}
        return StepResult(output=output, notes=(f"took '{branch}': {why}",))


async def _chosen(request: StepRequest[ConditionalParameters], options: ConditionalParameters) -> StepResult:
    """The branch that a model chooses."""
    names: list[Json] = list(options.branches or (options.then, options.else_))
    meaning = "" if options.branches else f" '{options.then}' means yes, '{options.else_}' means no."
    task = f"{request.prompt}\nChoose a branch.{meaning} `{UNKNOWN}` where the data does not tell. Say why."
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {"branch": {"enum": [*names, UNKNOWN]}, "reason": {"type": "string"}},
        "required": ["branch", "reason"],
        "additionalProperties": False,
    }
    found = await ask(request, system=SYSTEM, task=task, schema=schema)
    answer = found.value if isinstance(found.value, dict) else {}
    branch, matched = str(answer["branch"]), answer["branch"] != UNKNOWN
    if not matched and options.default is not None:
        branch = options.default
    output = {"branch": branch, "matched": matched, "value": request.input, "reason": answer["reason"]}
    return StepResult(output=output, notes=(f"took '{branch}': {answer['reason']}", *found.notes))


async def _decide(options: ConditionalParameters, value: Json) -> tuple[str, bool, str]:
    if options.if_ is not None:
        matched = await _test("`if`", options.if_, value, options.values)
        return (options.then if matched else options.else_), matched, f"`{options.if_}` is {str(matched).lower()}"
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


def _conditions(given: dict[str, Any]) -> list[tuple[str, Json]]:
    cases = given.get("cases")
    found: list[tuple[str, Json]] = [("if", given.get("if"))]
    for index, case in enumerate(cases if isinstance(cases, list) else []):
        found.append((f"cases[{index}].when", case.get("when") if isinstance(case, dict) else None))
    return found
