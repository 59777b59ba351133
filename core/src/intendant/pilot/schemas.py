"""JSON Schema, checked without reading files or the network: a `$ref` that leads outside the schema is refused."""

from functools import lru_cache
from typing import Any

from intendant.model.errors import StepError
from intendant.model.workflow import Json

SHOWN = 5


class Schema:
    """A JSON Schema.

    Args:
        schema: The schema, draft 2020-12 unless its `$schema` says otherwise.

    Raises:
        StepError: It is not a JSON Schema, or refers to something outside.
    """

    def __init__(self, schema: dict[str, Json]) -> None:
        import json

        self._validator = _validator(json.dumps(schema, sort_keys=True))

    def accepts(self, value: Json) -> bool:
        """True if *value* matches."""
        return bool(self._validator.is_valid(value))

    def errors(self, value: Json, limit: int = SHOWN) -> list[str]:
        """What is wrong with *value*, each with its place; at most *limit*."""
        found = []
        for error in self._validator.iter_errors(value):
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.instance_path)
            found.append(f"{place.lstrip('.') or 'value'}: {error.message}")
            if len(found) == limit:
                break
        return found


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    import json

    import jsonschema_rs

    schema = json.loads(text)
    try:
        return jsonschema_rs.validator_for(schema, retriever=_refuse)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        reason = getattr(error, "message", None) or str(error)
        raise StepError(f"this is not a usable JSON Schema: {reason.splitlines()[0]}") from None


def _refuse(uri: str) -> Any:
    raise ValueError(f"'{uri}' is outside the schema, and nothing outside is read")
