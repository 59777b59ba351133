"""Every setting: type, range, default; and where its value came from.

Sources, in order of precedence: the call, the database (live keys only, see `catalogue`), the environment
(`INTENDANT_BUDGET__STRATEGY=equal`), `intendant.toml` of the working directory (only harmless keys until
`intendant trust`), the user's `intendant.toml`, the default.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError

from intendant.config.flags import Flag
from intendant.config.layers import Source, merge, read_env, read_files, read_toml
from intendant.config.own_folders import data_folder
from intendant.config.sections import Section
from intendant.config.spellings import canonical
from intendant.config.upkeep import AlertSettings, RetentionSettings, RolloutSettings
from intendant.model.errors import SettingsError
from intendant.model.requests import CompressionPolicy
from intendant.model.workflow import MAX_AMOUNT, MAX_USD, InDoubt

CALL, DATABASE = "the call", "the database"
"""Names of the layers."""


class FlagSettings(Section):
    """Switches for decisions: on, off, or on for some agents or users. Limits apply whatever the flags say."""

    orchestration_enabled: Flag = True
    """Master switch. Off: `WorkflowOrchestrator.initialize` returns False and does nothing."""
    compression_enabled: Flag = True
    """Off: content is never compressed; if it does not fit, the answer is shortened or the call refused."""
    routing_enabled: Flag = True
    """Off: every step goes to the tier `routing.default_tier`."""
    adaptive_budget_enabled: Flag = True
    """Off: budget strategies do not see what earlier runs used, and rely on baselines alone."""
    intents_enabled: Flag = True
    """Off: no model is asked about a step's intent, and no remembered intents are used: the local classifiers'
    best guess counts, whatever their confidence."""
    token_governance_enabled: Flag = True
    """Off: no budget strategy is asked, and a run's tokens are shared equally."""
    intent_routing_enabled: Flag = True
    """Off: a step's difficulty ignores what its intent declares (tier bias, reasoning, output complexity)."""
    ais_routing_enabled: Flag = True
    """Off: a step's difficulty ignores what is measured of the step (prompt, data, conditions, references)."""
    shadow: Flag = False
    """On: budget sharing, routing and compression decide and record what they would have saved, but change
    nothing."""
    agent_prior_enabled: Flag = True
    """Off: an agent's intensity influences nothing. Agents with fewer than five runs have none."""


class BudgetSettings(Section):
    """What a run may spend if its workflow sets no limit, and how it is shared among the steps."""

    strategy: str = "proportional"
    """The plugin that shares a run's tokens among its steps."""
    tokens_per_workflow: int = Field(default=20_000, ge=0, le=MAX_AMOUNT)
    """Token limit of a run whose workflow sets no `budget`."""
    usd_per_workflow: float | None = Field(default=None, ge=0, le=MAX_USD, allow_inf_nan=False)
    """The same in US$; None for no limit."""
    run_limit: Literal["enforce", "watch"] = "enforce"
    """`watch`: a run may exceed its own budget, and records what would have been refused. Budgets of steps and
    standing budgets of agents and tenants stay enforced."""
    tokens_per_step: int = Field(default=4_000, ge=1)
    """The most tokens that a step is guaranteed."""
    memory_tokens: int = Field(default=800, ge=0)
    """Tokens for what is known before the run, in each step that receives it: the most that it may take. Reserved
    first."""
    overage_allowed: bool = True
    """A step that runs short may draw on tokens that are not guaranteed to any other step."""
    overage_threshold: float | None = Field(default=None, ge=1, le=1000)
    """Such a step may use up to this many times its share; None for no limit. Never more than the run has."""
    tenant: str = Field(default="default", min_length=1, max_length=200)
    """The tenant whose standing limits apply to every run of this engine, besides those of the run's agent."""
    lease_seconds: float = Field(default=30.0, ge=0, le=3600)
    """How long a process may keep a slice of a standing budget, so that calls need not queue for it; 0: none."""
    in_doubt: InDoubt | None = None
    """What to do about calls that were in flight when their process died, if the step does not say; None:
    `idempotent` if the provider supports it, else `retry` for calls up to `ask_above_usd`, else `hold`."""
    ask_above_usd: float = Field(default=0.05, ge=0, le=MAX_USD, allow_inf_nan=False)
    """A call in doubt that may have cost more than this many US$ waits for a person's decision."""
    critical_factor: float = Field(default=1.5, ge=1, le=3)
    """Weight of a critical step when tokens are shared."""
    baselines: dict[str, Annotated[int, Field(ge=0, le=MAX_AMOUNT)]] = Field(default_factory=dict)
    """Baseline tokens by intent; they override what its handler declares."""


class ClassificationSettings(Section):
    """How steps are classified, and when a classification is accepted."""

    threshold: float = Field(default=0.7, ge=0, le=1)
    """Below this confidence the next classifier is asked. If none reaches it, the best guess is shown with a
    warning."""
    use_model: bool = True
    """Ask a model if the other classifiers are not sure and a provider with a key is available."""
    tokens: int = Field(default=4_000, ge=0)
    """The most tokens that classifying one workflow may take."""


class CompressionSettings(Section):
    """How far content may be compressed."""

    calibration: Path | None = None
    """The file that `intendant compress --calibrate` wrote, used for floors that have a `risk`. None: the
    calibration on the project's own documents."""
    policies: dict[str, CompressionPolicy] = Field(default_factory=dict)
    """By intent; keys that a policy does not set keep the value that the handler declares."""


class TierLimits(Section):
    """Overrides of what a tier's plugin and `plugins.settings` say; None for no change."""

    max_difficulty: float | None = Field(default=None, ge=0, le=10)
    """Steps of greater difficulty (0 to 10) go to a stronger tier."""
    max_output_tokens: int | None = Field(default=None, ge=1, le=MAX_AMOUNT)
    """The maximum length of an answer, in tokens."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """The sampling temperature of calls whose step sets none."""


class RoutingSettings(Section):
    """How models are chosen for steps."""

    default_tier: str = "balanced"
    """The tier for steps that no tier accepts, and for all steps if routing is off."""
    providers: tuple[str, ...] = ()
    """Preferred providers, the most preferred first; the others follow in their own order."""
    tiers: dict[str, TierLimits] = Field(default_factory=dict)
    """By tier."""
    policy: Path | None = None
    """The file that `intendant route train` wrote: a policy learned from outcomes, which chooses models for the
    intents that it knows. None: tiers choose."""
    max_loss: float = Field(default=0.03, ge=0, le=1)
    """The greatest loss of mean score (0 to 1) at which the policy is still used, by the upper confidence bound of
    the loss."""


class AgentSettings(Section):
    """How agents are rated, and what runs receive of their memory."""

    half_life: float = Field(default=10.0, gt=0, le=1000)
    """The number of runs after which a run counts half."""
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Ranges by `component.factor`, such as `tokens.volume`, that replace the defaults: the value that scores 0
    and the value that scores 10."""
    recent_runs: int = Field(default=5, ge=0, le=100)
    """How many summaries of earlier runs a run receives, the newest first."""
    relevant: int = Field(default=8, ge=0, le=100)
    """How many other memories a run receives: those most relevant to its purpose."""
    embedder: str = "auto"
    """The embedder plugin that finds memories in other words than the question: its name; `auto`: the first one
    installed; `off`: none."""
    similarity: float = Field(default=0.7, ge=0, le=1)
    """The least cosine similarity of memories that only an embedder finds."""
    embedding_usd: float = Field(default=0.01, ge=0, le=100)
    """The most that an embedder may charge for one recall, in US$. Each memory is embedded once, at its first
    recall."""
    summary_tokens: int = Field(default=120, ge=20, le=2000)
    """The maximum length of a run's summary, in tokens (estimated)."""
    keep_runs: int = Field(default=30, ge=1, le=400)
    """How many summaries are kept unchanged; older ones are merged by month."""
    keep_days: float = Field(default=365.0, gt=0)
    """Days for which memories drawn from runs are kept if no run receives them."""


class RunSettings(Section):
    """How steps are executed."""

    max_parallel: int = Field(default=16, ge=1, le=1000)
    """How many steps of a run may be executed in parallel."""
    dispatcher: str = "embedded"
    """What assigns runs to processes (`intendant worker`): `embedded`, which each worker has built in, or an
    installed dispatcher."""
    processes: int = Field(default=0, ge=0, le=64)
    """How many processes compress large texts; 0 for a thread instead. A program that sets it needs the usual
    guard `if __name__ == "__main__":`."""
    max_items: int = Field(default=100_000, ge=1, le=10_000_000)
    """The most items that one `for_each` may have; their number may depend on what a model found."""
    step_timeout: float | None = Field(default=300.0, gt=0)
    """Time limit in seconds for a step that sets no `timeout`; None for no limit."""
    call_timeout: float = Field(default=120.0, gt=0)
    """Time limit in seconds for one model call."""
    compute_seconds: float = Field(default=10.0, gt=0, le=3600)
    """Time limit in seconds for evaluating one condition or checking one value against a schema."""
    compute_megabytes: int = Field(default=2048, ge=64)
    """Memory limit in megabytes for the same, which runs in its own process, on systems that can limit it."""


class RateLimit(Section):
    """A provider's rate limits; calls wait instead of being refused."""

    requests_per_minute: int | None = Field(default=None, ge=1)
    """How many calls may start per minute."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Tokens per minute: input and maximum answer together, as held before a call."""
    concurrent: int | None = Field(default=None, ge=1)
    """How many calls may be in flight at once."""


class CallSettings(Section):
    """How model calls are sent."""

    attempts: int = Field(default=3, ge=1, le=20)
    """Attempts with one model after transient errors, the first one included."""
    deadline: float = Field(default=600.0, gt=0)
    """Time limit in seconds for all attempts of one call together, waits included; what a step's `slack` allows is
    added to it."""
    fallback: bool = True
    """If a provider does not answer, fall back to the next provider's model for the same tier."""
    breaker_failures: int = Field(default=5, ge=1)
    """Circuit breaker: after this many failed calls in a row, a model is not asked for `breaker_seconds`."""
    breaker_seconds: float = Field(default=30.0, gt=0)
    """Seconds for which the circuit breaker stays open; then one call tests the model."""
    limits: dict[str, RateLimit] = Field(default_factory=dict)
    """By provider. Each process counts its own calls."""
    token_bound: Literal["proven", "likely"] = "proven"  # noqa: S105  # no password
    """What to hold for a text that neither this machine nor the provider can count. `proven`: an upper bound that
    no tokenizer of the model's class exceeds, so that no limit is exceeded; three to five times too high for
    English. `likely`: an estimate, which lets more calls run at once but may be exceeded by a call."""
    refusals: Literal["fail", "keep"] = "fail"
    """If a model refuses to answer: `fail` the step, or `keep` what it said as the answer."""
    max_reply_bytes: int = Field(default=16_777_216, ge=1024)
    """A reply with a longer text is a provider error."""
    prompt_cache: bool = True
    """Mark what later calls will send again for the prompt cache, if the provider's prices make it worthwhile."""


class StoreSettings(Section):
    """Where runs are stored."""

    db: str | None = None
    """SQLAlchemy URL; `none` for memory only; None for a file in the user's data folder."""
    durability: Literal["full", "normal"] = "normal"
    """SQLite only. `normal` survives a crash of the process, `full` also a power loss."""
    key_file: str | None = None
    """A file of secrets, one per line: the first signs every event (HMAC-SHA256), all of them verify. None for no
    signatures. Keep it away from those who can write the database."""


class SecretSettings(Section):
    """Where to look up `{{ secrets.NAME }}`, besides variables `INTENDANT_SECRET_NAME`."""

    environment: tuple[str, ...] = ()
    """Names of other environment variables that workflows may use as secrets, each under its own name."""
    file: Path | None = None
    """A file of lines `NAME=value` (or TOML, if its name says so) that only its owner may read; or a folder with
    one file per secret."""
    keyring: str | None = None
    """The service under which the system's keyring stores them; requires the package keyring."""


class PluginSettings(Section):
    """Which plugins are used."""

    block: tuple[str, ...] = ()
    """Keys, such as `tier:fast`, of plugins that are never imported."""
    only: tuple[str, ...] = ()
    """If set, no other plugins are used."""
    require: tuple[str, ...] = ()
    """Plugins that must load; otherwise the engine refuses to start."""
    order: tuple[str, ...] = ()
    """Plugins that are asked first, in this order."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Each plugin's own settings, by key."""


class PriceSetting(Section):
    """A price set by hand, in US dollars per million tokens."""

    input: float = Field(ge=0)
    """US$ per million input tokens."""
    output: float = Field(ge=0)
    """US$ per million output tokens, those of thinking included."""
    cache_read: float | None = Field(default=None, ge=0)
    """US$ per million input tokens read from the provider's prompt cache; None: as `input`."""
    cache_write: float | None = Field(default=None, ge=0)
    """US$ per million input tokens written to the cache for some minutes; None: as `input`."""
    cache_write_1h: float | None = Field(default=None, ge=0)
    """US$ per million input tokens written to the cache for an hour; None: as `cache_write`."""
    batch: float = Field(default=1.0, ge=0, le=1)
    """Factor on these prices for calls in the provider's batch lane, which may take hours."""


class PriceSettings(Section):
    """Prices of models and of connector operations that override the price data."""

    models: dict[str, PriceSetting] = Field(default_factory=dict)
    """Prices that the price data lacks or that differ from it, by `provider/model`."""
    factors: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(default_factory=dict)
    """Factors on the prices in the data, by provider: regions, priority tiers and resellers cost more."""
    uses: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """US$ for one use of a connector's operation, by `connector.operation`, such as `http.get`: held before it,
    charged after it. The default is what the connector declares."""
    warn_after_days: int = Field(default=120, ge=1)
    """Plans show a warning if the newest price in the data is more than this many days old."""


class Settings(Section):
    """All settings.

    Example:
        >>> Settings.load(call={"budget": {"strategy": "equal"}}, env={}, file=None).budget.strategy
        'equal'
    """

    flags: FlagSettings = FlagSettings()
    budget: BudgetSettings = BudgetSettings()
    classification: ClassificationSettings = ClassificationSettings()
    compression: CompressionSettings = CompressionSettings()
    routing: RoutingSettings = RoutingSettings()
    agents: AgentSettings = AgentSettings()
    run: RunSettings = RunSettings()
    calls: CallSettings = CallSettings()
    store: StoreSettings = StoreSettings()
    secrets: SecretSettings = SecretSettings()
    plugins: PluginSettings = PluginSettings()
    prices: PriceSettings = PriceSettings()
    alerts: AlertSettings = AlertSettings()
    rollout: RolloutSettings = RolloutSettings()
    retention: RetentionSettings = RetentionSettings()

    _sources: tuple[Source, ...] = PrivateAttr(default=())
    _version: int = PrivateAttr(default=0)
    _provenance: dict[str, str] = PrivateAttr(default_factory=dict)
    _left_out: dict[str, tuple[str, ...]] = PrivateAttr(default_factory=dict)

    @classmethod
    def load(
        cls,
        call: Mapping[str, Any] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        file: str | Path | None = "",
    ) -> Self:
        """Merge the settings from all sources.

        Args:
            call: Settings given by the host, nested like this class.
            env: The environment; by default the process's own.
            file: A TOML file, trusted because it is named; by default the user's file, or the one that
                `INTENDANT_CONFIG` names, overridden by `intendant.toml` of the working directory; None for none.

        Raises:
            SettingsError: A setting is unknown or wrong; says which, and from which source.
        """
        env = os.environ if env is None else env
        if file == "":
            sources = list(read_files(env))
        else:
            sources = [Source(str(file), read_toml(Path(file)))] if file else []
        sources += [read_env(env), Source(CALL, call or {})]
        return cls._of([Source(one.name, canonical(one.values, one.name), one.left_out) for one in sources])

    @classmethod
    def _of(cls, sources: Sequence[Source], version: int = 0) -> Self:
        """The settings merged from *sources*, the last of which takes precedence."""
        merged: dict[str, Any] = {}
        provenance: dict[str, str] = {}
        for source in [*_profile(sources), *sources]:
            merge(merged, source.values, source.name, provenance)
        try:
            settings = cls.model_validate(merged)
        except ValidationError as error:
            raise _wrong(error, provenance) from None
        except RecursionError:
            raise SettingsError("the settings are nested too deep") from None
        own = settings
        own._sources, own._version = tuple(sources), version  # noqa: SLF001  # its own
        own._provenance.update(provenance)  # noqa: SLF001
        own._left_out.update({source.name: source.left_out for source in sources if source.left_out})  # noqa: SLF001
        return settings

    def with_database(self, values: Mapping[str, Any], version: int) -> Self:
        """These settings with another layer of the database. It overrides files and environment; the call
        overrides it.

        Args:
            values: Settings of the database, nested; they replace those of an earlier version.
            version: Their version.

        Raises:
            SettingsError: They are wrong.
        """
        sources = self._sources or (Source(CALL, self.model_dump(exclude_unset=True)),)
        others = [source for source in sources if not source.name.startswith(DATABASE)]
        last = [source for source in others if source.name == CALL]
        first = [source for source in others if source.name != CALL]
        stored = [Source(f"{DATABASE}, version {version}", values)] if values else []
        return self._of([*first, *stored, *last], version)

    @property
    def layers(self) -> tuple[Source, ...]:
        """The sources that they were merged from, the last of which takes precedence."""
        return self._sources

    @property
    def version(self) -> int:
        """The version of the database's layer that they include; 0 for none."""
        return self._version

    @property
    def in_force(self) -> Mapping[str, str]:
        """The source of each key that differs from its default, by dotted key."""
        return dict(self._provenance)

    @property
    def left_out(self) -> Mapping[str, tuple[str, ...]]:
        """Keys that were ignored because a file may not set them until it is trusted, by file."""
        return dict(self._left_out)

    def source_of(self, key: str) -> str:
        """Where the value of *key*, such as `budget.strategy`, came from."""
        while key:
            if key in self._provenance:
                return self._provenance[key]
            within = [known for known in self._provenance if known.startswith(f"{key}.")]
            if within:
                return self._provenance[within[-1]]
            key = key.rpartition(".")[0]
        return "the default"


def _profile(sources: Sequence[Source]) -> list[Source]:
    """The layer that all others override: all flags off, if the profile `rollout` is chosen."""
    chosen = ""
    for source in sources:
        section = source.values.get("rollout")
        chosen = section.get("profile", chosen) if isinstance(section, Mapping) else chosen
    off = dict.fromkeys(FlagSettings.__pydantic_fields__, False)
    return [Source("the profile rollout", {"flags": off})] if chosen == "rollout" else []


def _wrong(error: ValidationError, provenance: Mapping[str, str]) -> SettingsError:
    item = error.errors()[0]
    key = ".".join(str(part) for part in item["loc"])
    source = next((provenance[known] for known in provenance if known.startswith(key)), "")
    source = source or next((name for known, name in provenance.items() if key.startswith(known)), "?")
    return SettingsError(f"the setting {key} (from {source}) is wrong: {item['msg']}")


def default_db() -> str:
    """The URL of the database in the user's data folder.

    Raises:
        SettingsError: The user has no home directory.
    """
    return f"sqlite:///{data_folder() / 'intendant.db'}"
