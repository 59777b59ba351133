"""Reads through a connector, pulls fields out of text, or asks a model where language has to be understood."""

from dataclasses import replace

from pydantic import Field

from intendant.plugin import (
    CompressionPolicy,
    IntentHandler,
    IntentSpec,
    Json,
    Options,
    Step,
    StepError,
    StepRequest,
    StepResult,
    is_reference,
    prompt_clash,
)
from intendant.records import composed
from intendant_intent_extract._fields import FieldSpec, pull
from intendant_intent_extract._paths import nothing_at, path_faults, selected
from intendant_intent_extract._prompts import SYSTEM

__all__ = ["ExtractHandler", "ExtractParameters", "ExtractSettings", "FieldSpec"]

INTENT_EXAMPLES = (
    "Fetch the unread mails from the inbox",
    "Read the orders from orders.csv",
    "Pull the invoice number and the total out of the text",
    "Get all e-mail addresses mentioned in the thread",
    "Retrieve the commits of the last two weeks",
    "List the files in the upload folder",
    "Extract names, dates and amounts from the contract",
)


class ExtractSettings(Options):
    """Settings of the handler."""

    pattern_seconds: float = Field(10.0, gt=0, le=3600)
    """Time limit in seconds for a step's regular expressions on all texts together."""
    max_characters: int = Field(20_000_000, gt=0)
    """Maximum number of characters of all texts together in which fields are searched; more is refused."""


class ExtractParameters(Options):
    """What to extract from text, for a step that uses no connector."""

    fields: dict[str, FieldSpec] = Field(default_factory=dict)
    """What to look for, by the name of the output field."""
    path: str | None = None
    """A JMESPath expression (https://jmespath.org) that selects part of what was read or of the input, such as
    `orders[?state=='open'].{id: id, name: customer.name}`."""
    evidence: bool = False
    """With a prompt and an `output` schema: each value must be supported by a quotation from the input; the notes
    show the quotations."""
    from_: str | list[str] | None = Field(None, alias="from")
    """If the input is records: the fields that contain the text. What is found is added to the record."""


class ExtractHandler(IntentHandler[ExtractParameters]):
    """Reads data through a connector, or pulls named fields out of text."""

    instructions = SYSTEM
    spec = IntentSpec(
        name="extract",
        summary="Read data from a connector, or pull named fields out of text",
        examples=INTENT_EXAMPLES,
        words=(
            "extract",
            "fetch",
            "read",
            "get",
            "retrieve",
            "pull",
            "list",
            "load",
            "search",
            "query",
            "parse out",
        ),
        tokens=800,
        compression=CompressionPolicy(strategy="structural", floor=0.85),
        reasoning=3.0,
        output_complexity=5.0,
    )
    Settings = ExtractSettings

    def needs_model(self, step: Step) -> bool:
        """Where a prompt asks, or neither a connector nor `fields` say what to take."""
        given = step.parameters
        plain = step.uses is not None or given.get("fields") or (given.get("path") and step.output is None)
        return step.prompt is not None or not plain

    def needs_language(self, step: Step) -> bool:
        """True where a model is asked: its answer is data of a given shape."""
        return self.needs_model(step)

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        found = path_faults(step.parameters.get("path"))
        asks = step.prompt is not None or step.output is not None or "path" in step.parameters
        if step.parameters.get("evidence") and (step.output is None or step.prompt is None):
            found.append("`evidence` needs a `prompt` and an `output` schema: it is of a model's answer")
        if step.uses is not None:
            return found + prompt_clash(step.parameters, step.prompt, ("fields",))
        if not step.parameters.get("fields"):
            if not asks:
                found.append("nothing says what to extract: give `uses`, `with.fields`, or a `prompt` for a model")
            if "from" in step.parameters:
                found.append("`from` belongs to `fields`; a model is given the whole input")
        elif step.prompt is not None:
            found.append("`fields` are found without a model and `prompt` asks one: make two steps of it")
        if "input" not in step.model_fields_set:
            found.append("`input` is missing: the text to extract from")
        return found

    async def handle(self, request: StepRequest[ExtractParameters]) -> StepResult:
        """What the connector reads; or the fields; or the model's answer, of what was read if there is a prompt.

        Raises:
            StepError: The input is no text, a required field is not found, or the answer is not JSON.
            ConnectorError: The connector could not read.
        """
        if request.parameters.path is not None and request.step.uses is None:
            part = selected(request.parameters.path, request.input)
            if not request.parameters.fields and not request.prompt and request.step.output is None:
                told = (nothing_at(request.parameters.path, request.input),) if part is None else ()
                return StepResult(output=part, notes=told)
            request = replace(request, input=part)
        if request.step.uses is not None:
            return await self._read(request)
        options = request.parameters
        if options.fields:
            return await self._pull(request.input, options)
        if not request.prompt and request.step.output is None:
            raise StepError("nothing says what to extract", hint="give `uses`, `with.fields`, or a `prompt`")
        from intendant_intent_extract._model import answer

        return await answer(request, evidence=options.evidence)

    async def _read(self, request: StepRequest[ExtractParameters]) -> StepResult:
        """What the connector reads, or what fields or a model make of that."""
        data = await request.use_connector(request.input)
        count = f": {len(data)} records" if isinstance(data, list) else ""
        if is_reference(data):
            return await self._flowing(request, data)
        note = f"read through {request.step.uses}{count}"
        if request.parameters.path is not None:
            whole, data = data, selected(request.parameters.path, data)
            note += f"; {nothing_at(request.parameters.path, whole)}" if data is None else ""
        if request.parameters.fields:
            pulled = await self._pull(data, request.parameters)
            return pulled.model_copy(update={"notes": (note, *pulled.notes)})
        if not request.prompt:
            return StepResult(output=data, notes=(note,))
        from intendant_intent_extract._model import answer

        made = await answer(replace(request, input=data), evidence=request.parameters.evidence)
        return made.model_copy(update={"notes": (note, *made.notes)})

    async def _flowing(self, request: StepRequest[ExtractParameters], data: Json) -> StepResult:
        """Records that are too many to be held: left where they are, or with fields pulled out of each batch."""
        note = f"read through {request.step.uses}: {data['bytes']} bytes, whose records flow"
        if request.parameters.path is not None:
            raise StepError(
                "`path` takes a part of data that is held, and these records flow",
                hint="read them with `records: list`, or filter them in a step of its own",
            )
        if request.prompt:
            raise StepError(
                "there are too many records to ask a model about at once",
                hint="filter them in a step without a prompt first",
            )
        if not request.parameters.fields:
            return StepResult(output=data, notes=(note,))
        writer = request.records.writer()
        count = 0
        async for batch in request.records.batches(data):
            await writer.add((await self._pull(batch, request.parameters)).output)
            count += len(batch)
        return StepResult(output=await writer.finish(), notes=(f"{note}: {count}",))

    async def _pull(self, value: Json, options: ExtractParameters) -> StepResult:
        items = value if isinstance(value, list) else [value]
        texts = [composed(_text(item, index, options.from_)) for index, item in enumerate(items)]
        size = sum(map(len, texts))
        if size > self.settings.max_characters:
            raise StepError(
                f"the texts have {size} characters, more than {self.settings.max_characters}",
                hint="raise the setting max_characters of intent:extract, or work on parts",
            )
        notes: list[str] = []
        rows = await pull(texts, options.fields, self.settings.pattern_seconds, notes)
        rows = [_added(item, row, index) for index, (item, row) in enumerate(zip(items, rows, strict=True))]
        return StepResult(output=rows if isinstance(value, list) else rows[0], notes=tuple(notes))


def _text(item: Json, index: int, names: str | list[str] | None) -> str:
    if isinstance(item, str) and names is None:
        return item
    if isinstance(item, dict) and names is not None:
        values = [item.get(name) for name in ([names] if isinstance(names, str) else names)]
        odd = [value for value in values if value is not None and not isinstance(value, str)]
        if not odd:
            return "\n".join(value for value in values if value is not None)
        raise StepError(f"element {index}: `from` names {type(odd[0]).__name__}, not text")
    if isinstance(item, dict):
        raise StepError(
            f"element {index} of the input is a record",
            hint=f"say with `from` which field has the text: {', '.join(item)}",
        )
    wanted = "text" if names is None else "a record with the fields of `from`"
    raise StepError(f"element {index} of the input is {type(item).__name__}, not {wanted}")


def _added(item: Json, row: dict[str, Json], index: int) -> dict[str, Json]:
    if not isinstance(item, dict):
        return row
    taken = sorted(set(item) & set(row))
    if taken:
        raise StepError(
            f"element {index} has a field '{taken[0]}' already", hint="choose another name under `fields`"
        )
    return item | row
