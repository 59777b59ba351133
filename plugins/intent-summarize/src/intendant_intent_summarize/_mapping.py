"""Long input: points of each chunk (map), joined to one summary (reduce), with citations of where they stand."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from intendant import BudgetExceeded
from intendant.plugin import Compression, Json, ModelAnswer, StepError, StepRequest, ask, facts_in
from intendant_intent_summarize._grounds import NAME, Grounds, OnceStrict, named
from intendant_intent_summarize._prompts import CITED, JOINED, MAP_RULES, READ
from intendant_intent_summarize._sizes import Cut
from intendant_intent_summarize._source import Chunk

PARALLEL = 4
"""Chunks that are asked about at the same time."""
SHOWN = 80
"""Characters of a statement that a message shows."""
SPANS = 6
"""Places that a note names."""
_MARKS = re.compile(r"\s*\[\d+\](?:[\s,;]*\[\d+\])*")
_MARK = re.compile(r"\[(\d+)\]")
_SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "points": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"text": {"type": "string"}, "quote": {"type": "string"}},
                "required": ["text", "quote"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["points"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Point:
    """A statement about a chunk.

    Attributes:
        text: What it says.
        place: The numbers of the first and the last unit on which it rests.
        exact: False if it is only known in which chunk that stands.
    """

    text: str
    place: tuple[int, int]
    exact: bool


@dataclass(slots=True)
class Reading:
    """Reads chunks, and remembers what came of each.

    Args:
        request: The step.
        chunks: The chunks of its input.
        cut: How they are asked about.
        task: What the summary is for.
        names: True to check names.
    """

    request: StepRequest
    chunks: Sequence[Chunk]
    cut: Cut
    task: str
    names: bool
    points: dict[int, list[Point]] = field(default_factory=dict)
    fits: list[Compression] = field(default_factory=list)
    refused: dict[int, BudgetExceeded] = field(default_factory=dict)
    failed: dict[int, StepError] = field(default_factory=dict)
    unfounded: dict[int, list[str]] = field(default_factory=dict)
    strange: dict[int, list[str]] = field(default_factory=dict)

    async def read(self) -> None:
        """Ask about every chunk: several at a time, and one by one where the budget refuses that.

        Raises:
            BudgetExceeded: The budget admits no call at all.
            StepError: No answer about any chunk can be used.
        """
        ahead = asyncio.Semaphore(PARALLEL)

        async def one(index: int) -> None:
            async with ahead:
                if not self.refused:  # what is held for calls in flight may be what is missing
                    await self._ask(index)

        async with asyncio.TaskGroup() as group:
            for index in range(len(self.chunks)):
                group.create_task(one(index))
        for index in range(len(self.chunks)):
            if index not in self.points and index not in self.failed:
                self.refused.pop(index, None)
                await self._ask(index)
                if index in self.refused:
                    break
        if not self.points:
            raise next(iter((*self.failed.values(), *self.refused.values())))

    async def _ask(self, index: int) -> None:
        chunk = self.chunks[index]
        grounds = Grounds(chunk.text, names=self.names)
        check = OnceStrict(lambda value: _problems(value, grounds))
        request = replace(self.request, input=chunk.content)
        place = READ.format(number=index + 1, count=len(self.chunks), span=chunk.span, points=self.cut.points)
        try:
            found = await ask(
                request,
                system=MAP_RULES,
                task=f"{self.task}\n{place}",
                schema=_SCHEMA,
                check=check,
                max_output_tokens=self.cut.answer_tokens,
                room=self.cut.shown_tokens,
                query=self.task,  # records are not to be kept for holding the numbers of *place*
            )
        except BudgetExceeded as error:
            self.refused[index] = error
            return
        except StepError as error:
            self.failed[index] = error
            return
        self._keep(index, found, grounds)

    def _keep(self, index: int, found: ModelAnswer, grounds: Grounds) -> None:
        """Keep the points whose figures, identifiers and addresses stand in the chunk."""
        self.fits.append(found.fitted)
        self.points[index] = []
        for item in found.value["points"][: self.cut.points]:
            missing = grounds.missing_facts(item["text"])
            if missing:
                self.unfounded.setdefault(index, []).extend(missing)
            elif names := grounds.missing_names(item["text"]):
                self.strange.setdefault(index, []).extend(names)
            if not missing and item["text"].strip():
                self.points[index].append(_point(item, self.chunks[index]))

    def unread(self) -> list[str]:
        """The places that no call was made about, those next to each other as one."""
        return list(self._spans([n for n in range(len(self.chunks)) if n not in self.points | self.failed]))

    def _spans(self, indexes: Sequence[int]) -> Iterator[str]:
        first = 0
        for at, index in enumerate(indexes):
            if at + 1 == len(indexes) or indexes[at + 1] != index + 1:
                start, end = self.chunks[indexes[first]].first, self.chunks[index].last
                yield self.chunks[0].source.span(start, end)
                first = at + 1

    def notes(self) -> Iterator[str]:
        """What of the input was read, and how."""
        source, count = self.chunks[0].source, len(self.points)
        chunks = "1 chunk" if count == 1 else f"{count} chunks"
        part = "the input" if count == len(self.chunks) else f"a part of the input's {source.last} {source.word}s"
        lossy = [fit for fit in self.fits if not fit.lossless]
        how = ""
        if lossy:
            low, high = (f"{of(fit.quality for fit in lossy):.0%}" for of in (min, max))
            kept = low if low == high else f"{low} to {high}"
            how = f"; {len(lossy)} of them were compressed before, with {kept} of their facts kept"
        yield f"{part} was read in {chunks}{how}"
        if unread := self.unread():
            yield f"not read, as the budget admits no call about them: {', '.join(unread)}"
        if self.failed:
            places = ", ".join(self._spans(sorted(self.failed)))
            yield f"no answer about {places} could be used: {next(iter(self.failed.values())).message}"
        if self.unfounded:
            yield f"statements with what is not in the data were left out: {named(_in_order(self.unfounded))}"
        if self.strange:
            yield f"the data does not have these names: {named(_in_order(self.strange))}"


def _in_order(found: Mapping[int, list[str]]) -> list[str]:
    return [fact for index in sorted(found) for fact in found[index]]


def _problems(value: Json, grounds: Grounds) -> Iterator[str]:
    for item in value["points"]:
        if missing := grounds.missing(item["text"]):
            yield f"not in the data: {named(missing)} ('{item['text'][:SHOWN]}')"


def _point(item: Mapping[str, Json], chunk: Chunk) -> Point:
    text = " ".join(item["text"].split())
    facts = [fact for fact, weight in facts_in(text).items() if weight != NAME]
    place = chunk.find(item["quote"]) or chunk.find_all(facts)
    return Point(text, place or (chunk.first, chunk.last), place is not None)


# --- joining ---


@dataclass(frozen=True, slots=True)
class Joined:
    """A summary.

    Attributes:
        output: Its text, or data.
        notes: What users should know of it.
    """

    output: Json
    notes: tuple[str, ...]


async def joined(
    reading: Reading,
    *,
    system: str,
    schema: dict[str, Json] | None,
    citations: bool,
    max_output_tokens: int | None,
) -> Joined:
    """Join the points of all chunks to one summary.

    Args:
        reading: What was read.
        system: What is asked of a summary.
        schema: JSON Schema of the answer; None for text.
        citations: True to have places named in the text.
        max_output_tokens: The longest answer.

    Raises:
        StepError: No answer fits.
        BudgetExceeded: The budget does not admit the call, and data is wanted.
        ProviderError: The provider refused or broke off.
    """
    points = [point for index in sorted(reading.points) for point in reading.points[index]]
    span = reading.chunks[0].source.span
    marks = [f"[{n}] ({span(*point.place)})" if citations else "-" for n, point in enumerate(points, 1)]
    listed = "\n".join(f"{mark} {point.text}" for mark, point in zip(marks, points, strict=True))
    if not points:
        return Joined("" if schema is None else None, ("nothing that answers what was asked was found",))
    read = "".join(reading.chunks[index].text for index in reading.points)
    grounds = Grounds(f"{listed}\n{read}", names=reading.names)
    check = OnceStrict(lambda value: _faults(value, grounds, len(points), citations=citations))
    try:
        found = await ask(
            replace(reading.request, input=listed),
            system="\n".join((system, JOINED, *((CITED,) if citations else ()))),
            task=reading.task,
            schema=schema,
            check=check,
            max_output_tokens=max_output_tokens,
            rules="",
        )
    except BudgetExceeded as error:
        if schema is not None:
            raise
        lines = "\n".join(f"- {point.text}" + f" [{span(*point.place)}]" * citations for point in points)
        return Joined(lines, (f"the points of all chunks stand as they are: no call can join them ({error})",))
    if schema is None and not found.value:
        raise StepError("the model answered nothing at all")
    left = (f"still wrong after the summary was sent back: {fault}" for fault in check.left)
    output = _cited(found.value, points, reading) if citations else found.value
    return Joined(output, (*found.notes, *left, *(_of_places(points, reading) if citations else ())))


def _faults(value: Json, grounds: Grounds, count: int, *, citations: bool) -> Iterator[str]:
    text = value if isinstance(value, str) else " \n".join(_strings(value))
    if missing := grounds.missing(_MARKS.sub("", text) if citations else text):
        yield f"not in the data: {named(missing)}"
    if not citations:
        return
    for line in text.splitlines():
        bare = line.strip()
        if bare and not bare.startswith("#") and not bare.endswith(":") and not _MARK.search(bare):
            yield f"no number of a point stands after: '{bare[:SHOWN]}'"
    if wrong := sorted({int(n) for n in _MARK.findall(text) if not 1 <= int(n) <= count}):
        yield f"there is no point {', '.join(map(str, wrong))}"


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _cited(text: str, points: Sequence[Point], reading: Reading) -> str:
    """The text with places instead of the numbers of points."""
    source = reading.chunks[0].source

    def places(match: re.Match[str]) -> str:
        numbers = [int(n) for n in _MARK.findall(match[0])]
        found = sorted({points[n - 1].place for n in numbers if 1 <= n <= len(points)})
        if not found:
            return ""
        shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)
        single = len(found) == 1 and found[0][0] == found[0][1]
        return f" [{source.word}{'' if single else 's'} {shown}]"

    return _MARKS.sub(places, text)


def _of_places(points: Sequence[Point], reading: Reading) -> Iterator[str]:
    wide = sum(not point.exact for point in points)
    if wide:
        unit = reading.chunks[0].source.word
        yield f"{wide} of {len(points)} points could be placed in a chunk only, and not at a {unit}"
