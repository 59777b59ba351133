"""The guard of a rollout: decides from counts whether a feature goes to more subjects, stays, or is taken back.

Each criterion is a share of bad runs. Runs with the feature are compared with the control group, those without it,
by a sequential probability ratio test (A. Wald, "Sequential tests of statistical hypotheses", Annals of
Mathematical Statistics 16 (1945), 117-186): it may be looked at after each run without raising the chance of a
false alarm.
"""

from collections.abc import Mapping
from math import log
from typing import NamedTuple

from intendant.config.settings import Settings
from intendant.record.figures import RunFigures

STAGES = (5.0, 25.0, 50.0, 75.0, 100.0)
"""Percent of the subjects, one after the other."""
CRITERIA = ("failure", "overage", "quality", "overhead")
USUAL = 0.4
"""No control group counts as better than this part of the alarm share: few runs without a failure prove little."""
PRIOR = 50
"""So many runs of the usual share are added to the control group."""
WORSE = 2.0
"""So many times the control group's share is bad, where that is above the alarm share."""
MOST = 0.99
BAD_RUNS = frozenset({"failed", "refused", "overrun"})
PERFECT = 5.0
"""The best rating, which compression without loss counts as."""


class Count(NamedTuple):
    """Runs of one group by one criterion."""

    samples: int = 0
    bad: int = 0


Counts = Mapping[str, Mapping[str, Count]]
"""By criterion, then `on` (with the feature) and `off`."""


class Verdict(NamedTuple):
    """What becomes of a rollout."""

    percent: float
    """For how many of the subjects it is on from now on."""
    reason: str
    """Why, in words; empty where it stays as it is."""
    done: bool = False
    """True if it is on for all, and no longer watched."""


def judge(percent: float, counts: Counts, at_stage: int, settings: Settings) -> Verdict:
    """What becomes of a rollout at *percent*.

    It falls back to 0 where a criterion's log-likelihood ratio reaches `log(criteria / false_alarm)`; it moves on
    where the stage has had enough runs and the evidence of each criterion speaks for the feature.

    Args:
        percent: For how many of the subjects it is on.
        counts: What was counted since the guard began.
        at_stage: Runs with the feature since it is at *percent*.
        settings: `rollout` says how many runs a stage needs, `alerts` which shares are bad.
    """
    bar = log(len(CRITERIA) / settings.rollout.false_alarm)
    ratios = {name: ratio(name, counts, settings) for name in CRITERIA}
    worst = max(CRITERIA, key=lambda name: ratios[name])
    if ratios[worst] >= bar:
        on, off = (counts.get(worst, {}).get(arm, Count()) for arm in ("on", "off"))
        return Verdict(0.0, f"{worst}: {_share(on)} with the feature, {_share(off)} without")
    if at_stage < settings.rollout.runs_per_stage or ratios[worst] > 0:
        return Verdict(percent, "")
    later = next((stage for stage in STAGES if stage > percent), None)
    held = f"all criteria held for {at_stage} runs at {percent:g} %"
    return Verdict(100.0, held, done=True) if later is None else Verdict(later, held)


def ratio(criterion: str, counts: Counts, settings: Settings) -> float:
    """The logarithm of how much likelier the feature's runs are under a bad share than under the control's."""
    on, off = (counts.get(criterion, {}).get(arm, Count()) for arm in ("on", "off"))
    alarm = settings.alerts.failure_share if criterion == "failure" else settings.alerts.overage_share
    alarm = min(max(alarm, 1e-6), MOST)
    usual = USUAL * alarm
    known = min((off.bad + PRIOR * usual) / (off.samples + PRIOR), MOST / WORSE)
    good = max(known, usual)
    bad = max(alarm, WORSE * good)
    return on.bad * log(bad / good) + (on.samples - on.bad) * log((1 - bad) / (1 - good))


def _share(count: Count) -> str:
    share = f" ({count.bad / count.samples:.1%})" if count.samples else ""
    return f"{count.bad} of {count.samples} runs bad{share}"


def samples_of(run: RunFigures, settings: Settings) -> dict[str, bool]:
    """By criterion whether a run was bad; a criterion that says nothing of it is left out."""
    alerts = settings.alerts
    found = {"failure": run.status in BAD_RUNS}
    over = [step.is_over for step in run.steps if step.is_over is not None]
    if over:
        found["overage"] = sum(over) / len(over) > alerts.overage_share
    quality = [step.quality for step in run.steps if step.quality is not None]
    if quality:
        found["quality"] = PERFECT * min(quality) < alerts.quality_minimum
    overhead = [step.overhead_ms for step in run.steps if step.overhead_ms is not None]
    if overhead:
        found["overhead"] = sum(overhead) / len(overhead) > alerts.overhead_ms
    return found
