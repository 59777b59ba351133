"""Triggers: what starts runs without a person, at times, for files or for webhooks, as a TOML file says.

```toml
[morning]
flow = "report.yaml"
cron = "0 7 * * 1-5"
timezone = "Europe/Berlin"
missed = "once"
inputs = {day = "{{ trigger.day }}"}

[inbox]
flow = "mails.yaml"
folder = "inbox"
pattern = "*.eml"
inputs = {mail = "{{ trigger.path }}"}

[orders]
flow = "order.yaml"
webhook = {secret = "{{ secrets.ORDERS }}"}
inputs = {order = "{{ trigger.body }}"}
```

Each run that a trigger starts has an idempotency key: the trigger's name and the time, or its name and the file
with its content, or its name and the webhook's id. Several workers, and one that is started again, start one run
of each. Webhooks are received by `webhooks.WebhookReceiver`, not by workers.
"""

import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator, model_validator

from intendant.hooks.webhook_signatures import SignatureScheme
from intendant.model.errors import IntendantError
from intendant.model.workflow import Frozen, Json
from intendant.pilot.resolving import resolve

QUIET_SECONDS = 1.0
"""A file that was changed within this may still be being written: it is looked at again."""


class Webhook(Frozen):
    """Webhooks that start runs."""

    secret: str = Field(pattern=r"^\{\{\s*secrets\.[A-Za-z][A-Za-z0-9_]*\s*\}\}$", repr=False)
    """The secret that they are signed with, by name: `{{ secrets.NAME }}`."""
    signature: SignatureScheme = "standard"
    """How they are signed: as Standard Webhooks has it, or as GitHub, Stripe or Slack do."""
    max_bytes: int = Field(default=1_000_000, ge=1)
    """Bytes of a body at most."""

    @property
    def secret_name(self) -> str:
        """The name of the secret."""
        return self.secret.strip("{} ").removeprefix("secrets.")


class Trigger(Frozen):
    """What starts runs of a workflow."""

    flow: str
    """The workflow's file; relative to the file of triggers."""
    cron: str | None = None
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    """In which the times of `cron` are."""
    folder: str | None = None
    """Each file in it starts a run; relative to the file of triggers."""
    pattern: str = "*"
    """Which files, by name."""
    webhook: Webhook | None = None
    """Each webhook that is signed so starts a run."""
    missed: Literal["once", "skip"] = "skip"
    """What becomes of times that passed, and files that came, while no worker was there: `once` starts one run for
    all times that were missed, and one for each such file; `skip` none.
    """
    inputs: Annotated[dict[str, Json], Field(default_factory=dict)]
    """Inputs of the run. `{{ trigger.name }}`, `{{ trigger.time }}`, `{{ trigger.day }}`, for files
    `{{ trigger.path }}` and for webhooks `{{ trigger.id }}` and `{{ trigger.body }}` stand for what is known.
    """

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"'{name}' is no time zone; write one such as Europe/Berlin") from None
        return name

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if [self.cron, self.folder, self.webhook].count(None) != 2:  # noqa: PLR2004  # all but one
            raise ValueError("write one of `cron`, `folder` and `webhook`")
        if self.cron is not None:
            next(_times(self.cron, datetime.now(UTC)))
        return self


class Message(NamedTuple):
    """A webhook that was received."""

    id: str
    """The same for each attempt to deliver it."""
    body: Json
    """Its JSON, else its text."""


class Firing(NamedTuple):
    """A reason to start a run."""

    name: str
    """The trigger's."""
    key: str
    """The run's idempotency key."""
    at: float
    """When, in seconds since 1970."""
    path: str = ""
    """The file's, where one is the reason."""
    message: Message | None = None
    """The webhook, where one is the reason."""


def load_triggers(file: Path) -> dict[str, Trigger]:
    """The triggers of a TOML file, by name.

    Raises:
        IntendantError: The file cannot be read, or a trigger is wrong; names the trigger and the key.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise IntendantError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise IntendantError(f"{file}: {error}", hint="triggers are written in TOML, one table each") from None
    triggers = {}
    for name, table in document.items():
        try:
            trigger = Trigger.model_validate(table)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join((name, *map(str, first["loc"])))
            message = first["msg"].removeprefix("Value error, ")
            raise IntendantError(f"{file}: {where}: {message}", hint=_HINT) from None
        places = {"flow": str(file.parent / trigger.flow)}
        if trigger.folder is not None:
            places["folder"] = str(file.parent / trigger.folder)
        triggers[name] = trigger.model_copy(update=places)
    return triggers


_HINT = 'a trigger is such as: [morning]  flow = "report.yaml"  cron = "0 7 * * 1-5"'


def inputs_of(trigger: Trigger, firing: Firing) -> dict[str, Json]:
    """The inputs of the run that a firing starts.

    Raises:
        ReferenceFailed: A reference names something that is not there.
    """
    moment = datetime.fromtimestamp(firing.at, ZoneInfo(trigger.timezone))
    known: Mapping[str, Json] = {
        "name": firing.name,
        "time": moment.isoformat(timespec="seconds"),
        "day": moment.date().isoformat(),
        **({"path": firing.path} if firing.path else {}),
        **({"id": firing.message.id, "body": firing.message.body} if firing.message is not None else {}),
    }
    return {key: resolve(value, {"trigger": dict(known)}) for key, value in trigger.inputs.items()}


# --- times ---


def _times(cron: str, after: datetime) -> Iterator[datetime]:
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        raise IntendantError("`cron` needs cronsim", hint="pip install 'intendant[worker]'") from None
    try:
        return iter(CronSim(cron, after))
    except CronSimError as error:
        hint = "minute hour day month weekday, such as 0 7 * * 1-5"
        raise ValueError(f"'{cron}' is not understood: {error}; write {hint}") from None


def due_times(name: str, trigger: Trigger, seen_until: float | None, now: float, started: float) -> list[Firing]:
    """The firings of a `cron` trigger that are due.

    Args:
        name: The trigger's.
        trigger: The trigger.
        seen_until: The time up to which a worker has seen to it; None for never.
        now: The time.
        started: When this worker was started; times before it were missed.
    """
    if trigger.cron is None:
        return []
    zone = ZoneInfo(trigger.timezone)
    begin = started if seen_until is None else seen_until
    missed: datetime | None = None
    due: list[datetime] = []
    for moment in _times(trigger.cron, datetime.fromtimestamp(begin, zone)):
        at = moment.timestamp()
        if at > now:
            break
        if at < started:
            missed = moment
        else:
            due.append(moment)
    if missed is not None and trigger.missed == "once":
        due.insert(0, missed)
    return [Firing(name, f"{name}@{moment.isoformat()}", moment.timestamp()) for moment in due]


# --- files ---


class FolderWatch:
    """The files in a trigger's folder; remembers the digests of those that have not changed since.

    Args:
        name: The trigger's.
        trigger: The trigger.
        started: When this worker was started, in seconds since 1970.
    """

    def __init__(self, name: str, trigger: Trigger, started: float) -> None:
        self._name = name
        self._trigger = trigger
        self._started = started
        self._seen: dict[str, tuple[float, int]] = {}

    def new_files(self, now: float) -> list[Firing]:
        """Files that came, or were changed, since the last look. A folder that is not there has none."""
        found = []
        folder = Path(self._trigger.folder or "")
        for path in sorted(folder.glob(self._trigger.pattern)):
            about = path.stat() if path.is_file() else None
            if about is None or now - about.st_mtime < QUIET_SECONDS:
                continue
            mark = (about.st_mtime, about.st_size)
            if self._seen.get(path.name) == mark:
                continue
            self._seen[path.name] = mark
            if about.st_mtime < self._started - QUIET_SECONDS and self._trigger.missed == "skip":
                continue
            with path.open("rb") as content:
                digest = sha256(content.read()).hexdigest()
            found.append(Firing(self._name, f"{self._name}:{path.name}:{digest}", now, str(path)))
        return found
