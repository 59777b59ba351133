"""`intendant worker`."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import DbOption, JsonOption, Session, SetOption, VerboseOption, command

if TYPE_CHECKING:
    from intendant.pilot.worker_loop import Done


@command()
def worker(
    *,
    triggers: Annotated[
        Path | None, typer.Option("--triggers", metavar="FILE", help="A TOML file of what starts runs.")
    ] = None,
    concurrency: Annotated[int, typer.Option(help="How many runs it is at, at a time.", min=1)] = 10,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is due, instead of waiting.")] = False,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Go on with runs whose time has come or about which people have decided, take over those whose process has
    died, and start those of triggers. Prints a line for each; with --json a JSON document a line.

    SIGTERM or Ctrl-C lets steps that are being executed end; other workers go on with these runs at once.
    """
    from intendant.pilot.run_triggers import load_triggers
    from intendant.pilot.worker_loop import Worker

    def tell(done: "Done") -> None:
        print(json.dumps(_document(done), ensure_ascii=False) if as_json else _line(done), flush=True)

    found = None if triggers is None else load_triggers(triggers)
    with Session(settings, db) as session:
        if not as_json:
            names = f"; triggers: {', '.join(found)}" if found else ""
            print(f"worker {session.engine.worker} at {session.engine.store_url}{names}", file=sys.stderr)
        work = Worker(session.engine, found, concurrency=concurrency, on_done=tell)
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
