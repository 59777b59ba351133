"""Settings of upkeep: alerts, the guard of a rollout, and how long what is recorded is kept."""

from typing import Any, Literal

from pydantic import Field

from intendant.config.sections import Section


class AlertSettings(Section):
    """When somebody should look. Shares are of what happened within `window_seconds`."""

    window_seconds: float = Field(default=3600.0, ge=1, le=31_536_000)
    """The time that is looked at, in seconds, up to now."""
    least: int = Field(default=20, ge=1, le=1_000_000)
    """Fewer samples than this say nothing."""
    clear_factor: float = Field(default=0.8, ge=0, le=1)
    """An alert that was raised ends only where its figure is below this part of the threshold (hysteresis)."""
    failure_share: float = Field(default=0.05, ge=0, le=1)
    """Steps that failed, of those that were executed."""
    overage_share: float = Field(default=0.10, ge=0, le=1)
    """Steps that took more than 10 % beyond their allocation, of those that had one."""
    quality_minimum: float = Field(default=4.0, ge=1, le=5)
    """The mean rating, 1 to 5; where nothing was rated, the share of facts that survived compression, times 5."""
    overhead_ms: float = Field(default=50.0, ge=0, le=600_000)
    """Milliseconds that orchestration takes of a step: all but its handler, and compression; on average."""
    classification_share: float = Field(default=0.05, ge=0, le=1)
    """Steps whose intent was told with less than the threshold's confidence, of those classified."""
    down_share: float = Field(default=0.5, ge=0, le=1)
    """Runs with a step that failed because of plugins, the database or the record, of all runs."""
    burn_rate: float = Field(default=2.0, ge=1, le=1000)
    """How many times faster than evenly a standing budget may be spent."""
    loop_repeats: int = Field(default=5, ge=2, le=10_000)
    """The same call, or the same use of a tool, so often in one run is a loop."""
    silence: dict[str, float] = Field(default_factory=dict)
    """Until when a rule is silent, by rule: seconds since 1970 (UTC)."""
    uses: str | None = None
    """The connector's operation that delivers alerts, such as `webhook.post`; None for none."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Its parameters; `{{ inputs.text }}` is the alert in words, `{{ inputs.alert }}` the alert as data."""


class RolloutSettings(Section):
    """How features are rolled out, and the guard of a rollout that moves on by itself."""

    profile: Literal["standard", "rollout"] = "standard"
    """`rollout`: all flags are off that nothing sets."""

    runs_per_stage: int = Field(default=50, ge=1, le=1_000_000)
    """Runs with the feature that each stage needs at least before the next one."""
    false_alarm: float = Field(default=0.05, gt=0, lt=1)
    """The chance that a healthy feature falls back, all criteria together."""


class RetentionSettings(Section):
    """How long the record of a run is kept, in days, by `intendant db prune`; None for ever."""

    standard_days: float | None = Field(default=365.0, ge=0)
    """Runs without a critical event."""
    critical_days: float | None = Field(default=2555.0, ge=0)
    """Runs with one: a step failed, or a budget was exceeded."""
    personal_days: float | None = Field(default=90.0, ge=0)
    """Runs of the agents in `personal_agents`, whatever happened in them."""
    personal_agents: tuple[str, ...] = ()
    """Agents whose runs hold personal data."""
    payload_days: float | None = Field(default=None, ge=0)
    """After so many days inputs, outputs and replies are erased, and what happened is kept."""
