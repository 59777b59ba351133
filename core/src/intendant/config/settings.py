"""Every setting: type, range, default; and where its value came from.

Sources, strongest first: the call, the database (only keys that are live, see `catalogue`), the environment
(`INTENDANT_BUDGET__STRATEGY=equal`), `intendant.toml` in the working folder (only harmless keys until
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
    """What can be switched off, or on for some agents or users only. Limits hold whatever the flags say."""

    orchestration_enabled: Flag = True
    """Master switch. Off: `WorkflowOrchestrator.initialize` returns False and does nothing."""
    compression_enabled: Flag = True
    """Off: content is never compressed; what does not fit is refused, or answered shorter."""
    routing_enabled: Flag = True
    """Off: every step goes to the tier `routing.default_tier`."""
    adaptive_budget_enabled: Flag = True
    """Off: budget strategies are not told what earlier runs took, and go by baselines alone."""
    intents_enabled: Flag = True
    """Off: no model is asked about a step's intent, and nothing remembered is used: the best guess of the local
    classifiers counts, however sure they are."""
    token_governance_enabled: Flag = True
    """Off: no budget strategy is asked, and the tokens of a run are shared equally."""
    intent_routing_enabled: Flag = True
    """Off: what an intent declares (tier bias, reasoning, output complexity) does not count in the difficulty."""
    ais_routing_enabled: Flag = True
    """Off: the measures of a step (prompt, data, conditions, references) do not count in the difficulty."""
    shadow: Flag = False
    """On: sharing, routing and compression decide and record what they would have saved, and change nothing."""
    agent_prior_enabled: Flag = True
    """Off: an agent's intensity changes nothing. Agents with fewer than five runs have none."""


class BudgetSettings(Section):
    """What a run may spend where the workflow does not say, and how it is shared."""

    strategy: str = "proportional"
    """The plugin that shares a run's tokens among its steps."""
    tokens_per_workflow: int = Field(default=20_000, ge=0, le=MAX_AMOUNT)
    """What a run may take whose workflow names no `budget`."""
    usd_per_workflow: float | None = Field(default=None, ge=0, le=MAX_USD, allow_inf_nan=False)
    """The same in US$; None for no limit."""
    run_limit: Literal["enforce", "watch"] = "enforce"
    """`watch`: a run goes on beyond its own budget, and records what would have been refused. Budgets of steps and
    standing budgets of agents and tenants are enforced all the same."""
    tokens_per_step: int = Field(default=4_000, ge=1)
    """No step gets more than this by right."""
    memory_tokens: int = Field(default=800, ge=0)
    """What is known before a run takes at most this much in each step that is told; reserved before all else."""
    overage_allowed: bool = True
    """A step that needs more than its share may draw on what no other step has a right to."""
    overage_threshold: float | None = Field(default=None, ge=1, le=1000)
    """It may draw up to this many times its share; None for as far as there is any. Never more than a run has."""
    tenant: str = Field(default="default", min_length=1, max_length=200)
    """Whose standing limits hold for every run of this engine, besides those of the run's agent."""
    lease_seconds: float = Field(default=30.0, ge=0, le=3600)
    """How long a process may keep a slice of a standing budget, so that calls need not queue for it; 0: none."""
    in_doubt: InDoubt | None = None
    """What becomes of calls that were out when their process died, where the step does not say; None:
    `idempotent` where the provider knows a call again by its key, else `retry` up to `ask_above_usd`, else `hold`.
    """
    ask_above_usd: float = Field(default=0.05, ge=0, le=MAX_USD, allow_inf_nan=False)
    """A call in doubt that may have cost more waits for a person."""
    critical_factor: float = Field(default=1.5, ge=1, le=3)
    """A critical step counts this many times."""
    baselines: dict[str, Annotated[int, Field(ge=0, le=MAX_AMOUNT)]] = Field(default_factory=dict)
    """Tokens by intent, in place of what its handler declares."""


class ClassificationSettings(Section):
    """When a classification is good enough."""

    threshold: float = Field(default=0.7, ge=0, le=1)
    """Below it the next classifier is asked; the best guess is shown with a warning."""
    use_model: bool = True
    """Ask a model where the others are not sure, if a provider with a key can be used."""
    tokens: int = Field(default=4_000, ge=0)
    """Tokens that classifying one workflow may take."""


class CompressionSettings(Section):
    """How far content may be compressed."""

    calibration: Path | None = None
    """What `intendant compress --calibrate` wrote: by it floors that have a risk are held. None: by the project's
    own documents."""
    policies: dict[str, CompressionPolicy] = Field(default_factory=dict)
    """By intent; what a policy does not name stays as its handler declares."""


class TierLimits(Section):
    """What is otherwise with a tier than its plugin and `plugins.settings` say; None for no change."""

    max_difficulty: float | None = Field(default=None, ge=0, le=10)
    """Steps that are harder (0 to 10) go to a stronger tier."""
    max_output_tokens: int | None = Field(default=None, ge=1, le=MAX_AMOUNT)
    """The longest answer, in tokens."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """The sampling temperature of calls whose step names none."""


class RoutingSettings(Section):
    """Which models are preferred."""

    default_tier: str = "balanced"
    """The tier of steps that no tier takes, and of all where routing is off."""
    providers: tuple[str, ...] = ()
    """Preferred first; others follow in their own order."""
    tiers: dict[str, TierLimits] = Field(default_factory=dict)
    """By tier."""
    policy: Path | None = None
    """What `intendant route train` wrote: chooses models for the intents that it knows. None: tiers choose."""
    max_loss: float = Field(default=0.03, ge=0, le=1)
    """Points of mean score (0 to 1) that a policy may lose, by its upper confidence bound; else it is not used."""


class AgentSettings(Section):
    """How agents are rated."""

    half_life: float = Field(default=10.0, gt=0, le=1000)
    """Runs after which a run counts half as much."""
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """By `component.factor`, such as `tokens.volume`: what scores 0 and what scores 10."""
    recent_runs: int = Field(default=5, ge=0, le=100)
    """Summaries of earlier runs that a run is told of, the newest."""
    relevant: int = Field(default=8, ge=0, le=100)
    """Other memories that it is told of, those that fit best what it is for."""
    embedder: str = "auto"
    """Which plugin finds memories that say it in other words: its name; `auto`: the first one that is installed;
    `off`: none.
    """
    similarity: float = Field(default=0.7, ge=0, le=1)
    """How alike a memory is at least that only an embedder finds: the cosine of the angle between the two."""
    embedding_usd: float = Field(default=0.01, ge=0, le=100)
    """What an embedder may charge for one recall, in US$; each memory is embedded once, when first looked at."""
    summary_tokens: int = Field(default=120, ge=20, le=2000)
    """What the summary of a run may take (an estimate)."""
    keep_runs: int = Field(default=30, ge=1, le=400)
    """Summaries that are kept as they are; older ones are put together by month."""
    keep_days: float = Field(default=365.0, gt=0)
    """For how long what was drawn from runs is kept where no run is told of it."""


class RunSettings(Section):
    """How steps are executed."""

    max_parallel: int = Field(default=16, ge=1, le=1000)
    """Steps of a run that may be executed at once."""
    dispatcher: str = "embedded"
    """What brings runs to processes (`intendant worker`): `embedded`, each worker its own, or an installed one."""
    processes: int = Field(default=0, ge=0, le=64)
    """Processes in which large texts are compressed; 0 for a thread. A program that sets it needs the usual guard
    `if __name__ == "__main__":`.
    """
    max_items: int = Field(default=100_000, ge=1, le=10_000_000)
    """Items that one `for_each` may have: how many there are may follow from what a model found."""
    step_timeout: float | None = Field(default=300.0, gt=0)
    """Seconds for a step that names no `timeout`; None for no limit."""
    call_timeout: float = Field(default=120.0, gt=0)
    """Seconds for one model call."""
    compute_seconds: float = Field(default=10.0, gt=0, le=3600)
    """Seconds for evaluating one condition, or checking one value against a schema."""
    compute_megabytes: int = Field(default=2048, ge=64)
    """Memory for the same, in a process of its own, on systems that can limit it."""


class RateLimit(Section):
    """What a provider admits; calls wait for their turn instead of being refused."""

    requests_per_minute: int | None = Field(default=None, ge=1)
    """Calls that may begin in a minute."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Input and the longest answer together, as held before a call."""
    concurrent: int | None = Field(default=None, ge=1)
    """Calls that may be out at once."""


class CallSettings(Section):
    """How model calls are sent."""

    attempts: int = Field(default=3, ge=1, le=20)
    """Tries with one model, of faults that may pass."""
    deadline: float = Field(default=600.0, gt=0)
    """Seconds that all tries of one call may take together, waits included; what a step's `slack` allows comes on
    top."""
    fallback: bool = True
    """Where a provider does not answer, ask the model that the next one has for the same tier."""
    breaker_failures: int = Field(default=5, ge=1)
    """After so many calls in a row that failed, a model is not asked for a while."""
    breaker_seconds: float = Field(default=30.0, gt=0)
    """How long; then one call tries it."""
    limits: dict[str, RateLimit] = Field(default_factory=dict)
    """By provider. Within this process."""
    token_bound: Literal["proven", "likely"] = "proven"  # noqa: S105  # no password
    """What is held for a text that neither this machine nor the provider can count. `proven`: an upper bound
    that no tokenizer of the model's class exceeds, so that no limit is; three to five times too high for
    English. `likely`: an estimate, which lets more calls run at once, and which a call may exceed."""
    refusals: Literal["fail", "keep"] = "fail"
    """Where a model refuses to answer: `fail` the step, or `keep` what it said as its answer."""
    max_reply_bytes: int = Field(default=16_777_216, ge=1024)
    """A reply with a longer text is an error of its provider."""
    prompt_cache: bool = True
    """Mark what later calls will send again, where the provider's prices make that pay."""


class StoreSettings(Section):
    """Where runs are kept."""

    db: str | None = None
    """SQLAlchemy URL; `none` for memory only; None for a file in the user's data folder."""
    durability: Literal["full", "normal"] = "normal"
    """SQLite only. `normal` survives a crash of the process, `full` a power loss as well."""
    key_file: str | None = None
    """A file of secrets, one a line: the first signs every event (HMAC-SHA256), all of them verify. None for no
    signatures. Keep it where those who can write the database cannot read it."""


class SecretSettings(Section):
    """Where `{{ secrets.NAME }}` is looked up, besides variables named `INTENDANT_SECRET_NAME`."""

    environment: tuple[str, ...] = ()
    """Other variables of the environment that workflows may use as secrets, each under its own name."""
    file: Path | None = None
    """A file of lines `NAME=value` (or TOML, if it is named so) that only its owner may read; or a folder with a
    file for each secret."""
    keyring: str | None = None
    """The service under which the system's keyring holds them; needs the package keyring."""


class PluginSettings(Section):
    """Which plugins are used."""

    block: tuple[str, ...] = ()
    """Keys such as `tier:fast` that are never imported."""
    only: tuple[str, ...] = ()
    """If given, no others are used."""
    require: tuple[str, ...] = ()
    """These must load, or the engine refuses to start."""
    order: tuple[str, ...] = ()
    """Asked first, in this order."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Each plugin's own settings, by key."""


class PriceSetting(Section):
    """A price set by hand, in US dollars per million tokens."""

    input: float = Field(ge=0)
    """Of input tokens."""
    output: float = Field(ge=0)
    """Of output tokens, those of thinking included."""
    cache_read: float | None = Field(default=None, ge=0)
    """Of input tokens that are read from the provider's prompt cache; None: as `input`."""
    cache_write: float | None = Field(default=None, ge=0)
    """Of those that are written to it for some minutes; None: as `input`."""
    cache_write_1h: float | None = Field(default=None, ge=0)
    """Of those that are written to it for an hour; None: as `cache_write`."""
    batch: float = Field(default=1.0, ge=0, le=1)
    """What calls that may wait for hours cost, as a part of this."""


class PriceSettings(Section):
    """What models cost, beside the price data."""

    models: dict[str, PriceSetting] = Field(default_factory=dict)
    """Prices that the data does not know, or that differ from it, by `provider/model`."""
    factors: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(default_factory=dict)
    """What prices of the data are multiplied by, by provider: regions, priority tiers and resellers cost more."""
    uses: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """US$ for one use of a connector's operation, by `connector.operation`, such as `http.get`: held before it,
    charged after it. By default what the connector says."""
    warn_after_days: int = Field(default=120, ge=1)
    """Plans warn where the newest price in the data is older."""


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
        """Put the settings together from all sources.

        Args:
            call: Settings given by the host, nested like this class.
            env: The environment; by default the process's own.
            file: A TOML file, trusted since it is named; by default the user's file, or the one that
                `INTENDANT_CONFIG` names, and over it `intendant.toml` of the working folder; None for none.

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
        """The settings that *sources* give together, the last one strongest."""
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
        """These settings with another layer of the database: stronger than files and environment, weaker than the
        call.

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
        """The sources that they were put together from, the last one strongest."""
        return self._sources

    @property
    def version(self) -> int:
        """The version of the database's layer that is in them; 0 for none."""
        return self._version

    @property
    def in_force(self) -> Mapping[str, str]:
        """The source of each key that is not left at its default, by dotted key."""
        return dict(self._provenance)

    @property
    def left_out(self) -> Mapping[str, tuple[str, ...]]:
        """Keys that a file sets and may not set until it is trusted, by file."""
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
    """The weakest layer: all flags off, where the profile `rollout` is chosen."""
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
        SettingsError: The user has no home.
    """
    return f"sqlite:///{data_folder() / 'intendant.db'}"
