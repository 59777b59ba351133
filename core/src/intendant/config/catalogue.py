"""Every key of the settings with its type, range, default and meaning, made of the classes of `settings`.

The classes are the one schema: validation is theirs, and the table of the docs, `intendant config` and what a form
needs are read from them here.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from intendant.config.settings import Settings
from intendant.config.spellings import SPELLINGS
from intendant.config.trusted_files import HARMLESS

LIVE = frozenset(
    {
        "flags",
        "budget.strategy",
        "budget.tokens_per_workflow",
        "budget.usd_per_workflow",
        "budget.run_limit",
        "budget.tokens_per_step",
        "budget.memory_tokens",
        "budget.overage_allowed",
        "budget.overage_threshold",
        "budget.critical_factor",
        "budget.baselines",
        "classification",
        "compression.policies",
        "routing.default_tier",
        "routing.tiers",
        "run.max_parallel",
        "run.max_items",
        "run.step_timeout",
        "alerts.window_seconds",
        "alerts.least",
        "alerts.clear_factor",
        "alerts.failure_share",
        "alerts.overage_share",
        "alerts.quality_minimum",
        "alerts.overhead_ms",
        "alerts.classification_share",
        "alerts.down_share",
        "alerts.burn_rate",
        "alerts.loop_repeats",
        "alerts.silence",
        "rollout",
        "retention",
    }
)
"""What the database may set while services run: flags, budgets, thresholds and policies; a section, or one key.
Base URLs, roots, prices, the store and plugins are set where only an operator of the machine can."""
HOLES = {
    "agents.ranges": "factor",
    "budget.baselines": "intent",
    "compression.policies": "intent",
    "routing.tiers": "tier",
    "calls.limits": "provider",
    "plugins.settings": "plugin",
    "prices.models": "model",
    "prices.factors": "provider",
    "prices.uses": "operation",
    "alerts.silence": "rule",
    "alerts.parameters": "parameter",
}
"""What the names of settings that are maps are."""
_PART = re.compile(r'"([^"]+)"|([^."]+)')


@dataclass(frozen=True)
class Key:
    """A key of the settings.

    Attributes:
        name: The dotted key; `{intent}` and the like stand for a name.
        group: The section.
        schema: The JSON Schema of its value: what a form needs.
        default: The value where no layer sets it.
        meaning: What it does, with its unit.
        live: True if the database may set it, and running services take it over.
        harmless: True if the file of a folder may set it without trust.
        aliases: Old spellings.
    """

    name: str
    group: str
    schema: Mapping[str, Any]
    default: Any
    meaning: str
    live: bool
    harmless: bool
    aliases: tuple[str, ...]

    @property
    def kind(self) -> str:
        """Its type, in words."""
        return _kind(self.schema)

    @property
    def range(self) -> str:
        """The values that it admits, in words; empty where all of the type are."""
        return _range(self.schema)


@cache
def all_keys() -> tuple[Key, ...]:
    """All keys, in the order of the sections."""
    return tuple(
        key
        for group, field in Settings.model_fields.items()
        for key in _of_section(group, field.annotation, group, field.default)
    )


def find(name: str) -> Key | None:
    """The key that *name* names, with any names in place of `{intent}` and the like; None if there is none."""
    parts = parts_of(name)
    for key in all_keys():
        pattern = parts_of(key.name)
        within = key.kind == "map"  # a plugin's own settings stand in one
        if _fits(pattern, parts[: len(pattern)] if within else parts):
            return key
    return None


def is_live(name: str) -> bool:
    """True if the database may set *name*."""
    return _within(name, LIVE)


def parts_of(name: str) -> list[str]:
    """The parts of a dotted key; one in quotes may hold dots."""
    return [quoted or plain for quoted, plain in _PART.findall(name)]


def quoted(parts: list[str]) -> str:
    """The dotted key of *parts*."""
    return ".".join(f'"{part}"' if "." in part else part for part in parts)


def _fits(pattern: list[str], parts: list[str]) -> bool:
    same = (each.startswith("{") or each == part for each, part in zip(pattern, parts, strict=False))
    return len(pattern) == len(parts) and all(same)


def _within(name: str, names: frozenset[str]) -> bool:
    parts = parts_of(name)
    return any(".".join(parts[:length]) in names for length in range(1, len(parts) + 1))


def _of_section(prefix: str, annotation: Any, group: str, default: Any) -> Iterator[Key]:
    for name, field in annotation.model_fields.items():
        key = f"{prefix}.{name}"
        own = field.get_default(call_default_factory=True)
        value = own if default is None else getattr(default, name, None)
        yield from _of_field(key, field, group, value)


def _of_field(key: str, field: FieldInfo, group: str, default: Any) -> Iterator[Key]:
    inner = get_args(field.annotation)[1] if get_origin(field.annotation) is dict else None
    if inner is None:
        yield _key(key, field, group, default)
        return
    named = f"{key}.{{{HOLES[key]}}}"
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        yield from _of_section(named, inner, group, None)
    else:
        yield _key(named, field, group, None, inner)


def _key(name: str, field: FieldInfo, group: str, default: Any, inner: Any = None) -> Key:
    annotation: Any = field.annotation if inner is None else inner
    said: Any = Annotated[(annotation, *field.metadata)] if field.metadata and inner is None else annotation
    schema = TypeAdapter(said).json_schema()
    plain = default.model_dump() if isinstance(default, BaseModel) else default
    return Key(
        name=name,
        group=group,
        schema=schema,
        default=list(plain) if isinstance(plain, tuple) else None if _is_undefined(plain) else plain,
        meaning=" ".join((field.description or "").split()),
        live=_within(name, LIVE),
        harmless=_within(name, HARMLESS),
        aliases=tuple(each.name for each in SPELLINGS if _stands_for(each.key, name)),
    )


def _is_undefined(value: Any) -> bool:
    return type(value).__name__ == "PydanticUndefinedType"


def _stands_for(key: str, name: str) -> bool:
    return bool(key) and _fits(parts_of(name), parts_of(key.replace("{weaker}", "{tier}")))


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "choice"
    if "anyOf" in schema:
        kinds = [_kind(each) for each in schema["anyOf"]]
        return " or ".join(dict.fromkeys("none" if kind == "null" else kind for kind in kinds))
    if "$ref" in schema:
        return "rollout" if schema["$ref"].endswith("Rollout") else "choice"
    kind = str(schema.get("type", "any value"))
    return {"array": "list", "object": "map", "string": "text"}.get(kind, kind)


def _range(schema: Mapping[str, Any]) -> str:
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if choices:
        return ", ".join(map(str, choices))
    if "anyOf" in schema:
        return "; ".join(filter(None, map(_range, schema["anyOf"])))
    if "$ref" in schema:
        named = schema.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})
        return _range(named)
    names = {
        "minimum": "≥ {:,}",
        "exclusiveMinimum": "> {:,}",
        "maximum": "≤ {:,}",
        "exclusiveMaximum": "< {:,}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
    }
    return ", ".join(text.format(schema[name]) for name, text in names.items() if name in schema)
