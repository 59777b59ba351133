"""How `intendant cost` is shown to people: a table, what has to be known about its sums, and the estimate."""

from typing import TYPE_CHECKING, Any

from intendant.cli.prices import how_to_set
from intendant.cli.shared import money
from intendant.cli.terminal import make_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

NO_RUNS = "no runs yet; `intendant run FILE` makes one"
AGAINST = {
    "classification": "telling intents",
    "compression": "rewriting texts",
    "expansion": "parts of texts asked for again",
    "retry": "attempts that came to nothing",
    "cut_off": "streams cut off",
    "in_doubt": "in doubt",
}


def show_costs(found: dict[str, Any]) -> None:
    """Show what `read_costs` found."""
    console = make_console(highlight=False, markup=False)
    if not found["groups"]:
        only = found["run_id"] or found["agent"] or found["since"] or found["until"]
        console.print("nothing was spent" + (" there" if only else f"; {NO_RUNS}"), soft_wrap=True)
    else:
        console.print(_table(found))
    for line in _remarks(found):
        console.print(line, soft_wrap=True)
    if found["groups"]:
        _show_estimate(console, found["estimate"])


def _table(found: dict[str, Any]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, footer_style="bold")
    total = found["total"]
    extra = [name for name in ("in_doubt", "overrun") if total[f"{name}_tokens"] or total[f"{name}_micro_usd"]]
    cells = [_cells(row, extra) for row in (total, *found["groups"])]
    heads = ("calls", "input", "cached", "output", "cost", "share", *(name.replace("_", " ") for name in extra))
    table.add_column(found["by"], "total", overflow="fold")
    for head, sum_of in zip(heads, cells[0], strict=True):
        table.add_column(head, sum_of, justify="right", no_wrap=True)
    for row, line in zip(found["groups"], cells[1:], strict=True):
        table.add_row(Text(row["group"]), *line)
    return table


def _cells(row: dict[str, Any], extra: list[str]) -> list[str]:
    names = ("calls", "input_tokens", "cached_tokens", "output_tokens")
    share = "-" if row["share"] is None else f"{row['share']:.1%}"
    return [
        *(f"{row[name]:,}" if row[name] else "-" for name in names),
        _signed(row["micro_usd"]),
        share,
        *(_signed(row[f"{name}_micro_usd"]) for name in extra),
    ]


def _calls(count: int, which: str = "") -> str:
    return f"{count:,} {which}call{'' if count == 1 else 's'}"


def _signed(micro_usd: int) -> str:
    return f"-{money(-micro_usd)}" if micro_usd < 0 else money(micro_usd)


def _remarks(found: dict[str, Any]) -> list[str]:
    """What the sums contain, or do not, that a reader must know."""
    total, held = found["total"], found["held"]
    lines = []
    if total["in_doubt_calls"]:
        lines.append(
            f"in doubt: {_calls(total['in_doubt_calls'])}, {total['in_doubt_tokens']:,} tokens, "
            f"{money(total['in_doubt_micro_usd'])}: charged in full, the truth is not known"
        )
    if total["overrun_tokens"] or total["overrun_micro_usd"]:
        lines.append(
            f"overrun: {total['overrun_tokens']:,} tokens, {money(total['overrun_micro_usd'])} beyond "
            "what was held"
        )
    if held["calls"]:
        lines.append(
            f"held: {_calls(held['calls'])} out, {held['tokens']:,} tokens, {money(held['micro_usd'])} at most; "
            "not in the sums"
        )
    return lines


def _show_estimate(console: "Console", estimate: dict[str, Any]) -> None:
    console.print("\nsaved, as an ESTIMATE:", end=" ", soft_wrap=True)
    if not estimate["known"]:
        console.print("not known, as prices are missing:", ", ".join(estimate["prices_missing"]), soft_wrap=True)
        named = [name for name in estimate["prices_missing"] if " " not in name]
        if named:
            console.print(f"    hint: {how_to_set(*named[0].split('/', 1))}", soft_wrap=True)
    elif not estimate["calls"] and not estimate["spent_micro_usd"]:
        console.print("$0, as no model was asked: texts were put together without one", soft_wrap=True)
        return
    else:
        share = "" if estimate["saved_share"] is None else f" ({estimate['saved_share']:.0%})"
        whole, spent = _amount(estimate["without_micro_usd"]), _amount(estimate["spent_micro_usd"])
        console.print(f"{_amount(estimate['saved_micro_usd'])}{share}", soft_wrap=True)
        console.print(f"  {whole} without orchestration, {spent} with it", soft_wrap=True)
    for line in _basis(estimate):
        console.print(f"  {line}", soft_wrap=True)


def _amount(micro_usd: int) -> str:
    """Money within a sentence, where a dash would be none."""
    return _signed(micro_usd) if micro_usd else "$0"


def _basis(estimate: dict[str, Any]) -> list[str]:
    """What an estimate rests on, in lines that fit a terminal."""
    models = ", ".join(f"{provider}/{model}" for provider, model in estimate["models"].items())
    lines = [
        f"without: the same {_calls(estimate['calls'], 'answered ')} on {models or 'the dearest model'},",
        f"uncompressed ({estimate['added_tokens']:,} tokens added), no prompt cache, no batches; as many",
        "tokens out, counted alike by all models; at the prices of each call's hour",
    ]
    if estimate["reused_calls"]:
        lines.append(f"of them not sent, as an answer was used again: {estimate['reused_calls']:,}")
    against = {AGAINST[name]: micro for name, micro in estimate["against_micro_usd"].items() if micro}
    if against:
        lines.append("of what was spent, this is orchestration's own, and counts against it:")
        lines += [f"  {name} {money(micro)}" for name, micro in against.items()]
    if estimate["free_calls"]:
        lines.append(f"{_calls(estimate['free_calls'], 'more ')} asked no model, and cost nothing either way")
    if estimate["classified_in_another_run"]:
        lines.append("telling its steps' intents was a run of its own: `intendant cost` counts it too")
    return lines
