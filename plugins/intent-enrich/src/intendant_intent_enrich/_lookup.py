"""Looks keys up through a connector: each once, many in one request where it takes that, no faster than asked."""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from urllib.parse import quote

from intendant.plugin import ConnectorError, Json, StepError, StepRequest
from intendant.records import composed, describe_value, field_of, identity_of, is_nothing
from intendant_intent_enrich._parameters import EnrichParameters

URL = "url"
PLACE = "{key}"
MOST_KEYS = 100_000


async def looked_up(
    request: StepRequest[EnrichParameters], records: Sequence[Mapping[str, Json]]
) -> tuple[list[Json], str]:
    """The records of all keys that the input has, and a note of how they were found.

    Raises:
        StepError: There are too many keys, or an answer holds no records.
        ConnectorError: The connector could not read.
    """
    options = request.parameters
    left, right = options.keys
    keys: dict[object, Json] = {}
    for record in records:
        value = field_of(dict(record), left)
        if not is_nothing(value):
            keys.setdefault(identity_of(value), value)
    if len(keys) > MOST_KEYS:
        raise StepError(f"{len(keys)} different keys are more than {MOST_KEYS}", hint="work on parts")
    wanted = list(keys.values())
    batches = [wanted[at : at + options.batch] for at in range(0, len(wanted), options.batch)]
    pace, slots = _Pace(options.per_second), asyncio.Semaphore(options.concurrency)

    absent: list[Json] = []

    async def one(batch: list[Json]) -> list[Json]:
        async with slots:
            await pace.wait()
            try:
                answer = await request.use_connector(None, _parameters(request, batch))
            except ConnectorError as error:
                if not error.absent or len(batch) > 1:
                    raise
                absent.append(batch[0])
                return []
        return [_keyed(found, batch, right) for found in _records(answer, options)]

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(batch)) for batch in batches]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    note = f"looked up {len(wanted)} keys in {len(batches)} requests through {request.step.uses}"
    if absent:
        which = "any of them: look at the address" if len(absent) == len(wanted) else f"{len(absent)} of them"
        note += f"; nothing is there for {which}"
    return [found for task in tasks for found in task.result()], note


def _parameters(request: StepRequest[EnrichParameters], batch: list[Json]) -> dict[str, Json]:
    options = request.parameters
    path = options.key or ""
    if path != URL:
        return {path: batch if options.batch > 1 else batch[0]}
    template = request.step.with_.get(URL)
    if not isinstance(template, str) or PLACE not in template:
        raise StepError("`key: url` needs `{key}` in `with.url`")
    text = ",".join(
        quote(key if isinstance(key, str) else describe_value(key).split()[-1], safe="") for key in batch
    )
    return {URL: template.replace(PLACE, text)}


def _records(answer: Json, options: EnrichParameters) -> list[dict[str, Json]]:
    found = (
        answer if options.records is None or not isinstance(answer, dict) else field_of(answer, options.records)
    )
    if found is None or found == "":
        return []
    listed = found if isinstance(found, list) else [found]
    odd = next((item for item in listed if not isinstance(item, dict)), None)
    if odd is not None:
        hint = "say with `records` where the records are" if options.records is None else ""
        raise StepError(f"an answer holds {describe_value(odd)}, not a record", hint=hint)
    return listed


def _keyed(record: dict[str, Json], batch: list[Json], right: str) -> dict[str, Json]:
    """A record with its key as the input writes it: 17 where the answer says "17"; what answers one key is its."""
    value = field_of(record, right)
    if len(batch) == 1 and is_nothing(value):
        return record | {right: batch[0]}
    text = _text(value)
    same = next((key for key in batch if identity_of(key) != identity_of(value) and _text(key) == text), None)
    return record if same is None or right not in record else record | {right: same}


def _text(value: Json) -> str:
    return composed(value) if isinstance(value, str) else str(value)


class _Pace:
    """Lets so many pass in a second, evenly."""

    def __init__(self, per_second: float | None) -> None:
        self._gap = 0.0 if per_second is None else 1 / per_second
        self._next = 0.0

    async def wait(self) -> None:
        """Until it is this one's time."""
        if not self._gap:
            return
        now = monotonic()
        at = max(now, self._next)
        self._next = at + self._gap
        await asyncio.sleep(at - now)
