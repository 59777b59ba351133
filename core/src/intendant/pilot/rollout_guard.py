"""Watches features that are rolled out, run by run: moves them on, or takes them back, with an event."""

from time import time
from typing import TYPE_CHECKING, Any

from intendant import events
from intendant.config.flags import Rollout
from intendant.config.logs import get_logger
from intendant.config.settings import Settings
from intendant.model.errors import SettingsError, StoreError
from intendant.planning.canary import STAGES, Count, Verdict, judge, samples_of
from intendant.record.journal import Journal

if TYPE_CHECKING:
    from intendant.pilot.engine import Engine
    from intendant.record.store.canary_counts import Tally

log = get_logger("intendant.rollout")
MAIN = "failure"
"""The criterion that every run has a sample of."""
BY = "the rollout's guard"


def guarded(settings: Settings) -> dict[str, Rollout]:
    """The flags that a guard watches."""
    flags = {name: getattr(settings.flags, name) for name in type(settings.flags).__pydantic_fields__}
    return {name: flag for name, flag in flags.items() if isinstance(flag, Rollout) and flag.guarded}


async def start(engine: "Engine", name: str, *, by: str, rollout: Rollout | None = None) -> int:
    """Begin to roll a feature out under guard, at the first stage; returns the version of the settings.

    Args:
        engine: The engine.
        name: The flag, such as `routing_enabled`.
        by: Who begins.
        rollout: Whose share it is, salt and lists; by default agents, without lists.

    Raises:
        SettingsError: There is no such flag.
    """
    base = rollout or Rollout(percent=STAGES[0])
    flag = base.model_copy(update={"percent": STAGES[0], "guarded": f"{time():.6f}"})
    return await engine.steering.change(
        {f"flags.{name}": flag.model_dump(mode="json")}, by=by, note="guarded rollout"
    )


async def tallies(engine: "Engine") -> "dict[str, tuple[Rollout, Tally]]":
    """What was counted of each feature under guard."""
    from intendant.record.store import canary_counts

    found = {}
    for name, flag in guarded(engine.settings).items():
        key = canary_counts.Key(engine.tenant, name, flag.guarded, round(flag.percent))
        found[name] = (flag, await engine.store.do(canary_counts.tally(key, MAIN)))
    return found


async def count(engine: "Engine", journal: Journal, on: dict[str, bool], began: float) -> None:
    """Count a run that ends in, and move the features that it says something about.

    Nothing is lost where that fails: the run ends as it did, and the error is logged.

    Args:
        engine: The engine.
        journal: The run's journal, with its figures.
        on: Which flags are on for the run.
        began: When it began; runs from before a guard say nothing about it.
    """
    for name, flag in guarded(engine.settings).items():
        if began < float(flag.guarded) or name not in on:
            continue
        try:
            await _count(engine, journal, name, flag, arm="on" if on[name] else "off")
        except (SettingsError, StoreError) as error:  # another process was first, or the next run will tell
            log.warning("rollout_not_judged", flag=name, reason=error.message)


async def _count(engine: "Engine", journal: Journal, name: str, flag: Rollout, arm: str) -> None:
    from intendant.record.store import canary_counts

    settings = engine.settings
    key = canary_counts.Key(engine.tenant, name, flag.guarded, round(flag.percent))
    samples = samples_of(journal.figures.run, settings)
    tally = await engine.store.do(canary_counts.add(key, arm, samples, MAIN))
    verdict = judge(flag.percent, _counts(tally), tally.at_stage, settings)
    if verdict.reason:
        await _move(engine, name, flag, verdict)
        _record(journal, name, flag, verdict, tally)


def _counts(tally: "Tally") -> dict[str, dict[str, Count]]:
    return {
        criterion: {arm: Count(*pair) for arm, pair in arms.items()} for criterion, arms in tally.counts.items()
    }


async def _move(engine: "Engine", name: str, flag: Rollout, verdict: Verdict) -> None:
    """Write the verdict into the settings, unless another process was first."""
    after: Any = flag.model_copy(update={"percent": verdict.percent}).model_dump(mode="json")
    if verdict.done or verdict.percent == 0:
        after = verdict.done
    await engine.steering.change(
        {f"flags.{name}": after}, by=BY, note=verdict.reason, expected=engine.settings.version
    )


def _record(journal: Journal, name: str, flag: Rollout, verdict: Verdict, tally: "Tally") -> None:
    figures = {
        criterion: {
            f"{arm}_{what}": value
            for arm, pair in sorted(arms.items())
            for what, value in zip(("runs", "bad"), pair, strict=True)
        }
        for criterion, arms in sorted(tally.counts.items())
    }
    back = verdict.percent == 0
    journal.record(
        events.RolloutMoved,
        severity="critical" if back else "info",
        flag=name,
        before=flag.percent,
        after=verdict.percent,
        reason=verdict.reason,
        figures=figures,
    )
    told = log.error if back else log.info
    told("rollout_fell_back" if back else "rollout_moved_on", flag=name, reason=verdict.reason)
