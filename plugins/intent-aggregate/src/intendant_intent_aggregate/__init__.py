"""Groups records and computes figures of each group; joins and merges lists. A prompt asks a model."""

import asyncio
from collections.abc import Hashable

from intendant.plugin import (
    ANSWER_RULES,
    CompressionPolicy,
    IntentHandler,
    IntentSpec,
    Json,
    Step,
    StepError,
    StepRequest,
    StepResult,
    ask,
    is_reference,
    prompt_clash,
)
from intendant.records import as_list, as_records, field_of, identity_of, in_order, is_nothing, require_field
from intendant_intent_aggregate._join import Join, join
from intendant_intent_aggregate._measures import Figures, Measure, Records
from intendant_intent_aggregate._parameters import AggregateParameters

__all__ = ["AggregateHandler", "AggregateParameters", "Join", "Measure"]

OPTIONS = ("merge", "join", "group_by", "measures")
"""Parameters that compute without a model."""
SYSTEM = (
    "You put records together: group, compare, rank and name them, as is asked. Count and add up with care, and "
    "name the records by what identifies them."
)
ANYTHING: dict[str, Json] = {
    "type": "object",
    "properties": {"result": {"type": ["array", "object", "string", "number", "null"]}},
    "required": ["result"],
}
COUNT = {"count": Measure(count=True)}
PAUSE = 200
"""Groups between two looks at whether the step was cancelled."""


class AggregateHandler(IntentHandler[AggregateParameters]):
    """Groups records, counts, sums and averages them exactly; joins and merges lists.

    With a `prompt` and none of these, a model puts the records together; its figures are not exact.
    """

    instructions = f"{SYSTEM} {ANSWER_RULES}"
    spec = IntentSpec(
        name="aggregate",
        summary="Group records, compute figures, join and merge lists",
        examples=(
            "Get the total revenue per region",
            "Count the tickets by status",
            "Average delivery time for each carrier",
            "Combine the two customer lists into one",
            "Group the commits by author and folder",
            "Sum up all expenses of the month",
            "Merge the orders with their payments by order number",
        ),
        words=(
            "aggregate",
            "group",
            "sum",
            "total",
            "count",
            "average",
            "mean",
            "median",
            "combine",
            "merge",
            "join",
            "rollup",
            "per",
        ),
        tokens=1200,
        compression=CompressionPolicy(strategy="structural", floor=0.85),
        reasoning=3.0,
        output_complexity=6.0,
        connects=False,
    )

    def flows(self, step: Step) -> bool:
        """True without a model."""
        return not self.needs_model(step)

    def needs_model(self, step: Step) -> bool:
        """True where a prompt alone says what to put together."""
        return step.prompt is not None and not any(name in step.parameters for name in OPTIONS)

    def needs_language(self, step: Step) -> bool:
        """True where a model is asked: its answer is data of a given shape."""
        return self.needs_model(step)

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        found = [] if "input" in step.model_fields_set else ["`input` is missing: the list of records"]
        if step.prompt is None and not any(name in step.parameters for name in OPTIONS):
            found.append("nothing to do: give `group_by`, `measures`, `join`, `merge`, or a `prompt` for a model")
        return found + prompt_clash(step.parameters, step.prompt, OPTIONS)

    async def handle(self, request: StepRequest[AggregateParameters]) -> StepResult:
        """One record a group; one record in all if there are measures and no groups; else the joined records.

        Raises:
            StepError: The input is no list of records, or a value does not fit its measure.
            BudgetExceeded: The budget does not admit asking a model.
            ProviderError: The provider refused or broke off, or none can be used.
        """
        if self.needs_model(request.step):
            return await _put_together(request)
        if is_reference(request.input):
            from intendant_intent_aggregate._flow import aggregated

            return await aggregated(request)
        options = request.parameters
        notes: list[str] = []
        if options.appends:
            return StepResult(output=_appended(request.input, options, notes), notes=tuple(notes))
        records = _together(as_records(request.input), options, notes)
        if not options.keys and not options.measures:
            return StepResult(output=_cut(records, options), notes=tuple(notes))
        for field in options.figured:
            require_field(records, field)
        groups = _grouped(records, options, notes)
        figures = Figures(options.on_error)
        rows = await _measured(groups, options, figures)
        notes += figures.notes()
        if not options.keys:
            return StepResult(output=rows[0], notes=tuple(notes))
        return StepResult(output=_cut(rows, options), notes=tuple(notes))


async def _put_together(request: StepRequest[AggregateParameters]) -> StepResult:
    """What a model makes of the whole input: of the step's `output` shape, else of any."""
    if request.input in (None, "", [], {}):
        return StepResult(output=None, notes=("the input is empty; no model was asked",))
    wanted = request.step.output
    found = await ask(request, system=SYSTEM, task=request.prompt, schema=wanted or ANYTHING)
    value = found.value["result"] if wanted is None and isinstance(found.value, dict) else found.value
    return StepResult(output=value, notes=("a model put this together: its figures are not exact", *found.notes))


def _appended(value: Json, options: AggregateParameters, notes: list[str]) -> list[Json]:
    """Lists of whatever elements, one after the other."""
    found = list(as_list(value))
    for index, more in enumerate(options.merge):
        found += as_list(more, f"`merge[{index}]`")
    kind = "records" if all(isinstance(item, dict) for item in found) else "elements"
    notes.append(f"merged {len(options.merge) + 1} lists: {len(found)} {kind}")
    return found[: options.limit]


def _together(
    records: list[dict[str, Json]], options: AggregateParameters, notes: list[str]
) -> list[dict[str, Json]]:
    """The input with what is merged and joined."""
    if options.merge:
        records = list(records)
        for index, more in enumerate(options.merge):
            records += as_records(more, f"`merge[{index}]`")
        notes.append(f"merged {len(options.merge) + 1} lists: {len(records)} records")
    return records if options.join is None else join(records, options.join, notes)


def _grouped(records: list[dict[str, Json]], options: AggregateParameters, notes: list[str]) -> list[Records]:
    """The records by their keys, in the order in which the keys first occur."""
    if not options.keys:
        return [list(enumerate(records))]
    groups: dict[Hashable, Records] = {}
    without = 0
    for index, record in enumerate(records):
        values = [field_of(record, key) for key in options.keys]
        if any(is_nothing(value) for value in values) and not options.include_null:
            without += 1
            continue
        key = tuple(identity_of(None if value == "" else value) for value in values)
        groups.setdefault(key, []).append((index, record))
    if records and without == len(records):
        names = ", ".join(options.keys)
        raise StepError(
            f"no record has a value for {names}", hint=f"the first record has: {', '.join(records[0])}"
        )
    notes.append(f"{len(records) - without} records in {len(groups)} groups")
    if without:
        notes.append(f"{without} records without {' or '.join(options.keys)} left out")
    return list(groups.values())


async def _measured(
    groups: list[Records], options: AggregateParameters, figures: Figures
) -> list[dict[str, Json]]:
    rows = []
    for number, group in enumerate(groups):
        if number % PAUSE == 0:
            await asyncio.sleep(0)
        row = {key: field_of(group[0][1], key) for key in options.keys}
        row = {key: None if value == "" else value for key, value in row.items()}
        measures = options.measures or COUNT
        rows.append(row | {name: figures.of(measure, group) for name, measure in measures.items()})
    return rows


def _cut(rows: list[dict[str, Json]], options: AggregateParameters) -> list[dict[str, Json]]:
    return in_order(rows, options.order)[: options.limit]
