"""Many records in several deliveries, or in one text that people read."""

import json
import re
from collections.abc import AsyncIterator

from pydantic import Field

from intendant.plugin import Json, Options, StepError, StepRequest, StepResult
from intendant.records import as_list, describe_value, field_of, record_name

MOST = 10_000
"""Deliveries of one step."""
_FIELD = re.compile(r"\{([^{}\r\n]{1,200})\}")


class Digest(Options):
    """One text about all records, delivered instead of the records."""

    each: str
    """The line for each record; `{field}` is replaced by a field's value, `{customer.name}` by that of a nested
    field."""
    before: str = ""
    """A text before the lines; `{count}` is replaced by the number of records."""
    after: str = ""
    most: int = Field(100, ge=1)
    """Maximum number of lines; a further line says how many were left out."""
    empty: str | None = None
    """The text to deliver if there are no records; by default nothing is delivered."""


class SendParameters(Options):
    """How to deliver records; by default all of them at once."""

    size: int | None = Field(None, ge=1)
    """Batch size: records per delivery. Each delivery is made once; a repeated step continues after those that
    were made."""
    digest: Digest | None = None
    """Delivers one text about the records instead."""


def done(*receipts: Json) -> str:
    """What became of deliveries; the receipts of a dry run say so."""
    dry = any(isinstance(receipt, dict) and receipt.get("dry") is True for receipt in receipts)
    return "not delivered, as the run is dry:" if dry else "delivered"


async def in_parts(request: StepRequest[SendParameters], size: int) -> StepResult:
    """The receipts of all deliveries, in order.

    Raises:
        StepError: There are too many.
    """
    receipts: list[Json] = []
    records = 0
    async for part in _parts(request, size):
        if len(receipts) >= MOST:
            raise StepError(f"there are more than {MOST} deliveries", hint="give a larger `size`")
        receipts.append(await request.use_connector(part))
        records += len(part)
    note = f"{done(*receipts)} {records} records through {request.step.uses} in {len(receipts)} deliveries"
    return StepResult(output={"deliveries": receipts, "records": records}, notes=(note,))


async def _parts(request: StepRequest[SendParameters], size: int) -> AsyncIterator[list[Json]]:
    waiting: list[Json] = []
    async for batch in request.records.batches(request.input):
        waiting += batch
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]
    if waiting:
        yield waiting


async def digested(request: StepRequest[SendParameters], digest: Digest) -> StepResult:
    """The receipt of the text; of none where there is nothing to tell.

    Raises:
        StepError: The input is no list, or a record has no such field.
    """
    records = as_list(request.input)
    if not records and digest.empty is None:
        return StepResult(output={"delivered": False}, notes=("there were no records; nothing was delivered",))
    text = digest.empty if not records else written(records, digest)
    receipt = await request.use_connector(text)
    note = f"{done(receipt)} a digest of {len(records)} records through {request.step.uses}"
    return StepResult(output=receipt, notes=(note,))


def written(records: list[Json], digest: Digest) -> str:
    """The text.

    Raises:
        StepError: A record has no such field.
    """
    count = str(len(records))
    lines = [digest.before.replace("{count}", count)] if digest.before else []
    lines += [_line(record, index, digest.each) for index, record in enumerate(records[: digest.most])]
    if len(records) > digest.most:
        lines.append(f"… and {len(records) - digest.most} more")
    lines += [digest.after.replace("{count}", count)] if digest.after else []
    return "\n".join(lines)


def _line(record: Json, index: int, template: str) -> str:
    def value(found: re.Match[str]) -> str:
        name = found[1].strip()
        if not isinstance(record, dict):
            if name == "item":
                return _text(record)
            raise StepError(f"element {index} is {describe_value(record)}, not a record", hint="write {item}")
        if name.partition(".")[0] not in record and name not in record:
            known = ", ".join(list(record)[:12])
            raise StepError(f"{record_name(record, index)} has no field '{name}'", hint=f"it has: {known}")
        return _text(field_of(record, name))

    return _FIELD.sub(value, template)


def _text(value: Json) -> str:
    if value is None:
        return ""
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
