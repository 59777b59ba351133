"""`intendant doubts`: calls of which is not known whether they were charged, and decisions about them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, app, command, money, print_json
from intendant.model.errors import SettingsError
from intendant.model.results import Usage
from intendant.model.workflow import MAX_AMOUNT, MAX_USD
from intendant.pilot.process_names import user_name

if TYPE_CHECKING:
    from intendant.record.rows import DoubtRow
    from intendant.record.store.decisions import Decision

KEY = 12
"""Characters of a key that are printed."""
doubts_app = typer.Typer(help="Calls that were in flight when their process died.", invoke_without_command=True)
app.add_typer(doubts_app, name="doubts")

HoldArgument = Annotated[str, typer.Argument(metavar="HOLD", help="The call's key, or the beginning of it.")]
TokensOption = Annotated[int, typer.Option(metavar="N", min=0, max=MAX_AMOUNT)]


@doubts_app.callback()
def list_doubts(
    context: typer.Context,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list those for which no step waits; they are charged in full.")
    ] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """List calls in doubt for which a step waits, or decide about one."""
    if context.invoked_subcommand is None:
        _list(everything=everything, as_json=as_json, db=db, settings=settings)


@command(name="list", group=doubts_app)
def _list(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also list those for which no step waits.")] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """List calls in doubt."""
    from intendant.record.store import decisions

    with Session(settings, db) as session:
        engine = session.engine
        rows = session.do(_read(engine.store, decisions.open_doubts(engine.tenant, waiting=not everything)))
    if as_json:
        print_json([_document(row) for row in rows])
        return
    for row in rows:
        print(_line(row))
    if rows:
        print("decide: intendant doubts settle|retry|drop HOLD; then go on: intendant resume RUN")
    else:
        print("no call is in doubt" if everything else "no step waits for a decision about a call")


async def _read(store: Any, work: Any) -> Any:
    return await store.do(work)


@command(name="settle", group=doubts_app)
def settle_doubt(
    hold: HoldArgument,
    *,
    input_tokens: TokensOption,
    output_tokens: TokensOption,
    usd: Annotated[
        float | None,
        typer.Option(help="What it cost; by default computed from the model's price.", min=0, max=MAX_USD),
    ] = None,
    answer: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The answer; without it the call is made again.")
    ] = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
) -> None:
    """Record that the call was charged, as the provider's records show. With its answer it is not made again."""
    micro = 0 if usd is None else round(usd * 1_000_000)
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, micro_usd=micro)
    _decide(hold, "settle", usage, _text_of(answer), as_json=as_json, db=db, settings=settings)


@command(name="retry", group=doubts_app)
def retry_doubt(
    hold: HoldArgument, *, as_json: JsonOption = False, db: DbOption = None, settings: SetOption = None
) -> None:
    """Keep the call charged in full, and make it again."""
    _decide(hold, "retry", None, None, as_json=as_json, db=db, settings=settings)


@command(name="drop", group=doubts_app)
def drop_doubt(
    hold: HoldArgument, *, as_json: JsonOption = False, db: DbOption = None, settings: SetOption = None
) -> None:
    """Record that the call never reached its provider: nothing is charged, and it is made again."""
    _decide(hold, "drop", None, None, as_json=as_json, db=db, settings=settings)


def _text_of(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the answer {file} cannot be read: {error}") from None


def _decide(
    hold: str,
    decision: "Decision",
    usage: Usage | None,
    answer: str | None,
    *,
    as_json: bool,
    db: str | None,
    settings: list[str] | None,
) -> None:
    from intendant.pilot.deciding import decide

    with Session(settings, db) as session:
        work = decide(session.engine, hold, decision, by=user_name(), usage=usage, answer=answer)
        found: DoubtRow = session.do(work)
    if as_json:
        print_json({**_document(found), "decided": decision})
    else:
        print(f"decided: {decision} {found.hold.key[:KEY]}; go on: intendant resume {found.hold.run_id}")


def _line(row: "DoubtRow") -> str:
    made = datetime.fromtimestamp(row.hold.created_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    most = f"up to {row.hold.tokens} tokens, {money(row.hold.micro)}"
    where = f"{row.hold.run_id} {row.hold.step_key}"
    return (
        f"{row.hold.key[:KEY]}  {made}  {row.hold.provider}/{row.hold.model}  {most}  {where} ({row.run_status})"
    )


def _document(row: "DoubtRow") -> dict[str, Any]:
    names = ("key", "run_id", "step_key", "provider", "model", "tokens", "micro", "created_at")
    said = {name: getattr(row.hold, name) for name in names}
    return {**said, "workflow": row.workflow, "run_status": row.run_status, "waits": row.waits}
