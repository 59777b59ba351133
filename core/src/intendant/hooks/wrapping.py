"""Schemas of arrays and plain values as schemas of objects, the only ones that structured output admits."""

from collections.abc import Mapping

from intendant.model.workflow import Json

KEY = "answer"
"""The property that holds the value."""
_DEFINITIONS = ("$defs", "definitions")
_ROOT = ("$schema", "$id", *_DEFINITIONS)


def wrapped_schema(schema: Mapping[str, Json]) -> dict[str, Json] | None:
    """The schema of an object with one property, whose value *schema* describes; None if that cannot be said.

    Definitions move to the new root, so that references to them still hold. A schema that refers to another
    place in itself cannot be moved, nor one that already is the schema of an object.
    """
    if schema.get("type") == "object" or not _is_movable(dict(schema)):
        return None
    inner = {name: value for name, value in schema.items() if name not in _ROOT}
    outer: dict[str, Json] = {
        "type": "object",
        "properties": {KEY: inner},
        "required": [KEY],
        "additionalProperties": False,
    }
    return outer | {name: schema[name] for name in _DEFINITIONS if name in schema}


def unwrapped_value(value: Json) -> Json:
    """The value that an answer to a `wrapped_schema` holds; *value* itself where a model left the object out."""
    return value[KEY] if isinstance(value, dict) and value.keys() == {KEY} else value


def _is_movable(schema: Json) -> bool:
    if isinstance(schema, list):
        return all(_is_movable(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved = tuple(f"#/{name}/" for name in _DEFINITIONS)
        if not reference.startswith(moved):
            return False
    if "$dynamicRef" in schema:
        return False
    return all(_is_movable(value) for value in schema.values())
