"""What a plugin takes: its settings and parameters with types and defaults, read from its code, and an example."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from intendant.hooks.bases import IntentHandler, Plugin
from intendant.hooks.connectors import Connector
from intendant.model.workflow import Json

_FENCE = re.compile(r"^```(?:yaml|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TYPES = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false", "null": "null"}
_LONGEST_DEFAULT = 60


@dataclass(frozen=True, slots=True)
class Option:
    """One setting or parameter."""

    name: str
    """Dotted where it stands within another, such as `pages.by`."""
    type: str
    default: str
    """As JSON; empty if it is required."""
    text: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class OptionTable:
    """Options that belong together."""

    title: str
    """`with` of an operation, `with` of a handler, or `settings`."""
    text: str
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class PluginReference:
    """What a plugin takes."""

    key: str
    summary: str
    tables: tuple[OptionTable, ...]
    example: str
    """The first example of its README; empty if there is none."""
    manual: str = ""
    """What its README says besides, as Markdown: what it gives, its rules, and what it does not."""


def reference_of(plugin: Plugin, readme: str = "") -> PluginReference:
    """What *plugin* takes.

    Args:
        plugin: The plugin.
        readme: The README of its distribution, which has the example; see `readme_of`.
    """
    tables: list[OptionTable] = []
    if isinstance(plugin, Connector):
        for name, operation in plugin.operations.items():
            effect = " Changes something outside." if operation.side_effects else ""
            options = tuple(_options(operation.parameters))
            tables.append(OptionTable(f"{plugin.name}.{name}", f"{operation.summary}{effect}", options))
    elif isinstance(plugin, IntentHandler):
        options = tuple(_options(plugin.Parameters.model_json_schema()))
        tables.append(OptionTable("options", "What a step may say under `options`, or `with`.", options))
    settings = tuple(_options(type(plugin).Settings.model_json_schema()))
    if settings:
        key = f'plugins.settings."{plugin.key}"'
        tables.append(OptionTable("settings", f"Under `{key}` in the settings.", settings))
    return PluginReference(plugin.key, _summary(plugin), tuple(tables), _example(readme), _manual(readme))


def _summary(plugin: Plugin) -> str:
    if isinstance(plugin, IntentHandler):
        return plugin.spec.summary
    return (inspect.getdoc(type(plugin)) or "").partition("\n")[0]


def readme_of(distribution: str) -> str:
    """The README of an installed distribution; empty if there is none."""
    try:
        about = metadata(distribution) if distribution else None
    except PackageNotFoundError:
        about = None
    if about is None:
        return ""
    return str(about.get_payload() or about.get("Description") or "")  # type: ignore[attr-defined]


def _example(readme: str) -> str:
    """The first example of a README."""
    found = _FENCE.search(readme)
    return found[1] if found else ""


def _manual(readme: str) -> str:
    """A README without its title, its first paragraph (the summary) and its first example."""
    found = _FENCE.search(readme)
    return readme[found.end() :].strip("\n") if found else ""


# --- from JSON schemas ---


def _options(schema: Mapping[str, Any]) -> Iterator[Option]:
    """The options of a model, those of models within it after them."""
    definitions = schema.get("$defs", {})
    yield from _of(schema, definitions, "", ())


def _of(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str, above: tuple[str, ...]
) -> Iterator[Option]:
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        is_needed = name in needed
        default = "" if is_needed else _default(field.get("default"), field)
        text = " ".join(str(field.get("description", "")).split())
        yield Option(path, _type(field, definitions), default, text, is_needed)
        for reference, mark in _models(field, ""):
            inner = definitions.get(reference)
            if inner is not None and "properties" in inner and reference not in above:
                yield from _of(inner, definitions, f"{path}{mark}.", (*above, reference))


def _models(field: Mapping[str, Any], mark: str) -> Iterator[tuple[str, str]]:
    """Models that a field may hold, and how its path goes on to them."""
    if "$ref" in field:
        yield str(field["$ref"]).rpartition("/")[2], mark
    for choice in field.get("anyOf", ()):
        yield from _models(choice, mark)
    if isinstance(field.get("items"), Mapping):
        yield from _models(field["items"], f"{mark}[]")
    if isinstance(field.get("additionalProperties"), Mapping):
        yield from _models(field["additionalProperties"], f"{mark}.<name>")


def _default(value: Json, field: Mapping[str, Any]) -> str:
    if "default" not in field:  # made anew for each use
        return "{}" if field.get("type") == "object" else "[]" if field.get("type") == "array" else "as below"
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_DEFAULT else "as below"


def _type(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A field's type in words."""
    if "anyOf" in field or "oneOf" in field:
        choices = [_type(choice, definitions) for choice in field.get("anyOf", field.get("oneOf"))]
        named = [choice for choice in dict.fromkeys(choices) if choice != "null"]
        return ", or ".join(named) or "null"
    if "$ref" in field:
        target = definitions.get(str(field["$ref"]).rpartition("/")[2], {})
        return "map" if "properties" in target else _type(target, definitions) if target else "any"
    if "enum" in field or "const" in field:
        values = field.get("enum", [field.get("const")])
        return ", ".join(f"`{value}`" for value in values)
    if field.get("type") == "array":
        items = field.get("items")
        inner = _type(items, definitions) if isinstance(items, Mapping) and items else "any"
        return f"list of {inner}"
    if field.get("type") == "object":
        return "map"
    return _TYPES.get(str(field.get("type", "")), "any")


# --- as text ---


def as_markdown(reference: PluginReference, level: int = 2) -> str:
    """A reference as a section of a page."""
    lines = [f"{'#' * level} `{reference.key}`", "", f"{reference.summary}.".replace("..", "."), ""]
    if reference.example:
        lines += ["```yaml", reference.example.rstrip("\n"), "```", ""]
    for table in reference.tables:
        lines += [f"**`{table.title}`** {table.text}", ""]
        if not table.options:
            lines += ["It takes none.", ""]
            continue
        lines += ["| name | type | default | |", "|---|---|---|---|"]
        for option in table.options:
            default = "required" if option.required else f"`{option.default}`"
            cells = (f"`{option.name}`", option.type, default, option.text)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    notes = prose_of(reference.manual)
    return "\n".join([*lines, *([notes, ""] if notes else [])])


def prose_of(manual: str) -> str:
    """A README without its headings and tables: the tables of a reference are made from the code."""
    kept: list[str] = []
    fenced = False
    for line in manual.splitlines():
        fenced ^= line.startswith("```")
        if (not fenced and line.startswith(("|", "#"))) or (not line and kept[-1:] == [""]):
            continue
        kept.append(line)
    return "\n".join(kept).strip("\n")


def as_lines(reference: PluginReference, width: int = 100) -> list[str]:
    """A reference for a terminal of *width* columns."""
    import textwrap

    lines = [f"{reference.key}: {reference.summary}"]
    for table in reference.tables:
        lines += ["", f"{table.title}: {table.text}"]
        names = max((len(option.name) for option in table.options), default=0)
        for option in table.options:
            default = "required" if option.required else f"default {option.default}"
            indent = " " * (names + 4)
            text = f"{option.type}; {default}" + (f". {option.text}" if option.text else "")
            lines += textwrap.wrap(
                text,
                max(width, names + 30),
                initial_indent=f"  {option.name.ljust(names)}  ",
                subsequent_indent=indent,
            )
        if not table.options:
            lines.append("  takes none")
    if reference.example:
        lines += ["", "example:", *(f"  {line}" for line in reference.example.rstrip("\n").splitlines())]
    manual = reference.manual if reference.key.startswith("intent:") else prose_of(reference.manual)
    if manual:
        lines += ["", *manual.splitlines()]
    return lines
