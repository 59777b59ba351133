"""Settings of operations: alerts, the guard of a rollout, and retention."""

from typing import Any, Literal

from pydantic import Field

from intendant.config.sections import Section


class AlertSettings(Section):
    """When alerts are raised. Shares are of what happened within the window of `window_seconds`."""

    window_seconds: float = Field(default=3600.0, ge=1, le=31_536_000)
    """Length of the window, in seconds, up to now."""
    least: int = Field(default=20, ge=1, le=1_000_000)
    """Minimum number of samples; with fewer, a rule does not decide."""
    clear_factor: float = Field(default=0.8, ge=0, le=1)
    """An alert clears only when its figure is below this fraction of the threshold (hysteresis)."""
    failure_share: float = Field(default=0.05, ge=0, le=1)
    """Threshold: the share of failed steps among those that were executed."""
    overage_share: float = Field(default=0.10, ge=0, le=1)
    """Threshold: the share of steps that took more than 10 % beyond their allocation, among those that had one."""
    quality_minimum: float = Field(default=4.0, ge=1, le=5)
    """Threshold: the lowest mean rating, 1 to 5; if nothing was rated, the share of facts that survived
    compression, times 5."""
    overhead_ms: float = Field(default=50.0, ge=0, le=600_000)
    """Threshold: the mean overhead per step in milliseconds: the time a step takes outside its handler,
    compression included."""
    classification_share: float = Field(default=0.05, ge=0, le=1)
    """Threshold: the share of steps whose intent was below the confidence `classification.threshold`, among those
    classified."""
    down_share: float = Field(default=0.5, ge=0, le=1)
    """Threshold: the share of runs with a step that failed because of plugins, the database or the record."""
    burn_rate: float = Field(default=2.0, ge=1, le=1000)
    """Threshold: how many times faster than evenly a standing budget is spent."""
    loop_repeats: int = Field(default=5, ge=2, le=10_000)
    """Threshold: how often in a row a step makes the same call, or the same use of a tool."""
    silence: dict[str, float] = Field(default_factory=dict)
    """Until when a rule is silenced, by rule: seconds since 1970 (UTC)."""
    uses: str | None = None
    """The connector operation that delivers alerts, such as `webhook.post`; None for none."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Its parameters; `{{ inputs.text }}` is the alert as text, `{{ inputs.alert }}` the alert as data."""


class RolloutSettings(Section):
    """How features are rolled out, and the guard that advances a rollout or rolls it back."""

    profile: Literal["standard", "rollout"] = "standard"
    """`rollout`: all flags that are not set explicitly are off."""

    runs_per_stage: int = Field(default=50, ge=1, le=1_000_000)
    """Minimum number of runs with the feature in each stage before the rollout advances."""
    false_alarm: float = Field(default=0.05, gt=0, lt=1)
    """The probability that a healthy feature is rolled back, all criteria together."""


class RetentionSettings(Section):
    """Retention periods in days, by class of run, applied by `intendant db prune`; None: kept for ever."""

    standard_days: float | None = Field(default=365.0, ge=0)
    """Runs without a critical event."""
    critical_days: float | None = Field(default=2555.0, ge=0)
    """Runs with a critical event: a step failed, or a budget was exceeded."""
    personal_days: float | None = Field(default=90.0, ge=0)
    """Runs of the agents in `personal_agents`, whatever happened in them."""
    personal_agents: tuple[str, ...] = ()
    """Agents whose runs contain personal data."""
    payload_days: float | None = Field(default=None, ge=0)
    """After this many days inputs, outputs and replies are erased; the journal is kept."""
