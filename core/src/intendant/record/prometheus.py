"""Figures in the text format of Prometheus (exposition format 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from intendant.record.alerts import RuleState
from intendant.record.dashboards import health, performance
from intendant.record.figures import RunFigures
from intendant.record.rows import LimitState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
MICRO = 1_000_000


class Sample(NamedTuple):
    """One value of a metric."""

    labels: Mapping[str, str]
    value: float


class Metric(NamedTuple):
    """A metric with its samples."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]


def exposition(
    runs: Sequence[RunFigures], limits: Iterable[LimitState] = (), alerts: Iterable[RuleState] = ()
) -> str:
    """What Prometheus reads. Counters cover the runs that are given; they begin anew where runs are pruned."""
    lines: list[str] = []
    for metric in (*_of_runs(runs), *_of_limits(limits), *_of_alerts(alerts)):
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
        lines += [f"{metric.name}{_labels(sample.labels)} {_figure(sample.value)}" for sample in metric.samples]
    return "\n".join(lines) + "\n"


def _of_runs(runs: Sequence[RunFigures]) -> Iterator[Metric]:
    seen, fast = health(runs), performance(runs)
    micro = sum(run.micro_usd for run in runs)
    yield _by("intendant_runs_total", "counter", "Runs that ended.", "status", seen.statuses)
    yield _by("intendant_steps_total", "counter", "Steps by intent.", "intent", seen.intents)
    yield _by("intendant_routed_total", "counter", "Steps by tier.", "tier", seen.tiers)
    failed = {intent: handler.failed for intent, handler in fast.handlers.items()}
    yield _by("intendant_steps_failed_total", "counter", "Steps that failed.", "intent", failed)
    yield _one("intendant_tokens_total", "counter", "Tokens that calls took.", seen.tokens)
    yield _one("intendant_tokens_saved_total", "counter", "Tokens that compression saved.", seen.saved_tokens)
    yield _one("intendant_spent_usd_total", "counter", "US dollars that calls cost.", micro / MICRO)
    yield _one("intendant_refusals_total", "counter", "Calls that a budget did not admit.", seen.refusals)
    yield _one("intendant_budget_adherence", "gauge", "Steps within their allocation.", seen.adherence.share)
    quantiles = {"0.5": fast.overhead.p50, "0.95": fast.overhead.p95, "0.99": fast.overhead.p99}
    seconds = {name: value / 1000 for name, value in quantiles.items()}
    yield _by("intendant_overhead_seconds", "gauge", "Overhead of a step.", "quantile", seconds)


def _of_limits(limits: Iterable[LimitState]) -> Iterator[Metric]:
    states = list(limits)
    for unit, scale in (("tokens", 1), ("micro", MICRO)):
        shown = "usd" if unit == "micro" else unit
        for what in ("limit", "spent", "held"):
            known = [(state, getattr(state, f"{what}_{unit}")) for state in states]
            samples = [
                Sample({"scope": state.scope, "per": state.per}, value / scale)
                for state, value in known
                if value is not None
            ]
            yield Metric(f"intendant_budget_{what}_{shown}", "gauge", f"Standing budgets: {what}.", samples)


def _of_alerts(alerts: Iterable[RuleState]) -> Iterator[Metric]:
    samples = [Sample({"rule": one.rule, "subject": one.subject}, float(one.raised)) for one in alerts]
    yield Metric("intendant_alert", "gauge", "1 where an alert is raised.", samples)


def _by(name: str, kind: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return Metric(name, kind, text, [Sample({label: key}, value) for key, value in values.items()])


def _one(name: str, kind: str, text: str, value: float) -> Metric:
    return Metric(name, kind, text, [Sample({}, value)])


def _figure(value: float) -> str:
    """A figure with all its digits: a counter that is rounded stands still, and then jumps."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""
