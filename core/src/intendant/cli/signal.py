"""`intendant signal`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer  # noqa: TID253

from intendant.cli.runs import with_store
from intendant.cli.shared import (
    DbOption,
    JsonOption,
    SetOption,
    VerboseOption,
    command,
    load_settings,
    print_json,
)
from intendant.model.base import Json
from intendant.model.errors import IntendantError
from intendant.pilot.process_names import user_name

if TYPE_CHECKING:
    from intendant.record.rows import SignalRow
    from intendant.record.store import Store


@command(name="signal")
def send_signal(
    run: Annotated[str, typer.Argument(help="The run's id, the beginning of it, or `last`.")],
    event: Annotated[str, typer.Argument(help="The event's name, as in `wait: {event: …}` of a step.")],
    *,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--input", "-i", help="key=value of the payload; the value is JSON, otherwise text. May be repeated."
        ),
    ] = None,
    payload: Annotated[str | None, typer.Option("--payload", help="The whole payload as JSON.")] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", help="Idempotency key: a signal that is sent twice with the same key is stored once."
        ),
    ] = None,
    as_json: JsonOption = False,
    db: DbOption = None,
    settings: SetOption = None,
    verbose: VerboseOption = False,  # noqa: ARG001  # its callback does the work
) -> None:
    """Send a signal to a run. One of its steps waits, or will wait, for it.

    `intendant resume RUN` continues the run.
    """
    value, by, chosen = _payload(payload, fields or []), user_name(), load_settings(settings)

    async def work(store: "Store") -> "SignalRow":
        from intendant.pilot.awaiting import store_signal
        from intendant.record.store import runs

        row = await store.do(runs.find_run(run, chosen.budget.tenant))
        return await store_signal(store, row.id, row.plan, event, value, by=by, key=key)

    sent = with_store(db, chosen, work)
    if as_json:
        print_json({"run_id": sent.run_id, "event": event, "signal": sent.id, "by": by})
        return
    print(f"sent: signal '{event}' to run {sent.run_id}, by {by}")
    print(f"    to go on: intendant resume {sent.run_id}")


def _payload(text: str | None, fields: list[str]) -> Json:
    """The payload that the options give; null where there are none.

    Raises:
        IntendantError: It is no JSON, or a field is not `key=value`.
    """
    if text is not None and fields:
        raise IntendantError(
            "`--payload` is the whole payload: there are no fields beside it", hint="use one of both"
        )
    if text is not None:
        try:
            return json.loads(text)
        except ValueError as error:
            raise IntendantError(f"--payload is no JSON: {error}", hint="a text has quotes: '\"yes\"'") from None
    made: dict[str, Json] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals:
            raise IntendantError(f"'{field}' is no field of a payload", hint="write -i key=value")
        try:
            made[name] = json.loads(value)
        except ValueError:
            made[name] = value
    return made or None
