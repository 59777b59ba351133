"""Adds fields to records: by key from other data, where nothing is made up, or by asking a model."""

import asyncio

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
    prompt_clash,
)
from intendant.records import as_records, describe_value, field_of, identity_of, is_nothing
from intendant_intent_enrich._parameters import EnrichParameters, Keys
from intendant_intent_enrich._source import Source

__all__ = ["EnrichHandler", "EnrichParameters", "Keys"]

Record = dict[str, Json]
OPTIONS = ("from", "on")
"""Parameters that add fields without a model."""
LOOKUP = {"on": "the key's field", "key": "the parameter of `with` that takes the key, such as `query.id`"}
MOST_CELLS = 10_000_000
"""Records times fields that are added to each."""
PAUSE = 2000
"""Records between two looks at whether the step was cancelled."""


class EnrichHandler(IntentHandler[EnrichParameters]):
    """Adds fields to records by looking their key up in other data.

    With a `prompt` and no `from`, a model fills the fields: labels, scores, what a text is about.
    """

    instructions = ANSWER_RULES
    spec = IntentSpec(
        name="enrich",
        summary="Add fields to records by looking them up",
        examples=(
            "Look up the account owner for every deal",
            "Add the customer's address to each order",
            "Enrich the leads with company size and industry",
            "Attach the product names to the line items by article number",
            "Fill in the country for each postcode",
            "Append the manager's e-mail to every employee record",
            "Complete the contacts with data from the CRM export",
        ),
        words=(
            "enrich",
            "look up",
            "lookup",
            "add",
            "attach",
            "append",
            "augment",
            "complete",
            "annotate",
            "fill in",
        ),
        tokens=1000,
        compression=CompressionPolicy(strategy="structural", floor=0.85),
        reasoning=3.0,
        output_complexity=6.0,
        reads_only=True,
    )

    def needs_model(self, step: Step) -> bool:
        """True where a prompt alone says what to add."""
        return step.prompt is not None and not any(name in step.parameters for name in OPTIONS)

    def batches(self, step: Step) -> bool:
        """True where a model is asked, about the records of each call."""
        return self.needs_model(step)

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        if step.uses is not None:
            return _lookup_faults(step)
        found = [] if "input" in step.model_fields_set else ["`input` is missing: the records to add fields to"]
        if step.prompt is None:
            missing = [f"`{name}`" for name in OPTIONS if name not in step.parameters]
            if missing:
                found.append(
                    f"{' and '.join(missing)} is missing: where to look up; or give a `prompt` for a model"
                )
        elif "allowed" in step.parameters and any(name in step.parameters for name in OPTIONS):
            found.append("`allowed` belongs to a prompt, and `from` looks fields up")
        return found + prompt_clash(step.parameters, step.prompt, OPTIONS)

    async def handle(self, request: StepRequest[EnrichParameters]) -> StepResult:
        """The records of the input with the fields added, in their order.

        Raises:
            StepError: A key is not found or ambiguous where that is not allowed, or a field is nowhere.
            BudgetExceeded: The budget does not admit asking a model.
            ProviderError: The provider refused or broke off, or none can be used.
        """
        if self.needs_model(request.step):
            from intendant_intent_enrich._model import annotated

            return await annotated(request)
        options = request.parameters
        records = as_records(request.input)
        notes: list[str] = []
        given: Json = options.from_
        if request.step.uses is not None:
            from intendant_intent_enrich._lookup import looked_up

            given, note = await looked_up(request, records)
            notes.append(note)
        source = Source(given, options.keys[1], options.into)
        adder = _Adder(options, source)
        if options.into is None and len(records) * len(adder.columns) > MOST_CELLS:
            many = f"{len(records)} records would get {len(adder.columns)} fields each"
            raise StepError(f"{many}, more than {MOST_CELLS} values", hint="name the `fields` that are needed")
        output = []
        for index, record in enumerate(records):
            if index % PAUSE == 0:
                await asyncio.sleep(0)
            found = adder.enriched(record, index)
            if found is not None:
                output.append(found)
        return StepResult(output=output, notes=(*notes, *adder.notes(len(records))))


def _lookup_faults(step: Step) -> list[str]:
    """What is wrong with a step that looks keys up through a connector."""
    given = step.options
    found = [f"`{name}` is missing under `options`: {what}" for name, what in LOOKUP.items() if name not in given]
    if "input" not in step.model_fields_set:
        found.append("`input` is missing: the records to add fields to")
    if "from" in given:
        found.append("`from` and `uses` both say where to look up: give one of them")
    if step.prompt is not None:
        found.append("`uses` looks fields up and `prompt` asks a model: make two steps of it")
    return found


class _Adder:
    """Adds fields, and counts what became of the records."""

    def __init__(self, options: EnrichParameters, source: Source) -> None:
        self.options, self.source = options, source
        self.matched = self.unmatched = self.ambiguous = self.untouched = 0
        self.differs = False
        self.columns = self._columns()

    def _columns(self) -> dict[str, str]:
        """Old names by the new names of what is added.

        Raises:
            StepError: A field is asked for that no record of the source has.
        """
        names = self.options.names
        if names is None:
            return {self.options.prefix + name: name for name in self.source.columns}
        for old in names.values():
            if self.source.columns and old not in self.source.columns and "." not in old:
                known = ", ".join(self.source.columns[:12])
                raise StepError(f"no record of `from` has the field '{old}'", hint=f"they have: {known}")
        return {self.options.prefix + new: old for new, old in names.items()}

    def enriched(self, record: Record, index: int) -> Record | None:
        """The record with its fields added; None if it is dropped."""
        key = field_of(record, self.options.keys[0])
        found = self.source.of(key)
        if found:
            self.matched += 1
            return self._add(record, self._one(found, key, index))
        self.unmatched += 1
        self.differs = self.differs or self.source.differs(key)
        if self.options.missing == "fail":
            where = (
                "has no key" if is_nothing(key) else f"has the key {describe_value(key)}, which is not in `from`"
            )
            raise StepError(f"record {index} {where}", hint="missing: keep or missing: drop lets it pass")
        return None if self.options.missing == "drop" else self._add(record, self._nothing())

    def _one(self, found: list[Json], key: Json, index: int) -> Record:
        """What a key stands for, as fields by their new names."""
        if len(found) > 1:
            self.ambiguous += 1
            if self.options.many == "fail":
                raise StepError(
                    f"record {index}: `from` has {len(found)} records of the key {describe_value(key)}",
                    hint="many: first takes the first, many: list with `into` takes all",
                )
        if self.options.into is None:
            return {new: field_of(found[0], old) for new, old in self.columns.items() if self._has(found[0], old)}
        chosen = [self._nested(item) for item in found]
        return {self.options.into: chosen if self.options.many == "list" else chosen[0]}

    def _has(self, record: Record, old: str) -> bool:
        return self.options.names is not None or old in record

    def _nested(self, item: Json) -> Json:
        if self.options.names is None or not isinstance(item, dict):
            return item
        return {new: field_of(item, old) for new, old in self.columns.items()}

    def _nothing(self) -> Record:
        """What a record gets whose key was not found: null in each field, so that all records have the same."""
        if self.options.into is not None:
            return {self.options.into: [] if self.options.many == "list" else None}
        return dict.fromkeys(self.columns)

    def _add(self, record: Record, fields: Record) -> Record:
        result = dict(record)
        for name, value in fields.items():
            there = name in result and not (self.options.overwrite == "null" and is_nothing(result[name]))
            if not there or (self.options.overwrite is True and value is not None):
                result[name] = value
            elif value is not None and identity_of(result[name]) != identity_of(value):
                self.untouched += 1
        return result

    def notes(self, total: int) -> list[str]:
        """The counts."""
        deed = {"keep": "kept without", "drop": "dropped", "fail": ""}[self.options.missing]
        notes = [
            f"{self.matched} of {total} records matched" + (f", {self.unmatched} {deed}" * bool(self.unmatched))
        ]
        if self.ambiguous:
            notes.append(f"{self.ambiguous} keys were found more than once ({self.options.many} taken)")
        if self.untouched:
            notes.append(
                f"{self.untouched} fields were there already with another value and were left as they were"
            )
        if self.source.unkeyed:
            notes.append(f"{self.source.unkeyed} records of `from` have no key")
        if self.differs and not self.matched:
            notes.append("nothing matched: the keys are of different types, such as 17 and '17'")
        return notes
