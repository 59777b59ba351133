"""`intendant worker`."""

import json
import sys
from datetime import datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer  # noqa: TID253

from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, VerboseOption, command, money

if TYPE_CHECKING:
    from intendant.pilot.worker_loop import Done


@command()
def worker(
    action: Annotated[
        Literal["status"] | None,
        typer.Argument(help="status: show what each worker is executing, and what waits."),
    ] = None,
    *,
    triggers: Annotated[
        Path | None, typer.Option("--triggers", metavar="FILE", help="A TOML file of triggers, which start runs.")
    ] = None,
    concurrency: Annotated[int, typer.Option(help="How many runs to execute at once.", min=1)] = 10,
    dispatcher: Annotated[
        str | None,
        typer.Option(help="The dispatcher: embedded, or an installed one; by default the setting run.dispatcher."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Exit when nothing is due, instead of waiting.")] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Run as a worker. It continues runs that are due or were decided about, takes over those whose process died,
    and starts those of triggers. Prints one line for each; with --json one JSON document per line.

    On SIGTERM or Ctrl-C, steps in execution end first; other workers continue these runs at once.
    """
    from intendant.pilot.run_triggers import load_triggers
    from intendant.pilot.worker_loop import Worker, dispatcher_of

    def tell(done: "Done") -> None:
        print(json.dumps(_document(done), ensure_ascii=False) if as_json else _line(done), flush=True)

    if action == "status":
        with Session(settings, db) as session:
            _status(session, as_json=as_json)
        return
    found = None if triggers is None else load_triggers(triggers)
    with Session(settings, db) as session:
        chosen = dispatcher_of(session.engine, dispatcher)
        if not as_json:
            names = f"; triggers: {', '.join(found)}" if found else ""
            print(f"worker {session.engine.worker} at {session.engine.store_url}{names}", file=sys.stderr)
        work = Worker(session.engine, found, concurrency=concurrency, on_done=tell, dispatcher=chosen)
        session.do(work.run(until_idle=once))


def _document(done: "Done") -> dict[str, Any]:
    result, error = done.result, done.error
    return {
        "why": done.why,
        "what": done.what,
        "run_id": None if result is None else result.run_id,
        "status": None if result is None else result.status.value,
        "error": None if error is None else {"code": error.code, "message": error.message},
    }


def _line(done: "Done") -> str:
    at = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    why = {"due": "", "abandoned": " (its process had died)", "trigger": f" (trigger {done.what})"}[done.why]
    if done.result is not None:
        return f"{at}  {done.result.run_id}  {done.result.status.value}{why}"
    return f"{at}  {done.what}  not done{why}: {done.error}"


def _status(session: Session, *, as_json: bool) -> None:
    """Which worker is at which runs, for how long, with how much held; and how many runs wait."""
    from intendant.record.store import liveness

    engine, now = session.engine, time()
    found = session.do(engine.store.do(liveness.at_work(engine.tenant)))
    due, waiting = session.do(engine.store.do(liveness.queue_of(engine.tenant, now)))
    if as_json:
        runs = [{**each._asdict(), "seconds": now - each.since} for each in found]
        print(json.dumps({"at_work": runs, "due": due, "waiting": waiting}, ensure_ascii=False))
        return
    for each in found:
        held = f"{each.held_tokens:,} tokens, {money(each.held_micro)} held"
        late = "" if each.lease_until is None or each.lease_until > now else "; no heartbeat any more"
        print(f"{each.worker}  {each.run_id}  {each.workflow}  for {now - each.since:,.0f} s, {held}{late}")
    print(f"{len(found)} runs are being executed, {due} are due, {waiting} wait")
