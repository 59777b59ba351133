"""The command `intendant create`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer  # noqa: TID253  # this module is a part of the command line

from intendant import IntendantError, Plan, Settings, SyncOrchestrationService, Workflow
from intendant_create._asked import NotMade, asked
from intendant_create._sketch import Sketch, sketch

ROOM = 2
"""The budget is so many times what the steps usually take."""
LEAST = 4000
"""What each step that asks gets at least, in tokens: where a server's tokens are not known, bytes are held, and a
call about two records takes more than it will be charged for."""


def create(
    sentence: Annotated[str, typer.Argument(help="What is to be done, in a sentence or some.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write; else standard output.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write the file without asking.")] = False,
    model: Annotated[
        bool, typer.Option("--model/--no-model", help="Let a model make it, where one can be asked.")
    ] = True,
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="What the model may take.")] = 20_000,
    db: Annotated[str | None, typer.Option("--db", help="The database in which that is recorded.")] = None,
) -> None:
    """Make a workflow from a sentence, show what it costs at most, and write it.

    What leaves the house asks a person when the workflow runs. What was not understood is said.
    """
    if not sentence.strip():
        raise IntendantError("the sentence is empty", hint='say what is to be done: intendant create "Read …"')
    with SyncOrchestrationService(Settings.load(), db=db) as service:
        made, how = _made(service, sentence, tokens if model else 0)
        text = written(made)
        plan = service.plan(Workflow.parse(text))
        _show(made, plan, how)
    if out is None:
        typer.echo(text, nl=False)
        return
    if not yes and not _confirmed(out):
        raise typer.Exit(1)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise IntendantError(f"{out} cannot be written: {error.strerror}") from None
    typer.echo(f"written: {out}; next: intendant plan {out}", err=True)


def _made(service: SyncOrchestrationService, sentence: str, tokens: int) -> tuple[Sketch, str]:
    """The workflow, and how it was made."""
    if tokens:
        try:
            found = asked(service, sentence, tokens)
        except NotMade as error:
            problems = "\n  ".join(error.problems[:5])
            raise IntendantError(
                f"no answer of the model was a workflow that can be run:\n  {problems}",
                hint="say it in other words, or use --no-model",
            ) from None
        if found is not None:
            return found, "made by a model"
    made = sketch(sentence)
    if not made.steps:
        raise IntendantError(
            "nothing of the sentence was understood",
            hint='say what is to be done with what, such as "Read orders.csv and sum the total per region"',
        )
    usual = service.vocabulary.intents
    asking = [step for step in made.steps if "prompt" in step]
    made.workflow["budget"] = {"tokens": sum(max(LEAST, ROOM * usual[step["intent"]].tokens) for step in asking)}
    return made, "made without a model"


def written(made: Sketch) -> str:
    """The workflow as YAML."""
    import yaml

    text: str = yaml.safe_dump(made.workflow, sort_keys=False, allow_unicode=True, width=110)
    return text


def _show(made: Sketch, plan: Plan, how: str) -> None:
    """What was made, and what it costs at most, on standard error: standard output has the workflow."""
    lines = [f"{how}: {len(made.steps)} steps"]
    decided = plan.by_id
    for step in made.steps:
        bound = decided.get(str(step.get("id")))
        cost = "" if bound is None or not bound.max_tokens else f", at most {bound.max_tokens:,} tokens"
        asks = ", asks a person first" if "approve" in step else ""
        lines.append(f"  {step.get('id')}: {step.get('uses') or step.get('intent')}{cost}{asks}")
    money = "an unknown amount" if plan.max_micro_usd is None else f"${plan.max_micro_usd / 1_000_000:.4f}"
    lines.append(f"at most: {plan.max_tokens:,} tokens, {money}")
    lines += [f"not understood: {part}" for part in made.unclear]
    lines += [f"note: {note}" for note in made.notes]
    lines += [f"warning: {step.step_id}: {text}" for step in plan.steps for text in step.warnings]
    if made.cron:
        lines.append(f'for `intendant worker --triggers`: [{made.workflow["name"]}] cron = "{made.cron}"')
    typer.echo("\n".join(lines), err=True)


def _confirmed(out: Path) -> bool:
    """True if a person says that the file may be written."""
    if not sys.stdin.isatty():
        raise IntendantError(f"{out} was not written: nobody can be asked", hint="say --yes, or leave out -o")
    known: Any = typer.confirm(f"Write {out}?", default=True, err=True)
    return bool(known)
