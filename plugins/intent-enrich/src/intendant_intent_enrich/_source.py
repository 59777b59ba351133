"""Where the added fields come from: a list of records, or a map, found by key."""

import json
from collections.abc import Hashable

from intendant.plugin import Json, StepError
from intendant.records import as_records, composed, describe_value, field_of, identity_of, is_nothing


class Source:
    """Records by key.

    Args:
        value: A list of records, or a map from key to record or value.
        key: The key's field in the records of a list; a map needs none.
        into: The field that a map's values take where they are no records.

    Raises:
        StepError: It is neither, or a map's values have no field to go into.
    """

    def __init__(self, value: Json, key: str, into: str | None) -> None:
        self._map = isinstance(value, dict)
        self._found: dict[Hashable, list[Json]] = {}
        self.kinds: set[str] = set()
        self.unkeyed = 0
        """Records without a key, which nothing can find."""
        if isinstance(value, dict):
            self._fill_from_map(value, into)
        else:
            self._fill_from_list(as_records(value, "`from`"), key)
        self.columns = _columns(self._found)
        """The fields of the records, the key left out."""

    def _fill_from_map(self, value: dict[str, Json], into: str | None) -> None:
        for name, item in value.items():
            if into is None and not isinstance(item, dict):
                hint = "say with `into` which field the values go into"
                raise StepError(f"`from` maps '{name}' to {describe_value(item)}, which is no record", hint=hint)
            self._found.setdefault(composed(name), []).append(item)

    def _fill_from_list(self, records: list[dict[str, Json]], key: str) -> None:
        for record in records:
            found = field_of(record, key)
            if is_nothing(found):
                self.unkeyed += 1
                continue
            self.kinds.add(type(found).__name__)
            rest = {name: item for name, item in record.items() if composed(name) != composed(key)}
            self._found.setdefault(identity_of(found), []).append(rest)

    def of(self, key: Json) -> list[Json]:
        """The records, or a map's values, of a key; none for null. A map's keys are texts: there 17 finds "17"."""
        if is_nothing(key):
            return []
        if self._map:
            return self._found.get(composed(key) if isinstance(key, str) else json.dumps(key), [])
        return self._found.get(identity_of(key), [])

    def differs(self, key: Json) -> bool:
        """True if no key of the source is of this one's type."""
        return bool(self.kinds) and not is_nothing(key) and type(key).__name__ not in self.kinds


def _columns(found: dict[Hashable, list[Json]]) -> list[str]:
    records = (item for items in found.values() for item in items if isinstance(item, dict))
    return list(dict.fromkeys(name for record in records for name in record))
