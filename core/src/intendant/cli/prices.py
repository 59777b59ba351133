"""`intendant prices`: what models cost."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer  # noqa: TID253

from intendant.cli.shared import JsonOption, Session, SetOption, command, print_json
from intendant.cli.terminal import make_console
from intendant.model.errors import IntendantError, ProviderError, SettingsError
from intendant.pilot.cost_record import models_of

if TYPE_CHECKING:
    from rich.table import Table

    from intendant.pilot.engine import Engine
    from intendant.spending.pricing import Rates

KINDS = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "batch_input", "batch_output")
HEADS = ("in", "out", "cache\nread", "cache\nwrite", "1 h\nwrite", "batch\nin", "batch\nout")
NOT_KNOWN = "not known: calls are refused where money is limited"
LONGER = "known under longer names only, such as with a region, a path or an owner"


@command()
def prices(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROVIDER[/MODEL]]",
            help="A provider, or one of its models; by default the models of the tiers.",
        ),
    ] = None,
    *,
    as_json: JsonOption = False,
    settings: SetOption = None,
) -> None:
    """Show prices in US$ per million tokens. They are of the tiers' models, or of all known ones of a provider.

    Works offline and without an API key.
    """
    with Session(settings, "none") as session:
        rows = of_tiers(session.engine) if name is None else of_name(session.engine, name)
        unusable = _unusable(session.engine) if name is None else []
    if as_json:
        print_json(rows)
        return
    _show(rows)
    if unusable:
        names = ", ".join(unusable)
        print(f"not usable now, for want of a key: {names}; see `intendant prices {unusable[0]}`")


def of_tiers(engine: "Engine") -> list[dict[str, Any]]:
    """The models that usable providers have for the tiers, with their prices."""
    from intendant.spending.alternatives import offers

    rows = []
    for offer in offers(engine.plugins.providers, engine.settings.routing.providers):
        tiers: dict[str, list[str]] = {}
        for tier, model in models_of(engine, offer.provider).items():
            tiers.setdefault(model, []).append(tier)
        rows += [_row(engine, offer.provider, model, names) for model, names in tiers.items()]
    return rows


def _unusable(engine: "Engine") -> list[str]:
    from intendant.spending.alternatives import offers

    usable = {offer.provider for offer in offers(engine.plugins.providers)}
    return [name for name in engine.plugins.providers if name not in usable]


def of_name(engine: "Engine", name: str) -> list[dict[str, Any]]:
    """The models of a provider that have a price, or the one model that *name* names.

    Raises:
        SettingsError: The provider is not known, or the price of the model is not.
    """
    provider, slash, model = name.partition("/")
    known = _known(engine, provider)
    if not known:
        raise _unknown_provider(engine, provider)
    if slash:
        row = _row(engine, provider, model, _tiers_of(engine, provider, model))
        if not row["known"]:
            raise _unknown_model(provider, model, known, row["hint"])
        return [row]
    rows = [_row(engine, provider, item, _tiers_of(engine, provider, item)) for item in known]
    rows.sort(key=lambda row: not row["known"])
    return [row if row["tiers"] else _named(row) for row in rows]


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """A model that only the price data names: without a price there, the name is the beginning of others."""
    return row if row["known"] else {**row, "source": LONGER, "hint": ""}


def _known(engine: "Engine", provider: str) -> list[str]:
    """Models of which there may be a price: those set by hand, of the tiers, and of the price data."""
    from intendant.spending.pricing import known_models

    by_hand = (key.partition("/") for key in engine.settings.prices.models)
    own = [model for named, _, model in by_hand if named == provider]
    tiers = models_of(engine, provider).values() if provider in engine.plugins.providers else ()
    return list(dict.fromkeys([*own, *tiers, *known_models(provider)]))


def _tiers_of(engine: "Engine", provider: str, model: str) -> list[str]:
    if provider not in engine.plugins.providers:
        return []
    return [tier for tier, item in models_of(engine, provider).items() if item == model]


def _unknown_provider(engine: "Engine", provider: str) -> IntendantError:
    from genai_prices.data_snapshot import get_snapshot

    names = {item.id for item in get_snapshot().providers} | set(engine.plugins.providers)
    names |= {key.partition("/")[0] for key in engine.settings.prices.models}
    close = _close(provider, names)
    hint = f"did you mean {close}?" if close else f"known: {', '.join(sorted(names))}"
    return SettingsError(f"no prices of a provider '{provider}' are known", hint=hint)


def _unknown_model(provider: str, model: str, known: list[str], way_out: str) -> IntendantError:
    close = _close(model, known, f"{provider}/")
    hint = f"did you mean {close}? Else " if close else f"`intendant prices {provider}` lists those that are; or "
    return SettingsError(f"the price of {provider}/{model} is not known", hint=hint + way_out)


def _close(name: str, names: Iterable[str], prefix: str = "") -> str:
    from difflib import get_close_matches

    return " or ".join(prefix + item for item in get_close_matches(name, sorted(names), 3, 0.5))


def _row(engine: "Engine", provider: str, model: str, tiers: list[str]) -> dict[str, Any]:
    """A model with all its prices, as JSON."""
    plugin = engine.plugins.providers.get(provider)
    free = plugin is not None and not plugin.charges
    row: dict[str, Any] = {"provider": provider, "model": model, "tiers": tiers}
    try:
        card = engine.prices.card(provider, model, free=free)
        batch = engine.prices.card(provider, model, "batch", free=free)
    except ProviderError:
        return {**row, "known": False, "source": NOT_KNOWN, "hint": how_to_set(provider, model), "steps": []}
    steps = [_step(step, batch.at(max(0, step.above + 1))) for step in card.steps]
    return {**row, "known": True, "source": card.version, "hint": "", "steps": steps}


def how_to_set(provider: str, model: str) -> str:
    """How a price is set by hand."""
    return (
        f'set it in intendant.toml, in US$ per million tokens: [prices.models."{provider}/{model}"] with '
        "input = … and output = …"
    )


def _step(rates: "Rates", batch: "Rates") -> dict[str, Any]:
    from intendant.spending.pricing import PICO

    figures = {
        **{kind: getattr(rates, kind) for kind in KINDS[:5]},
        "reasoning": rates.reasoning,
        "batch_input": batch.input,
        "batch_output": batch.output,
    }
    dollars = {name: value / PICO for name, value in figures.items()}
    return {"above_tokens": max(0, rates.above), **dollars, "usd_per_call": rates.call / PICO / 1_000_000}


# --- for people ---


def _show(rows: list[dict[str, Any]]) -> None:
    from itertools import groupby

    console = make_console()
    for number, ((provider, source), group) in enumerate(
        groupby(rows, lambda row: (row["provider"], row["source"]))
    ):
        lead = "\n" if number else ""
        found = list(group)
        if not found[0]["known"]:
            console.print(f"{lead}{provider}: {source}", markup=False, highlight=False)
            hints = [f"{row['model']}{_of_tiers(row)}" + (row["hint"] and f": {row['hint']}") for row in found]
            for line in hints if found[0]["hint"] else [", ".join(hints)]:
                console.print(f"  {line}", markup=False, highlight=False)
            continue
        unit = "costs nothing: no model is asked" if source == "free" else "US$ per million tokens"
        console.print(f"{lead}{provider} ({unit}; source: {_source(source)})", markup=False, highlight=False)
        if source == "free":
            console.print("".join(f"  {row['model']}{_of_tiers(row)}" for row in found), highlight=False)
        else:
            console.print(_table(found), highlight=False)
            if any(not step["input"] and not step["output"] for row in found for step in row["steps"]):
                console.print("-: free, or charged by something else than tokens", highlight=False)
    if not rows:
        console.print("no provider can be used; `intendant plugins --check` says why", highlight=False)


def _of_tiers(row: Mapping[str, Any]) -> str:
    return f" ({', '.join(row['tiers'])})" if row["tiers"] else ""


def _source(source: str) -> str:
    return {"settings": "set by hand in the settings", "free": "the provider itself"}.get(source, source)


def _table(rows: list[dict[str, Any]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    tiers = any(row["tiers"] for row in rows)
    if tiers:
        table.add_column("tier", overflow="fold")
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        for step in row["steps"]:
            above = step["above_tokens"]
            name = f"  > {_size(above)} tokens" if above else row["model"]
            tier = [Text("" if above else ", ".join(row["tiers"]))] if tiers else []
            table.add_row(Text(name), *tier, *(_dollars(step[kind]) for kind in KINDS))
    return table


def _size(tokens: int) -> str:
    return f"{tokens // 1000}k" if tokens % 1000 == 0 else f"{tokens:,}"


def _dollars(value: float) -> str:
    """At least two decimals, and as many as there are, up to six."""
    if not value:
        return "-"
    whole, _, part = f"{value:.6f}".partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"
