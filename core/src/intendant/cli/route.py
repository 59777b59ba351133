"""`intendant route`: learn from outcomes which models to ask, and see what that would have cost."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import (
    FAILED,
    DbOption,
    JsonOption,
    Session,
    SetOption,
    app,
    command,
    money,
    print_json,
)
from intendant.model.errors import IntendantError

MOST_SHOWN = 12
"""Intents and models that are printed."""

route = typer.Typer(help="Learn from outcomes which models to ask.", no_args_is_help=True)
app.add_typer(route, name="route")
Files = Annotated[list[Path], typer.Argument(help="Files of outcomes: JSONL, optionally gzipped.")]


@command(group=route)
def train(
    files: Files,
    *,
    out: Annotated[Path, typer.Option("--out", help="The file to which the policy is written.")],
    max_loss: Annotated[
        float,
        typer.Option("--max-loss", min=0, max=1, help="The greatest acceptable loss of mean score (0 to 1)."),
    ] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="Print the policy, as JSON.")] = False,
) -> None:
    """Learn a policy: per intent one model, or cheap ones that must agree, else a more expensive one is asked."""
    from intendant.planning.outcomes import read_outcomes
    from intendant.planning.policy_training import train as learn

    policy = learn(read_outcomes(files), max_loss)
    document = policy.document()
    try:
        out.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise IntendantError(f"{out} cannot be written: {error.strerror}") from None
    if as_json:
        print_json(document)
        return
    for intent, choices in list(policy.intents.items())[:MOST_SHOWN]:
        print(f"{intent or '(no intent)'}: {choices[0]}")
    figures = document["figures"]
    print(
        f"{figures['rows']} rows; with each fifth left out: {figures['saved']:.1%} saved, "
        f"{100 * figures['loss']:.2f} points lost"
    )
    print(f"wrote {out} ({document['digest']})")


@command(group=route)
def replay(
    files: Files,
    *,
    policy: Annotated[Path, typer.Option("--policy", help="The policy that `route train` wrote.")],
    curve: Annotated[bool, typer.Option("--curve", help="APGR, CPT50 and CPT80 of two models.")] = False,
    out: Annotated[
        Path | None, typer.Option("--decisions", help="Write `id`, `calls` and `chosen` of each row.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show the cost and score that a policy would have had on recorded outcomes. It sees no scores."""
    from intendant.planning.outcomes import read_outcomes
    from intendant.planning.policies import Policy
    from intendant.planning.policy_replay import decisions, gain_curve, report

    rows, known = read_outcomes(files), Policy.read(policy)
    found = list(decisions(rows, known))
    if out is not None:
        lines = (json.dumps({"id": one.id, "calls": one.calls, "chosen": one.chosen}) for one in found)
        try:
            out.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        except OSError as error:
            raise IntendantError(f"{out} cannot be written: {error.strerror}") from None
    document = {"policy": known.document()["digest"], **report(found)}
    if curve:
        document["curve"] = gain_curve(rows, known)
    if as_json:
        print_json(document)
    else:
        _show(document)


def _show(document: dict[str, Any]) -> None:
    print(f"{document['rows']} rows, {document['compared']} of them with the baseline")
    if document["compared"]:
        low, high = document["intervals"]["saved"]
        least, most = document["intervals"]["loss"]
        print(f"saved  {document['saved']:.1%} [{low:.1%}, {high:.1%}]")
        print(f"lost   {100 * document['loss']:.2f} points [{100 * least:.2f}, {100 * most:.2f}]")
        print(f"score  {document['score']:.4f}, baseline {document['baseline_score']:.4f}")
    for model, number in list(document["calls"].items())[:MOST_SHOWN]:
        print(f"{number:7} calls of {model}")
    if (found := document.get("curve")) is not None:
        print(f"APGR {found['APGR']}, CPT50 {found['CPT50']}, CPT80 {found['CPT80']} ({found['rows']} rows)")


@command(group=route)
def export(
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; by default standard output.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many runs to read; the newest ones.")] = 1000,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Write what models answered in your own runs as outcomes, to learn from: with ratings as scores, where there
    are any.
    """
    from intendant.pilot.route_rows import outcome_rows

    with Session(settings, db) as session:
        rows = session.do(outcome_rows(session.engine.store, session.engine.tenant, limit))
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise IntendantError(f"{out} cannot be written: {error.strerror}") from None
    print(f"wrote {out}: {len(rows)} rows")


@command(group=route)
def check(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")] = "last",
    *,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Repeat the choices recorded in a run, and show which would differ now."""
    from intendant.pilot.route_rows import made_again

    with Session(settings, db) as session:
        found = session.do(made_again(session.engine, run))
    differing = [each for each in found if each[1]]
    if as_json:
        print_json(
            [event.model_dump(mode="json", exclude={"run_id", "severity"}) | {"now": now} for event, now in found]
        )
    else:
        for event, now in found:
            print(f"{event.step_id}: {' = '.join(event.ask)}, difficulty {event.difficulty:.2f}; {event.reason}")
            for each in event.candidates:
                cost = "?" if each.micro_usd is None else money(each.micro_usd)
                print(f"    {each.tier}: {each.name} {cost} {each.refused}".rstrip())
            print(f"    {now or 'the same when made again'}")
        print(f"{len(found) - len(differing)} of {len(found)} choices are the same")
    if differing:
        raise typer.Exit(FAILED)


@command(group=route)
def explain(
    policy: Annotated[Path, typer.Argument(help="The policy that `route train` wrote.")],
    *,
    intent: Annotated[str, typer.Option("--intent", help="The intent of the prompt.")] = "",
    prompt: Annotated[str, typer.Option("--prompt", help="The prompt.")] = "",
) -> None:
    """Show which models a policy asks for an intent, and which terms of a prompt matter."""
    from intendant.planning.policies import Policy

    known = Policy.read(policy)
    choices = known.intents.get(intent)
    if choices is None:
        print(f"nothing is known of the intent '{intent}'; known: {', '.join(sorted(known.intents)) or 'none'}")
        choices = known.default
    for number, choice in enumerate(choices, 1):
        print(f"{number}. {choice}")
    if known.gains is not None and prompt:
        print(f"expected gain of {known.gains.strong}: {known.gains.expected(intent, prompt):+.3f}")
        for term, value in known.gains.reasons(intent, prompt):
            print(f"{value:+.3f}  {term}")
