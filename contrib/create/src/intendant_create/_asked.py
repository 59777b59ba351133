"""A workflow from a sentence, by a model: asked through a workflow of its own, so that what it takes is bounded,
paid and recorded like everything else; and told what is wrong with its answer until nothing is.
"""

import json
from collections.abc import Sequence
from typing import Any

from intendant import SyncOrchestrationService, Vocabulary, Workflow, WorkflowError
from intendant_create._sketch import Sketch

Json = Any
ROUNDS = 4
"""How often the model is asked: for a workflow, and for what was wrong with it."""
MOST_PROBLEMS = 12
"""Problems that it is told of at a time."""
ANSWER: dict[str, Json] = {
    "type": "object",
    "properties": {
        "workflow": {"type": "string"},
        "cron": {"type": "string"},
        "unclear": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["workflow", "cron", "unclear"],
    "additionalProperties": False,
}
_TASK = """Make a workflow of this sentence: {sentence}

Answer with the workflow as YAML in `workflow`; when it is to run in `cron`, as five fields, empty if the sentence
does not say; and parts of the sentence that became nothing in `unclear`.

A workflow has `name`, `description`, `inputs` (name: {{type, default}}), `budget: {{tokens}}` and `steps`. A step
has:
- `id`, and `intent`, or `uses` (an operation) with `with` (its parameters)
- `input`: a reference such as {{{{ steps.read.output }}}}
- `prompt`: what a model is told
- `when`: a CEL condition such as steps.gate.output.branch == 'true'
- `for_each`: a reference to a list; the step sees `item`
- `approve: {{ask}}` where something leaves the house
Passwords are {{{{ secrets.NAME }}}}. Use no intent, operation or parameter but these.

Intents:
{intents}

Operations (`*`: needed):
{operations}
"""
_AGAIN = """

Your last answer was:
{before}

That is wrong:
{problems}
Answer with the whole workflow, mended."""


class NotMade(Exception):
    """No answer of the model was a workflow that can be run.

    Attributes:
        problems: What was wrong with the last one.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems[:3]))
        self.problems = list(problems)


def asked(service: SyncOrchestrationService, sentence: str, tokens: int) -> Sketch | None:
    """A workflow that a model makes of *sentence*; None where no model can be asked.

    Args:
        service: Asks it, and knows what is installed.
        sentence: What is wanted.
        tokens: What all answers together may take.

    Raises:
        NotMade: No answer was a workflow that can be run.
    """
    task = _task(sentence, service.vocabulary)
    prompt, problems, left = task, ["no answer came"], tokens
    for number in range(ROUNDS):
        flow = _question(left)
        if not number and not service.plan(flow).max_tokens:
            return None
        result = service.run(flow, {"task": prompt})
        left -= result.metrics.tokens_used
        answer = result.outputs.get("make")
        if not isinstance(answer, dict):
            raise NotMade([failure.message for failure in result.failures.values()] or problems)
        workflow, problems = _checked(service, str(answer.get("workflow", "")))
        if workflow is not None:
            return Sketch(workflow, str(answer.get("cron", "")).strip(), list(map(str, answer.get("unclear", []))))
        said = "\n".join(f"- {problem}" for problem in problems[:MOST_PROBLEMS])
        prompt = task + _AGAIN.format(before=answer.get("workflow", ""), problems=said)
    raise NotMade(problems)


def guarded(workflow: dict[str, Json], vocabulary: Vocabulary) -> list[str]:
    """Make steps that change something outside ask a person first, but for files; returns their ids."""
    found: list[str] = []
    for step in workflow.get("steps") or []:
        operation = vocabulary.operations.get(str(step.get("uses", "")))
        changes = operation is not None and operation.side_effects and not str(step["uses"]).startswith("file.")
        if changes and "approve" not in step:
            step["approve"] = {"ask": f"May step {step.get('id')} do {step['uses']}?"}
            found.append(str(step.get("id")))
    return found


def _question(tokens: int) -> Workflow:
    """Asks the model; what it is told is an input, since examples of references stand in it."""
    step = {"id": "make", "intent": "generate", "prompt": "{{ inputs.task }}", "output": ANSWER}
    about = {"name": "create", "agent": "create", "budget": {"tokens": max(1, tokens)}}
    return Workflow.model_validate({**about, "inputs": {"task": {"default": ""}}, "steps": [step]})


def _checked(service: SyncOrchestrationService, text: str) -> tuple[dict[str, Json] | None, list[str]]:
    """The workflow as plain data if it can be run; else what is wrong with it."""
    import yaml

    try:
        service.plan(Workflow.parse(text))
        found = yaml.safe_load(text)
    except WorkflowError as error:
        return None, [f"{problem.message} ({problem.hint})".replace(" ()", "") for problem in error.problems]
    except yaml.YAMLError as error:
        return None, [str(error)]
    workflow: dict[str, Json] = found
    guarded(workflow, service.vocabulary)
    return workflow, []


def _task(sentence: str, vocabulary: Vocabulary) -> str:
    intents = "\n".join(f"- {name}: {known.summary}" for name, known in vocabulary.intents.items())
    operations = "\n".join(
        f"- {name}({', '.join(_parameters(described.parameters))}): {described.summary}"
        for name, described in vocabulary.operations.items()
    )
    return _TASK.format(sentence=json.dumps(sentence, ensure_ascii=False), intents=intents, operations=operations)


def _parameters(schema: dict[str, Json]) -> list[str]:
    needed = schema.get("required", ())
    return [f"{name}*" if name in needed else name for name in schema.get("properties", {})]
