"""Prices: compiled rates say what the price data says, for every model that can be had, to the micro-dollar."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil

import pytest
from genai_prices import Usage as PricedUsage, calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import TimeOfDateConstraint
from hypothesis import given, strategies as st

from intendant import Workflow
from intendant.config.settings import PriceSetting
from intendant.plugin import IntentHandler, IntentSpec, ProviderError, Usage
from intendant.spending.pricing import PICO, Price, Prices, RateCard, Rates, known_models
from intendant.testing import ScriptedProvider, engine

NOON = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
OURS = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "output_reasoning")
"""Kinds of tokens that usage tells apart; models that charge for other things are none of ours."""


def priced_by_tokens(info) -> bool:
    named = {name for name, value in vars(info.get_prices(NOON)).items() if value is not None}
    extra = named - {f"{kind}_mtok" for kind in OURS} - {"requests_kcount"}
    return "input_mtok" in named and all("search" in name or "mtok" in name for name in extra)


MODELS = [
    (provider.id, model.id, model)
    for provider in get_snapshot().providers
    for model in provider.models
    if model.is_match(model.id) and provider.find_model(model.id) is model and priced_by_tokens(model)
]

tokens = st.integers(0, 400_000)


@st.composite
def usages(draw) -> Usage:
    read, written, long, plain = (draw(tokens) for _ in range(4))
    thought, said = draw(tokens), draw(tokens)
    return Usage(
        input_tokens=plain + read + written + long,
        output_tokens=thought + said,
        cached_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=long,
        reasoning_tokens=thought,
    )


def by_the_data(provider: str, model: str, usage: Usage, lane: str) -> int:
    """What the package itself computes."""
    priced = PricedUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    context = {"processing": "batch"} if lane == "batch" else None
    total = calc_price(
        priced, model, provider_id=provider, genai_request_timestamp=NOON, price_context=context
    ).total_price
    return ceil(total * 1_000_000)


@given(st.sampled_from(MODELS), usages(), st.sampled_from(["standard", "batch"]))
def test_compiled_rates_cost_what_the_price_data_says(found, usage, lane) -> None:
    provider, model, _ = found
    ours = Prices(now=lambda: NOON).of(provider, model, usage, lane=lane)
    assert ours.micro_usd - by_the_data(provider, model, usage, lane) in (0, 1)  # pico-dollars are rounded up
    assert ours.version.startswith("genai-prices ")


def test_a_long_prompt_makes_the_whole_call_dearer() -> None:
    card = Prices(now=lambda: NOON).card("anthropic", "claude-haiku-5-5")
    border = card.steps[1].above
    below, above = (card.price(Usage(input_tokens=border + more)).micro_usd for more in (0, 1))
    assert above > 2 * below


def test_batches_cost_half() -> None:
    prices = Prices(now=lambda: NOON)
    usage = Usage(input_tokens=10_000, output_tokens=1_000)
    whole, batch = (
        prices.of("anthropic", "claude-sonnet-5-5", usage, lane=lane).micro_usd for lane in ("standard", "batch")
    )
    assert batch * 2 == whole > 0


def test_prices_by_hand_win_and_say_what_is_cached() -> None:
    hand = PriceSetting(input=1, output=2, cache_read=0.1, cache_write=1.25, batch=0.5)
    prices = Prices({"anthropic/claude-sonnet-5-5": hand})
    usage = Usage(input_tokens=400, output_tokens=100, cached_tokens=100, cache_write_tokens=100)
    long = usage.model_copy(update={"cache_write_1h_tokens": 100})
    of = lambda used, lane: prices.of("anthropic", "claude-sonnet-5-5", used, lane=lane)  # noqa: E731
    assert of(usage, "standard").micro_usd == 200 + 10 + 125 + 200
    assert of(long, "standard").micro_usd == 100 + 10 + 125 + 125 + 200
    assert of(usage, "batch").micro_usd == ceil(Decimal(535) / 2)
    assert of(usage, "standard").version == "settings"


def test_a_model_without_a_price_is_refused_and_says_how_to_set_one() -> None:
    with pytest.raises(ProviderError, match=r"prices\.models\.\"openai/nothing-1\"") as caught:
        Prices().of("openai", "nothing-1", Usage(input_tokens=1))
    assert not caught.value.billed


def test_a_model_that_is_not_paid_by_the_token_has_no_price_by_the_token() -> None:
    """Not a price of nothing."""
    with pytest.raises(ProviderError, match="not known"):
        Prices().of("openai", "whisper-1", Usage(input_tokens=1))


def test_known_models_are_those_of_the_data() -> None:
    assert "claude-haiku-5-5" in known_models("anthropic")
    assert known_models("nobody") == ()


# --- prices that may not be right any more, or here ---


def test_a_factor_holds_for_all_prices_of_the_data_and_for_none_by_hand() -> None:
    usage = Usage(input_tokens=10_000, output_tokens=1_000)
    hand = {"anthropic/mine": PriceSetting(input=1, output=2)}
    plain, dearer = Prices(hand, lambda: NOON), Prices(hand, lambda: NOON, {"anthropic": 1.1})
    ratio = [prices.of("anthropic", "claude-sonnet-5-5", usage).micro_usd for prices in (plain, dearer)]
    assert ratio[1] == ceil(Decimal(ratio[0]) * Decimal("1.1"))
    assert dearer.of("anthropic", "mine", usage) == plain.of("anthropic", "mine", usage)
    assert dearer.card("anthropic", "claude-sonnet-5-5").version.endswith(" times 1.1")


def test_data_grows_older_and_what_it_announces_makes_it_no_younger() -> None:
    prices = Prices(now=lambda: NOON)
    assert prices.days_old() is None, "no price of the data is in use"
    prices.card("anthropic", "claude-sonnet-5-5")
    later = Prices(now=lambda: NOON + timedelta(days=3650))
    later.card("anthropic", "claude-sonnet-5-5")
    assert 0 <= prices.days_old() < 3650 - 365 < later.days_old()


class Named(ScriptedProvider):
    """Has a model that the price data knows, at an address that may cost more."""

    name = "anthropic"

    def models(self):
        return {"only": "claude-sonnet-5-5"}

    def surcharge(self):
        return "eu.example is not example"


async def warnings_of(**prices) -> str:
    step = {"id": "a", "intent": "generate", "prompt": "Say hello"}
    flow = Workflow.model_validate({"name": "w", "steps": [step]})
    async with engine(Named(), Generate(), settings={"prices": prices}) as service:
        return "\n".join((await service.plan(flow)).steps[0].warnings)


async def test_a_plan_warns_of_old_prices_and_of_an_address_that_may_cost_more(monkeypatch) -> None:
    monkeypatch.setattr(Prices, "days_old", lambda _self: 200)
    said = await warnings_of()
    assert "began 200 days ago: upgrade the package genai-prices" in said
    assert "eu.example is not example: if it costs more than usual, set prices.factors.anthropic" in said
    assert not await warnings_of(warn_after_days=365, factors={"anthropic": 1.1})
    assert not await warnings_of(models={"anthropic/claude-sonnet-5-5": {"input": 1, "output": 2}})


class Generate(IntentHandler):
    """Writes."""

    spec = IntentSpec(name="generate", summary="Write", examples=("Write it",))

    async def handle(self, request):
        raise AssertionError("a plan executes nothing")


# --- rates of one model ---

RATES = Rates(
    above=-1,
    input=3 * PICO,
    output=50 * PICO,
    cache_read=PICO // 2,
    cache_write=700 * PICO,
    cache_write_1h=11_000 * PICO,
    reasoning=130_000 * PICO,
    call=1_700_000 * PICO,
)
"""So that no two ways to add them up come to the same."""


def test_each_kind_of_token_costs_what_it_costs_and_the_sum_is_rounded_up() -> None:
    usage = Usage(
        input_tokens=29,
        cached_tokens=7,
        cache_write_tokens=5,
        cache_write_1h_tokens=3,
        output_tokens=19,
        reasoning_tokens=6,
    )
    plain, answer = 29 - 7 - 5 - 3, 19 - 6
    assert RATES.cost(usage) == 1_700_000 + plain * 3 + 4 + 5 * 700 + 3 * 11_000 + answer * 50 + 6 * 130_000
    assert RATES.cost(Usage()) == 1_700_000
    more_cached = Usage(input_tokens=1, cached_tokens=4)
    assert RATES.cost(more_cached) == 1_700_000 + 2, "a provider that counts cached tokens apart pays nothing back"
    exact = Usage(input_tokens=4, cached_tokens=4)
    assert RATES.cost(exact) == 1_700_000 + 2
    nothing = Rates(-1, 1, 0, 0, 0, 0, 0)
    assert [nothing.cost(Usage(input_tokens=tokens)) for tokens in (0, 1, PICO, PICO + 1)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("ttl", "rates", "given"),
    [
        ("", {}, 3),
        ("5m", {}, 700),
        ("1h", {}, 11_000),
        ("1h", {"cache_write_1h": 4 * PICO}, 700),
        ("", {"cache_read": 9 * PICO}, 9),
        ("5m", {"cache_write": PICO}, 3),
    ],
)
def test_at_worst_all_of_the_input_is_of_the_dearest_kind_that_it_may_be(ttl, rates, given) -> None:
    """Likewise the answer, of which all may be thought."""
    said = replace(RATES, **rates)
    assert said.worst(7, 5, ttl) == 1_700_000 + 7 * given + 5 * 130_000
    assert replace(said, reasoning=PICO).worst(7, 5, ttl) == 1_700_000 + 7 * given + 5 * 50
    assert replace(said, call=1).worst(0, 0, ttl) == 1, "rounded up"


def test_a_threshold_is_passed_by_more_tokens_than_it_says() -> None:
    """For the worst of a call no longer than that, cheaper steps below count too."""
    low, high = replace(RATES, above=-1), replace(RATES, above=100, input=6 * PICO)
    dear = replace(RATES, above=-1, output=900_000 * PICO)
    card = RateCard((low, high), "x")
    assert [card.at(tokens) for tokens in (0, 99, 100, 101)] == [low, low, low, high]
    assert [card.worst(tokens, 0) - 1_700_000 for tokens in (99, 100, 101)] == [297, 300, 606]
    assert card.price(Usage(input_tokens=101)) == Price(1_700_000 + 606, "x")
    assert RateCard((dear, high), "x").worst(101, 1) == dear.worst(101, 1, "")
    assert card.worst(5, 0, "1h") == 1_700_000 + 5 * 11_000


@pytest.mark.parametrize(
    ("said", "ttl", "standard", "batch"),
    [
        ({}, "", (1000, 3000), 0.5),
        ({"batch": 0.25}, "1h", (1000, 3000), 0.25),
        ({"cache_write": 1.5}, "5m", (1500, 3000), 0.5),
        ({"cache_write": 1.5}, "1h", (1500, 3000), 0.5),
        ({"cache_write": 1.5, "cache_write_1h": 2.5}, "1h", (2500, 3000), 0.5),
        ({"cache_write": 1.5, "cache_write_1h": 2.5}, "5m", (1500, 3000), 0.5),
        ({"cache_read": 4}, "", (4000, 3000), 0.5),
    ],
)
def test_prices_by_hand_are_dollars_for_a_million_and_a_batch_costs_its_part(said, ttl, standard, batch) -> None:
    """US$ for a million tokens are micro-US$ for one; what has no price of its own costs what its kind does."""
    prices = Prices({"a/b": PriceSetting(**{"input": 1, "output": 3, "batch": 0.5, **said})})
    assert prices.card("a", "b").worst(1000, 1000, ttl) == sum(standard)
    assert prices.card("a", "b", "batch").worst(1000, 1000, ttl) == sum(standard) * batch
    assert prices.card("a", "b", "batch").version == "settings"
    assert prices.card("a", "b", free=True).worst(1000, 1000, ttl) == 0


def test_a_price_is_kept_no_longer_than_it_holds() -> None:
    """Prices of the data hold for parts of a day, also from half past: ours are those of who asks anew."""
    hours = [
        (provider, model)
        for provider, model, info in MODELS
        if isinstance(info.prices, list)
        and any(isinstance(item.constraint, TimeOfDateConstraint) for item in info.prices)
    ]
    usage, now = Usage(input_tokens=1_000_000), [NOON]
    for model in dict.fromkeys(hours):
        kept, seen = Prices(now=lambda: now[0]), set()
        for minutes in range(0, 24 * 60, 10):
            for after in (-1, 0, 30, 59):
                now[0] = NOON.replace(day=22, hour=0, minute=0) + timedelta(minutes=minutes, seconds=after)
                price = kept.of(*model, usage)
                seen.add(price.micro_usd)
                assert price == Prices(now=lambda: now[0]).of(*model, usage), (model, now[0])
        assert len(seen) > 1


def test_a_factor_below_one_makes_prices_lower_and_is_named() -> None:
    usage = Usage(input_tokens=10_000, output_tokens=1_000)
    plain, lower = (Prices(None, lambda: NOON, {"anthropic": factor}) for factor in (1.0, 0.5))
    whole, half = (prices.of("anthropic", "claude-sonnet-5-5", usage) for prices in (plain, lower))
    assert half.micro_usd * 2 == whole.micro_usd
    assert half.version == f"{whole.version} times 0.5"


def test_a_price_for_each_call_counts_once() -> None:
    """The data says it in US$ for a thousand calls."""
    found = [
        (provider, model, info.get_prices(NOON).requests_kcount)
        for provider, model, info in MODELS
        if isinstance(info.get_prices(NOON).requests_kcount, int | float | Decimal)
    ]
    assert found, "the price data has no such model any more: this test has nothing to look at"
    provider, model, dollars = found[0]
    assert Prices(now=lambda: NOON).of(provider, model, Usage()).micro_usd == ceil(dollars * 1000)
