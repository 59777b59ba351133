"""One self-contained page about runs, for people who decide: sentences, tiles, plots and tables.

It holds no script, fetches nothing (its own policy forbids to), and every text from outside is escaped.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import NamedTuple

from intendant.model.money import usd
from intendant.record.alerts import RuleState
from intendant.record.dashboards import Costs, Health, Performance, costs, health, performance
from intendant.record.figures import RunFigures
from intendant.record.plots import Bar, Span, bars, columns, of_counts, waterfall

MOST_ROWS = 30
"""Rows of a table; the dearest runs, say."""
NONE = "none"
TARGET = 0.9
"""Of the steps, those that should keep to their allocation."""
CSS = """
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5b6676;--page:#fff;--card:#f5f6f8;--line:#d9dee5;
--bar:#2f6fb5;--behind:#c9d8ea;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf0;--soft:#a3adbb;--page:#14171c;--card:#1e232b;
--line:#363d48;--bar:#7fb2ec;--behind:#33455c;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1rem 4rem;max-width:72rem;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;margin:0}
h2{font-size:1.15rem;margin:2rem 0 .5rem}
p.period,.none,small{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(12rem,45%),1fr));gap:.75rem;margin:1.25rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem}
.tile b{display:block;font-size:1.35rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(30rem,100%),1fr));gap:1rem;
align-items:start}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.75rem}
figcaption{font-weight:600;margin-bottom:.5rem}
svg{width:100%;max-width:46rem;height:auto}
svg text{font-size:13px;fill:var(--ink)}
.bar{fill:var(--bar)}.behind{fill:var(--behind)}.bar.bad{fill:var(--bad)}
.wide{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.n{white-space:nowrap}
.alert{border-left:4px solid var(--bad);padding:.25rem .75rem;margin:.5rem 0;background:var(--card)}
@media print{body{max-width:none}}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Report(NamedTuple):
    """What a page is about.

    Attributes:
        title: Such as `Agent mailer`.
        period: In words.
        runs: Figures of runs, oldest first.
        alerts: How the rules stand now.
        ratings: Ratings, 1 to 5.
        made_at: Seconds since 1970.
        threshold: Confidence below which a classification is unsure.
    """

    title: str
    period: str
    runs: Sequence[RunFigures]
    alerts: Sequence[RuleState] = ()
    ratings: Sequence[int] = ()
    made_at: float = 0.0
    threshold: float = 0.7


def page(report: Report) -> str:
    """The page, as HTML."""
    seen, fast = health(report.runs), performance(report.runs, report.threshold)
    spent = costs(report.runs)
    made = datetime.fromtimestamp(report.made_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    body = [
        f"<h1>{escape(report.title)}</h1><p class=period>{escape(report.period)} · made {made}</p>",
        f"<p>{escape(sentences(seen, spent, report.ratings))}</p>",
        _tiles(seen, fast, spent, report.ratings),
        *(
            f"<p class=alert role=note>{escape(f'{one.rule}: {one.text}')}</p>"
            for one in report.alerts
            if one.raised
        ),
        *([_one_run(report.runs[0])] if len(report.runs) == 1 else []),
        "<h2>Money</h2>" + _money(spent),
        "<h2>Work</h2>" + _work(seen, fast),
        "<h2>Runs</h2>" + _runs(report.runs),
        f"<p><small>{escape(BASIS)}</small></p>",
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(report.title)}</title><style>{CSS}</style>"
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{"".join(body)}</main></body></html>\n'


BASIS = (
    "Computed from the journal. Savings are an estimate: saved tokens at the mean price of their run; "
    "`intendant cost` counts them call by call. A step keeps to its allocation if it takes at most 10 % more. "
    "Overhead is what a step takes beside its handler, compression included."
)


def sentences(seen: Health, spent: Costs, ratings: Sequence[int] = ()) -> str:
    """The page in three sentences."""
    if not seen.runs:
        return "No run ended in this time."
    done = seen.statuses.get("completed", 0) / seen.runs
    if seen.runs == 1:
        text = f"The run cost {usd(spent.micro_usd)}, and {'completed' if done else 'did not complete'}. "
    else:
        text = f"{seen.runs:,} runs cost {usd(spent.micro_usd)}; {done:.0%} of them completed. "
    if seen.saved_tokens:
        text += f"Compression saved {seen.saved_tokens:,} tokens ({seen.saved_share:.0%}), about "
        text += f"{usd(spent.saved_micro_usd)}. "
    if seen.adherence.steps:
        share = seen.adherence.share
        text += f"{share:.0%} of the steps kept to their allocation (the aim is {TARGET:.0%}). "
    if seen.shadow_tokens or seen.shadow_micro_usd:
        text += f"In shadow mode, {seen.shadow_tokens:,} tokens and {usd(seen.shadow_micro_usd)} "
        text += "would have been saved. "
    if ratings:
        often = "once" if len(ratings) == 1 else f"{len(ratings):,} times"
        text += f"People rated {often}, {sum(ratings) / len(ratings):.1f} of 5 on average."
    return text.strip()


def took(seconds: float) -> str:
    """A time that something took."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _tiles(seen: Health, fast: Performance, spent: Costs, ratings: Sequence[int]) -> str:
    completed = seen.statuses.get("completed", 0)
    tiles = [
        ("run" if seen.runs == 1 else "runs", f"{seen.runs:,}"),
        ("completed", f"{completed / seen.runs:.0%}" if seen.runs else NONE),
        ("spent", usd(spent.micro_usd)),
        ("tokens", f"{seen.tokens:,}"),
        ("saved", f"{seen.saved_share:.0%}"),
        ("keep to allocation", f"{seen.adherence.share:.0%}" if seen.adherence.steps else NONE),
        ("overhead, p95", f"{fast.overhead.p95:.0f} ms"),
        ("rating", f"{sum(ratings) / len(ratings):.1f} of 5" if ratings else NONE),
    ]
    made = "".join(f"<div class=tile><b>{escape(value)}</b>{escape(name)}</div>" for name, value in tiles)
    return f"<div class=tiles>{made}</div>"


def _money(spent: Costs) -> str:
    days = [Bar(day[5:], micro, usd(micro)) for day, micro in spent.days.items()]
    ratios = [Bar(f"{10 * n}-{10 * n + 10} %", count, f"{count:,}") for n, count in enumerate(spent.ratios)]
    shares = [
        Bar(intent or "(none)", pair.used, f"{pair.used:,} of {pair.allocated:,}", pair.allocated)
        for intent, pair in spent.shares.items()
    ]
    plots = [
        ("Spent by day", columns("Spent by day", days)),
        ("Used of what was allocated, by intent (tokens)", bars("Used of allocated", shares)),
    ]
    if any(spent.ratios):
        plots.append(("Left of compressed content (steps)", columns("Left of compressed content", ratios)))
    saved = [
        Bar("saved (estimate)", spent.saved_micro_usd, usd(spent.saved_micro_usd)),
        Bar("telling intents", spent.overhead_micro_usd, usd(spent.overhead_micro_usd)),
    ]
    plots.append(("Saved against overhead", bars("Saved against overhead", saved)))
    return _figures(plots)


def _work(seen: Health, fast: Performance) -> str:
    plots = [
        ("How runs ended", bars("How runs ended", of_counts(seen.statuses))),
        ("Steps by intent", bars("Steps by intent", of_counts(seen.intents))),
        ("Steps by tier", bars("Steps by tier", of_counts(seen.tiers))),
    ]
    rows = [
        (intent, f"{one.steps:,}", f"{one.failed:,}", f"{one.milliseconds.p50:.0f}", f"{one.milliseconds.p95:.0f}")
        for intent, one in fast.handlers.items()
    ]
    told = [
        (workflow, f"{one.steps:,}", f"{one.confidence:.0%}", f"{one.unsure:,}")
        for workflow, one in list(fast.classification.items())[:MOST_ROWS]
    ]
    return (
        _figures(plots)
        + _table(("handler", "steps", "failed", "ms, median", "ms, p95"), rows)
        + _table(("workflow", "steps classified", "confidence", "unsure"), told)
    )


def _runs(runs: Sequence[RunFigures]) -> str:
    dearest = sorted(runs, key=lambda run: (-run.micro_usd, -run.at))[:MOST_ROWS]
    rows = [
        (
            run.run_id,
            run.workflow,
            run.agent,
            run.status or "running",
            took(run.seconds),
            f"{run.tokens + run.saved:,}",
            f"{run.tokens:,}",
            usd(run.micro_usd),
        )
        for run in dearest
    ]
    said = f"<p><small>The {len(rows)} dearest of {len(runs):,}.</small></p>" if len(runs) > len(rows) else ""
    head = ("run", "workflow", "agent", "status", "took", "tokens before", "tokens", "cost")
    return said + _table(head, rows, text=4)


def _one_run(run: RunFigures) -> str:
    begun = [step.begun for step in run.steps if step.begun is not None]
    first = min(begun, default=0.0)
    spans = [
        Span(
            step.step,
            step.begun - first,
            step.seconds,
            f"{took(step.seconds)}, {step.used:,} tokens, {usd(step.micro_usd)}",
            "bad" if step.status == "failed" else "",
        )
        for step in run.steps
        if step.begun is not None
    ]
    plot = _figures([("Steps: time, tokens and money", waterfall("Steps of the run", spans))])
    rows = [
        (
            step.step,
            step.intent,
            step.status or "open",
            step.model,
            f"{step.used:,}",
            f"{step.allocated:,}",
            f"{step.saved:,}",
            usd(step.micro_usd),
        )
        for step in run.steps
    ]
    head = ("step", "intent", "status", "model", "tokens", "allocated", "saved", "cost")
    return "<h2>Steps</h2>" + plot + _table(head, rows, text=4)


def _figures(plots: Iterable[tuple[str, str]]) -> str:
    made = (f"<figure><figcaption>{escape(title)}</figcaption>{plot}</figure>" for title, plot in plots)
    return f"<div class=plots>{''.join(made)}</div>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """A table whose first *text* columns are words, the others numbers."""
    if not rows:
        return ""
    kinds = ["" if number < text else " class=n" for number in range(len(head))]
    top = "".join(f"<th{kind} scope=col>{escape(name)}</th>" for kind, name in zip(kinds, head, strict=True))
    lines = (
        "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows
    )
    below = "</tr><tr>".join(lines)
    table = f"<table><thead><tr>{top}</tr></thead><tbody><tr>{below}</tr></tbody></table>"
    return f"<div class=wide>{table}</div>"
