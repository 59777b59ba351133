"""Keys of settings as the reference system spells them, and what took the place of those that are superseded.

They are accepted in files, in the environment's assignments and on the command line, with or without the prefix
`orchestration_`. `{intent}` and `{tier}` stand for a name, `{weaker}` for that of a tier but the strongest.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from intendant.model.errors import SettingsError

PREFIX = "orchestration_"


class Spelling(NamedTuple):
    """An old key."""

    name: str
    """Without the prefix."""
    key: str = ""
    """The key that it means; empty where it is superseded."""
    instead: str = ""
    """What took its place, where it is superseded."""
    convert: Callable[[Any], Any] | None = None
    """Makes the value of the key of the old one's; None where they are the same."""
    note: str = ""


def _left(removed: Any) -> Any:
    """The share that is left, of the share that is removed."""
    return 1 - removed if isinstance(removed, int | float) and not isinstance(removed, bool) else removed


def _tries(retries: Any) -> Any:
    return retries + 1 if isinstance(retries, int) and not isinstance(retries, bool) else retries


_POLICY = "`compression.policies.{intent}.target` and `.floor`: how much, and how much must survive"
_MEMORY = "`budget.memory_tokens`: the room that memory has; the newest runs and the profile go first"
SPELLINGS: tuple[Spelling, ...] = (
    Spelling("enabled", "flags.orchestration_enabled"),
    Spelling("adaptive_budget_enabled", "flags.adaptive_budget_enabled"),
    Spelling("compression_enabled", "flags.compression_enabled"),
    Spelling("ais_routing_enabled", "flags.ais_routing_enabled"),
    Spelling("token_budget_{intent}", "budget.baselines.{intent}"),
    Spelling("max_tokens_per_step", "budget.tokens_per_step"),
    Spelling("max_tokens_per_workflow", "budget.tokens_per_workflow"),
    Spelling("budget_overage_allowed", "budget.overage_allowed"),
    Spelling("budget_overage_threshold", "budget.overage_threshold"),
    Spelling("budget_allocation_strategy", "budget.strategy"),
    Spelling("compression_target_ratio", instead=_POLICY),
    Spelling("compression_min_quality", instead="`compression.policies.{intent}.floor`"),
    Spelling("compression_aggressiveness", instead=_POLICY),
    Spelling("compression_memory_target_ratio", instead=_MEMORY),
    Spelling("compression_memory_min_quality", instead=_MEMORY),
    Spelling("compression_memory_strategy", instead=_MEMORY),
    Spelling("compression_memory_preserve_user", instead="always: the profile is never compressed while it fits"),
    Spelling("compression_memory_preserve_runs", instead="always: the newest two runs are compressed last"),
    Spelling("compression_strategy_{intent}", "compression.policies.{intent}.strategy"),
    Spelling(
        "compression_target_ratio_{intent}",
        "compression.policies.{intent}.target",
        convert=_left,
        note="1 - ratio: the old key is the share that is removed, the new one the share that is left",
    ),
    Spelling("compression_min_quality_{intent}", "compression.policies.{intent}.floor"),
    Spelling("compression_aggressiveness_{intent}", instead=_POLICY),
    Spelling("ais_{weaker}_tier_max_score", "routing.tiers.{weaker}.max_difficulty"),
    Spelling("ais_{strongest}_tier_min_score", instead="what is above the other tiers' `max_difficulty`"),
    Spelling("ais_quality_weight", instead="`intendant route train --max-loss`: quality is measured, not weighed"),
    Spelling("ais_cost_weight", instead="tiers are asked cheapest first; `intendant route train --max-loss`"),
    Spelling("routing_{weaker}_tier_max_score", "routing.tiers.{weaker}.max_difficulty"),
    Spelling(
        "routing_{tier}_tier_model",
        "plugins.settings.tier:{tier}.model",
        note="as `provider/model`",
    ),
    Spelling("routing_{tier}_tier_provider", instead='`plugins.settings."tier:{tier}".model`: `provider/model`'),
    Spelling("routing_{tier}_tier_max_tokens", "routing.tiers.{tier}.max_output_tokens"),
    Spelling("routing_{tier}_tier_temperature", "routing.tiers.{tier}.temperature"),
    Spelling("routing_{tier}_tier_cost_per_token", instead="the price data; `prices.models` sets one by hand"),
    Spelling("intent_classification_confidence_threshold", "classification.threshold"),
    Spelling("quality_score_minimum", "alerts.quality_minimum"),
    Spelling(
        "max_retry_attempts",
        "calls.attempts",
        convert=_tries,
        note="one more: the new key counts the first try too",
    ),
    Spelling("token_budget_critical_step_multiplier", "budget.critical_factor"),
)
"""Those without a name in braces are looked at first. The last one was added to the reference later."""


class Meant(NamedTuple):
    """What an old key means."""

    spelling: Spelling
    name: str
    """The key, with the names filled in; empty where it is superseded."""


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Spelling], ...]:
    ordered = sorted(SPELLINGS, key=lambda one: "{" in one.name)
    return tuple((re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[a-z0-9_-]+?)", one.name)), one) for one in ordered)


def meant(name: str) -> Meant | None:
    """What an old key means; None if it is none."""
    bare = name.removeprefix(PREFIX)
    for pattern, spelling in _patterns():
        if (found := pattern.fullmatch(bare)) is not None:
            return Meant(spelling, spelling.key.format(**found.groupdict()))
    return None


def expanded(intents: tuple[str, ...], tiers: tuple[str, ...]) -> dict[str, Meant]:
    """Every old key, with the prefix, and what it means, for so many intents and tiers, the strongest last."""
    names = {"intent": intents, "tier": tiers, "weaker": tiers[:-1], "strongest": tiers[-1:]}
    found: dict[str, Meant] = {}
    for spelling in SPELLINGS:
        hole = next((hole for hole in names if f"{{{hole}}}" in spelling.name), None)
        for name in ("",) if hole is None else names[hole]:
            said = {} if hole is None else {hole: name}
            found[PREFIX + spelling.name.format(**said)] = Meant(spelling, spelling.key.format(**said))
    return found


def canonical(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Nested settings with the keys of now in place of old spellings, which stand at the top.

    Raises:
        SettingsError: A key is superseded, or is given in both spellings with different values.
    """
    kept = {name: value for name, value in values.items() if isinstance(value, Mapping) or meant(name) is None}
    made: dict[str, tuple[str, Any]] = {}
    for name, value in values.items():
        found = None if name in kept else meant(name)
        if found is None:
            continue
        if not found.name:
            raise superseded(name, found.spelling, source)
        new = value if found.spelling.convert is None else found.spelling.convert(value)
        before = made.get(found.name)
        if (before is not None and before[1] != new) or _differs(kept, found.name, new):
            raise SettingsError(
                f"{source} sets {found.name} twice: {name} is an old spelling of it", hint="give one of them"
            )
        made[found.name] = (name, new)
    for key, (_, value) in made.items():
        _put(kept, key.split("."), value)
    return kept


def superseded(name: str, spelling: Spelling, source: str) -> SettingsError:
    """The error of a key that is no more."""
    return SettingsError(f"the setting {name} (from {source}) is superseded", hint=f"instead: {spelling.instead}")


def _differs(values: Mapping[str, Any], key: str, value: Any) -> bool:
    at: Any = values
    for part in key.split("."):
        if not isinstance(at, Mapping) or part not in at:
            return False
        at = at[part]
    return bool(at != value)


def _put(values: dict[str, Any], parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        inner = values.get(part)
        values[part] = inner = dict(inner) if isinstance(inner, Mapping) else {}
        values = inner
    values[parts[-1]] = value
