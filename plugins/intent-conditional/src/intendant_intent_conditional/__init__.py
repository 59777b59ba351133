"""Decides which way to go: by conditions on typed values, or by a question that a model answers."""

from intendant.plugin import (
    ANSWER_RULES,
    CompressionPolicy,
    IntentHandler,
    IntentSpec,
    Json,
    Step,
    StepRequest,
    StepResult,
    ask,
    condition_faults,
    prompt_clash,
)
from intendant_intent_conditional._branches import UNKNOWN, branch_faults, choices
from intendant_intent_conditional._deciding import NAMES, conditions, decide, expression_faults
from intendant_intent_conditional._parameters import Case, ConditionalParameters, Level

__all__ = ["Case", "ConditionalHandler", "ConditionalParameters", "Level"]

OPTIONS = ("cases", "if", "switch", "measure")
"""Parameters that decide without a model."""
SYSTEM = "You decide which branch a workflow takes, by what is asked and what the data says."


class ConditionalHandler(IntentHandler[ConditionalParameters]):
    """Decides which branch is taken, for later steps to refer to in their `when`.

    With a `prompt` and no conditions, a model chooses among the branches.
    """

    instructions = f"{SYSTEM} {ANSWER_RULES}"
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
        connects=False,
    )

    def needs_model(self, step: Step) -> bool:
        """True where a prompt alone asks for the decision."""
        return step.prompt is not None and not any(name in step.parameters for name in OPTIONS)

    def needs_language(self, step: Step) -> bool:
        """True where a model is asked: its answer is data of a given shape."""
        return self.needs_model(step)

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        found = prompt_clash(step.parameters, step.prompt, OPTIONS)
        if step.prompt is None and not any(name in step.parameters for name in OPTIONS):
            found.append(
                "nothing to decide by: give `cases`, `if`, `switch` or `measure`, or a `prompt` for a model"
            )
        if "input" not in step.model_fields_set and "values" not in step.parameters:
            found.append("nothing to decide on: give `input` or `values`")
        for place, source in conditions(step.parameters):
            found += condition_faults(source, NAMES, place)
        return found + expression_faults(step.parameters) + branch_faults(step, asks=self.needs_model(step))

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
        branch, matched, why = await decide(options, request.input)
        output = {"branch": branch, "matched": matched, "value": request.input}
        return StepResult(output=output, notes=(f"took '{branch}': {why}",))


async def _chosen(request: StepRequest[ConditionalParameters], options: ConditionalParameters) -> StepResult:
    """The branch that a model chooses."""
    among = choices(options, request.step.branches or ())
    meaning = "" if among.yes is None else f" '{among.yes}' means yes, '{among.no}' means no."
    names: list[Json] = list(among.names)
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
