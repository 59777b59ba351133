"""Values that fit a JSON Schema: what contracts hand to plugins that say no samples of their own."""

from collections.abc import Mapping
from typing import Any

from intendant.model.workflow import Json

_OF_TYPE: Mapping[str, Json] = {"string": "a", "integer": 1, "number": 1.5, "boolean": True, "null": None}
DEEPEST = 8
"""Levels that are filled; schemas may refer to themselves."""


def sample_of(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None, depth: int = 0) -> Json:
    """The smallest value that fits *schema*, as far as types, enumerations and required fields say."""
    known = schema.get("$defs", {}) if definitions is None else definitions
    if "$ref" in schema:
        schema = known.get(str(schema["$ref"]).rpartition("/")[2], {})
    if "const" in schema or "default" in schema:
        return schema.get("const", schema.get("default"))
    if schema.get("enum"):
        return schema["enum"][0]
    choices = next((schema[name] for name in ("anyOf", "oneOf", "allOf") if schema.get(name)), None)
    if choices is not None:
        return sample_of(choices[0], known, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else None)
    kind = kind[0] if isinstance(kind, list) else kind
    return _of_kind(str(kind), schema, known, depth)


def _of_kind(kind: str, schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> Json:
    if kind == "array":
        wanted = int(schema.get("minItems", 0)) if depth < DEEPEST else 0
        return [sample_of(schema.get("items") or {}, known, depth + 1) for _ in range(wanted)]
    if kind == "object":
        fields = schema.get("properties", {}) if depth < DEEPEST else {}
        return {name: sample_of(fields.get(name, {}), known, depth + 1) for name in schema.get("required", ())}
    return schema.get("minimum", _OF_TYPE.get(kind, "a"))
