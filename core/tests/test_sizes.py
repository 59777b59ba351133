"""How many tokens a request is held for: to the token, for each way in which a provider says how it counts."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from intendant.model.errors import PluginLoadError
from intendant.plugin import (
    Image,
    Message,
    ModelRequest,
    ProviderError,
    Route,
    TokenCounting,
    Tool,
    ToolCall,
)
from intendant.spending.sizing import Sizes, texts_of
from intendant.testing import ScriptedProvider

ROUTE = Route(tier="t", provider="scripted", model="m", max_output_tokens=60, reason="")
OTHER = ROUTE.model_copy(update={"model": "n"})
FRAMES = {"message": 5, "request": 7, "schema": 11, "image": 13, "tools": 17}
SCHEMA = {"type": "object", "title": "a<b>&'c'"}
TOOLS = tuple(Tool(name=f"t{n}", description="d" * n, parameters={"type": "object"}) for n in (3, 40))
PICTURE = Image(media_type="image/png", data="")


class Counts(ScriptedProvider):
    """A provider that counts as it is told to."""

    def __init__(self, how: TokenCounting, counts: bool | None = False, found: Any = 100) -> None:
        super().__init__()
        self._how, self._counts, self._found, self.asked = how, counts, found, 0

    def token_counting(self, model: str) -> TokenCounting:
        return self._how

    def counts_tokens(self, model: str) -> bool | None:
        return self._counts

    async def count_tokens(self, model: str, request: ModelRequest) -> int | None:
        self.asked += 1
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def sizes(bound: Any = "proven", counts: bool | None = False, found: Any = 100, **how: Any) -> Sizes:
    return Sizes({"scripted": Counts(TokenCounting(**how), counts, found)}, bound)


def asked(*texts: str, **more: Any) -> ModelRequest:
    return ModelRequest(messages=tuple(Message(content=text) for text in texts or ("",)), **more)


def plain(value: Any) -> int:
    return len(json.dumps(value))


def indented(value: Any) -> int:
    """With room for each sign that may be escaped."""
    text = json.dumps(value, indent=4)
    return len(text) + 5 * sum(sign in "<>&'" for sign in text)


@pytest.mark.parametrize(
    ("how", "of_text", "of_structure"),
    [
        ({"count": len, "exact": True}, len, plain),
        ({}, len, indented),
        ({"tokenizer": "sentencepiece"}, lambda text: len(text) + 1, lambda value: indented(value) + 1),
        ({"tokenizer": "unknown"}, len, plain),
    ],
    ids=["exact", "by bytes", "sentencepiece", "unknown"],
)
def test_each_part_of_a_request_is_held_with_what_stands_around_it(
    how: dict[str, Any], of_text: Callable[[str], int], of_structure: Callable[[Any], int]
) -> None:
    made = sizes(**how, **FRAMES)
    text = 7 + of_text("abc") + 5 + of_text("hello") + 5
    assert made.input_tokens(ROUTE, asked("hello", "", system="abc")) == text, "an empty turn takes nothing"
    schema = 11 + of_structure(SCHEMA) + 5
    assert made.input_tokens(ROUTE, asked("hello", system="abc", json_schema=SCHEMA)) == text + schema
    pictures = ModelRequest(
        messages=(Message(content="hello", images=(PICTURE,) * 2), Message(content="", images=(PICTURE,)))
    )
    assert made.input_tokens(ROUTE, pictures) == 7 + of_text("hello") + 5 + 3 * 13
    tools = 17 + sum(of_structure(tool.model_dump()) + 5 for tool in TOOLS)
    assert made.tool_tokens(ROUTE, TOOLS) == tools
    assert made.input_tokens(ROUTE, asked("hello", system="abc", tools=TOOLS)) == text + tools
    assert made.tool_tokens(ROUTE, ()) == 0


def test_estimates_are_raised_by_the_factor_of_the_provider() -> None:
    """Of its own tokenizer, or else of that of another provider; the first that has one here."""
    near = sizes("likely", count=len, factor=1.25)
    assert near.input_tokens(ROUTE, asked("hello")) == 7 + 8
    assert [near.upper(ROUTE)("hello"), near.counter(ROUTE)("hello")] == [7, 7]
    assert near.upper(ROUTE).bound == "likely"

    class Tokenizes(ScriptedProvider):
        def tokenizer(self):
            return lambda text: 100 * len(text)

    providers = {"none": ScriptedProvider(), "has": Tokenizes(), "scripted": Counts(TokenCounting(factor=2))}
    assert Sizes(providers, "likely").counter(ROUTE)("hello") == 1000
    assert Sizes(providers, "proven").counter(ROUTE)("hello") == 5
    counting = {**providers, "scripted": Counts(TokenCounting(factor=2), counts=True)}
    assert Sizes(counting, "proven").counter(ROUTE)("hello") == 1000, "its own count will decide"
    assert Sizes(counting, "proven").upper(ROUTE)("hello") == 5


def test_a_provider_that_is_not_there_is_named() -> None:
    with pytest.raises(PluginLoadError, match="the provider 'scripted' is not installed"):
        Sizes({"other": ScriptedProvider()}).input_tokens(ROUTE, asked("hello"))


# --- asking the provider ---


@pytest.mark.parametrize(
    ("bounded", "room", "asks"),
    [
        (2048, None, False),
        (2049, None, True),
        (512, 1000, False),
        (513, 1000, True),
        (1000, 4000, False),
        (1001, 4000, True),
        (2048, 8200, False),
        (2049, 100_000, True),
        (513, None, False),
    ],
)
async def test_a_provider_is_asked_where_the_bound_is_large_or_much_of_what_is_left(bounded, room, asks) -> None:
    made = sizes(counts=True, message=0)
    found = await made.measure(ROUTE, asked("x" * bounded), room)
    assert found == ((103, "exact") if asks else (bounded, "proven")), "two percent more, and one"


@pytest.mark.parametrize(
    ("more", "counted"),
    [
        ({"bound": "likely"}, False),
        ({"count": len, "exact": True}, False),
        ({"counts": False}, False),
        ({"counts": None}, True),
        ({"found": None}, False),
        ({"found": ProviderError("no", billed=False)}, False),
        ({"found": LookupError("no")}, False),
        ({"found": 3400, "margin": 1.0}, True),
        ({"found": 5000, "margin": 1.0}, False),
        ({"found": 6000, "margin": 0.5}, True),
    ],
)
async def test_a_provider_s_count_takes_the_place_of_a_higher_bound(more, counted) -> None:
    made = sizes(**{"counts": True, "message": 0, **more})
    found = await made.measure(ROUTE, asked("x" * 5000), None)
    assert (found.tokens < 3500) is counted
    assert (found.bound == "exact") is (counted or "exact" in more)


@pytest.mark.parametrize(
    ("margin", "found", "tokens"), [(1.0, 100, 100), (1.02, 100, 103), (1.02, 150, 154), (0.9, 101, 91)]
)
async def test_a_provider_s_count_is_raised_where_it_calls_it_an_estimate(margin, found, tokens) -> None:
    assert await sizes(counts=True, found=found, margin=margin).counted(ROUTE, asked("x")) == tokens


async def test_requests_that_take_the_same_tokens_are_counted_once() -> None:
    provider = Counts(TokenCounting(), counts=True)
    made = Sizes({"scripted": provider}, "proven")
    one = asked("x", system="s", max_output_tokens=5, source={"a": 1}, task="summarize")
    same = [
        one,
        one.model_copy(update={"max_output_tokens": 9}),
        one.model_copy(update={"source": None, "task": ""}),
    ]
    for request in same:
        await made.counted(ROUTE, request)
    assert provider.asked == 1
    for request in (asked("x", system="t"), asked("y", system="s"), asked("x", system="s", json_schema={})):
        await made.counted(ROUTE, request)
    await made.counted(OTHER, one)
    assert provider.asked == 5


async def test_the_latest_256_counts_are_remembered() -> None:
    provider = Counts(TokenCounting(), counts=True)
    made = Sizes({"scripted": provider}, "proven")
    for number in range(256):
        await made.counted(ROUTE, asked(f"{number}"))
    await made.counted(ROUTE, asked("0"))  # used again, so that 1 is the oldest
    await made.counted(ROUTE, asked("256"))
    assert provider.asked == 257
    await made.counted(ROUTE, asked("0"))
    await made.counted(ROUTE, asked("2"))
    assert provider.asked == 257
    await made.counted(ROUTE, asked("1"))
    assert provider.asked == 258


# --- learning ---


def test_a_bound_that_was_exceeded_is_raised_by_as_much_each_time() -> None:
    made = sizes(message=0)

    def held(text: str = "x" * 1000) -> int:
        return made.upper(ROUTE)(text)

    for counted, reported, expected in (
        (1000, 1000, 1000),
        (1000, 900, 1000),
        (0, 900, 1000),
        (1000, 1500, 1500),
        (1500, 1500, 1500),
        (1500, 1800, 1800),
    ):
        made.observe(ROUTE, counted, reported)
        assert held() == expected
    assert held("abc") == 6, "rounded up"
    assert made.upper(OTHER)("x" * 1000) == 1000, "of that model alone"
    exact = sizes(count=len, exact=True)
    exact.observe(ROUTE, 1000, 1500)
    assert exact.upper(ROUTE)("x" * 1000) == 1000


def test_estimates_follow_what_calls_with_texts_of_a_kind_were_charged() -> None:
    """One that was too low counts at once, ones that were too high from eight calls on."""
    digits, prose = "7" * 1000, "word " * 200
    made = sizes("likely", count=len, factor=1.0, message=0)
    made.observe(ROUTE, 1000, 1500, asked(digits))
    assert made.counter(ROUTE)(digits) == 1530
    assert made.counter(ROUTE)(prose) == 1000
    made = sizes("likely", count=len, factor=1.0, message=0)
    for number in range(8):
        assert made.counter(ROUTE)(digits) == 1000, number
        made.observe(ROUTE, 1000, 500, asked(digits))
    assert made.counter(ROUTE)(digits) == 510
    assert made.counter(OTHER)(digits) == 1000
    made.observe(ROUTE, 510, 500, asked(digits))
    assert made.counter(ROUTE)(digits) == 510, "what was corrected already is taken back first"
    made.observe(ROUTE, 1, 400)
    assert made.counter(ROUTE)(digits) == 510, "without its text, a call teaches nothing"


def test_what_is_sent_of_a_turn_is_its_text_and_calls_or_the_provider_s_own_form() -> None:
    call = ToolCall(id="1", name="é", arguments={"a": 1})
    turns = (
        Message(content="one"),
        Message(role="assistant", content="two", calls=(call,)),
        Message(role="assistant", content="three", calls=(call,), raw={"é": 1}),
        Message(role="assistant", content="four", raw=[]),
    )
    said = json.dumps([call.model_dump()], ensure_ascii=False)
    assert texts_of(ModelRequest(messages=turns, system="s")) == ("s", "one", f"two{said}", '{"é": 1}', "[]")
