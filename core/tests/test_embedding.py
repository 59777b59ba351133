"""Memories that say it in other words: an embedder finds them beside the own ranking, and is paid for."""

import pytest
from sqlalchemy import func, select

from intendant import Workflow
from intendant.planning.recall import cosine, fused, unit
from intendant.plugin import ConnectorError, Embedder, IntentHandler, IntentSpec, StepResult
from intendant.record.store.tables import memory_vector
from intendant.testing import engine

AXES = ("pay invoice bill settle", "car automobile vehicle", "cat kitten feline", "ship deliver send parcel")


class Axes(Embedder):
    """A place has an axis for each group of like words, and counts them: the same wherever it runs."""

    name = "axes"
    space = "4"

    def __init__(self, price: int = 0, answer=None) -> None:
        super().__init__()
        self.price, self.answer = price, answer
        self.asked: list[list[str]] = []

    def cost_of(self, texts):
        return self.price * len(texts)

    async def embed(self, texts):
        self.asked.append(list(texts))
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return self.answer
        return [
            [sum(word.strip(".?,") in axis.split() for word in text.lower().split()) for axis in AXES]
            for text in texts
        ]


class Note(IntentHandler):
    """Gives what it was told."""

    spec = IntentSpec(name="note", summary="Note", examples=("Note",), memory=True)

    async def handle(self, request):
        return StepResult(output=request.memory.notes if request.memory else ())


MEMORIES = ("The Northwind bill is due in June.", "Ada's automobile is red.", "A kitten sleeps in the office.")


async def filled(service, agent: str = "clerk"):
    memory = service.memory(agent)
    for text in MEMORIES:
        await memory.add(text)
    return memory


async def recalled(memory, question: str) -> list[str]:
    return [each.text for each in await memory.recall(question)]


async def vectors(service) -> int:
    query = select(func.count()).select_from(memory_vector)
    return await service._engine.store.do(lambda connection: connection.execute(query).scalar_one())


@pytest.fixture
async def service(url):
    async with engine(Axes(), Note(), db=url) as made:
        yield made


def axes_of(service) -> Axes:
    return service._engine.plugins.embedders["axes"]


async def test_without_an_embedder_other_words_find_nothing(url) -> None:
    async with engine(Note(), db=url) as service:
        memory = await filled(service)
        assert await recalled(memory, "feline") == []
        assert await vectors(service) == 0


async def test_an_embedder_finds_what_other_words_say_beside_what_the_own_ranking_finds(service) -> None:
    memory = await filled(service)
    assert await recalled(memory, "feline") == [MEMORIES[2]]
    assert await recalled(memory, "Who drives a vehicle?") == [MEMORIES[1]]
    found = await recalled(memory, "Northwind feline")
    assert set(found) == {MEMORIES[0], MEMORIES[2]}, "one by its words, one by its place"
    assert await recalled(memory, "weather") == []


async def test_each_memory_is_embedded_once_until_its_text_changes(service) -> None:
    memory, axes = await filled(service), axes_of(service)
    await recalled(memory, "feline")
    assert axes.asked == [["feline"], list(reversed(MEMORIES))]
    axes.asked.clear()
    await recalled(memory, "vehicle")
    assert axes.asked == [["vehicle"]]
    (first,) = [each for each in await memory.entries() if each.text == MEMORIES[0]]
    await memory.edit(first.id, text="A parcel is on its way.")
    assert await vectors(service) == 2
    axes.asked.clear()
    assert await recalled(memory, "deliver") == ["A parcel is on its way."]
    assert axes.asked == [["deliver"], ["A parcel is on its way."]]


async def test_what_is_forgotten_leaves_no_place_behind(service) -> None:
    memory = await filled(service)
    await recalled(memory, "feline")
    assert await vectors(service) == 3
    await memory.forget((await memory.entries())[0].id)
    assert await vectors(service) == 2
    await memory.forget_all()
    assert await vectors(service) == 0


async def test_places_of_another_space_are_not_compared(service) -> None:
    memory, axes = await filled(service), axes_of(service)
    await recalled(memory, "feline")
    axes.asked.clear()
    axes.space = "5"
    assert await recalled(memory, "feline") == [MEMORIES[2]]
    assert axes.asked == [["feline"], list(reversed(MEMORIES))]
    assert await vectors(service) == 3


async def test_runs_are_told_of_it_and_plans_do_not_ask(service) -> None:
    await filled(service)
    axes = axes_of(service)
    steps = [{"id": "a", "intent": "note", "prompt": "Feed the feline"}]
    workflow = Workflow.model_validate({"name": "t", "agent": "clerk", "budget": {"tokens": 1000}, "steps": steps})
    await service.plan(workflow)
    assert axes.asked == []
    result = await service.run(workflow)
    assert axes.asked
    row = await service.operations.run(result.run_id)
    assert MEMORIES[2] in row.memory


@pytest.mark.parametrize(
    ("agents", "question", "found"),
    [
        ({"embedder": "off"}, "feline", []),
        ({"embedder": "axes"}, "feline", [MEMORIES[2]]),
        ({"embedder": "another"}, "feline", []),
        ({"similarity": 0.9}, "feline or parcel", []),  # the cosine is 0.707
        ({"similarity": 0.6}, "feline or parcel", [MEMORIES[2]]),
    ],
)
async def test_the_settings_say_which_is_asked_and_how_alike_it_has_to_be(agents, question, found) -> None:
    async with engine(Axes(), Note(), settings={"agents": agents}) as service:
        assert await recalled(await filled(service), question) == found


async def test_embedding_is_held_and_charged_to_the_agent(url) -> None:
    settings = {"budget": {"lease_seconds": 0}}
    async with engine(Axes(price=1000), Note(), db=url, settings=settings) as service:
        memory = await filled(service)
        await service.operations.set_limit("agent:clerk", "day", tokens=None, usd=1, by="ada")
        assert await recalled(memory, "feline") == [MEMORIES[2]]
        (limit,) = await service.operations.limits()
        assert (limit.spent_micro, limit.held_micro) == (4000, 0)
        assert (await service.operations.costs())["total"]["micro_usd"] == 4000
        (run,) = await service.operations.runs()
        assert (run.workflow, run.status, run.micro_usd) == ("memories of clerk", "completed", 4000)


async def test_where_a_limit_does_not_admit_it_the_own_ranking_is_left(url) -> None:
    async with engine(Axes(price=1000), Note(), db=url) as service:
        memory = await filled(service)
        await service.operations.set_limit("agent:clerk", "day", tokens=None, usd=0.0005, by="ada")
        assert await recalled(memory, "Northwind feline") == [MEMORIES[0]]
        assert axes_of(service).asked == [], "nothing was asked that cannot be paid"
        (limit,) = await service.operations.limits()
        assert (limit.spent_micro, limit.held_micro) == (0, 0)


async def test_one_recall_takes_no_more_than_it_may(url) -> None:
    async with engine(Axes(price=1000), Note(), db=url, settings={"agents": {"embedding_usd": 0.002}}) as service:
        memory = await filled(service)
        assert await recalled(memory, "feline") == []
        assert axes_of(service).asked == [["feline"]], "the three memories cost more than was left"


async def test_a_price_of_the_settings_wins(url) -> None:
    prices = {"prices": {"uses": {"axes.embed": 0.005}}}
    async with engine(Axes(), Note(), db=url, settings=prices) as service:
        await recalled(await filled(service), "feline")
        assert (await service.operations.costs())["total"]["micro_usd"] == 10_000


@pytest.mark.parametrize(
    ("answer", "charged"),
    [
        (ValueError("out of order"), 1000),
        (ConnectorError("no route to host", delivered=False), 0),
        ([], 1000),
        ([[1.0], [2.0]], 1000),
        ([["x"]], 1000),
        ([[float("nan")] * 4], 4000),
        ([[0.0] * 4], 4000),
    ],
)
async def test_an_embedder_that_fails_or_answers_nonsense_keeps_nobody_from_recalling(answer, charged) -> None:
    axes = Axes(price=1000, answer=answer)
    async with engine(axes, Note()) as service:
        memory = await filled(service)
        assert await recalled(memory, "Northwind feline") == [MEMORIES[0]]
        assert (await service.operations.costs())["total"]["micro_usd"] <= charged


def test_rankings_are_put_together_by_ranks() -> None:
    assert fused([1, 2, 3], [], limit=5) == [1, 2, 3]
    assert fused([1, 2], [2, 9], limit=5) == [2, 1, 9], "1/61 + 1/62 of two rankings is more than 1/61 of one"
    assert fused([1, 2, 3], [4], limit=2) == [4, 1], "of the same rank the newer one is first"


def test_a_place_has_length_one_or_is_none() -> None:
    assert list(unit([3, 4])) == pytest.approx([0.6, 0.8])
    assert cosine(unit([1, 0]), unit([1, 1])) == pytest.approx(0.7071, abs=1e-4)
    assert cosine(unit([1, 0]), unit([1, 0, 0])) == 0.0
    assert unit([0, 0]) is None
    assert unit([float("inf"), 1]) is None
