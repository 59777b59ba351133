"""Puts in place of references what they name; `model.references` reads them."""

import json
from collections.abc import Mapping
from functools import lru_cache

from intendant.model.errors import ReferenceFailed
from intendant.model.record_access import is_reference
from intendant.model.references import SHOWN, Part, Reference, read, scan
from intendant.model.workflow import Json
from intendant.text.address_parts import changes_folder, is_web, part_after

ADDRESS = "url"
"""The parameter of an operation that is an address."""
LONGEST_KNOWN = 300
"""Characters of a text of which it is remembered what it refers to."""


def resolve(value: Json, scope: Mapping[str, Json]) -> Json:
    """The value with its references replaced by what they name in *scope*.

    Raises:
        ReferenceFailed: A reference names something that is not there; says what is.
    """
    if isinstance(value, str):
        return _resolve_text(value, scope)
    if isinstance(value, dict):
        return _resolve_map(value, scope)
    if isinstance(value, list):
        return [resolve(item, scope) for item in value]
    return value


def resolve_parameters(given: Mapping[str, Json], scope: Mapping[str, Json]) -> dict[str, Json]:
    """The parameters of an operation with their references resolved.

    Values within an address of the web (the parameter `url`) become parts of it: what would change where it leads
    is percent-encoded. A value that is the whole address, or its beginning, stays as it is.

    Raises:
        ReferenceFailed: A reference names something that is not there, or a value can be no part of an address.
    """
    return {
        key: _resolve_addresses(value, scope) if key == ADDRESS else resolve({key: value}, scope)[key]
        for key, value in given.items()
    }


def _resolve_addresses(value: Json, scope: Mapping[str, Json]) -> Json:
    if isinstance(value, list):
        return [_resolve_addresses(item, scope) for item in value]
    if not isinstance(value, str) or "{{" not in value or _whole(value) is not None:
        return resolve(value, scope)
    address, plain, at = "", "", 0
    for found in scan(value):
        address, plain = address + value[at : found.start], plain + value[at : found.start]
        at = found.end
        known = found.text if found.literal else look_up(_read_once(found.text), scope)
        if known is None and _is_of_receipt(_read_once(found.text), scope):
            known = ""
        inside = is_web(address) and not found.literal
        part = _part_of_address(address, known, found.text) if inside else _as_text(known)
        address, plain = address + part, plain + ("x" if inside else part)
    address, plain = address + value[at:], plain + value[at:]
    if is_web(address) and changes_folder(address) and not changes_folder(plain):
        raise ReferenceFailed("a value of `url` makes '.' or '..' a part of its path, which is another place")
    return address


def _is_of_receipt(reference: Reference, scope: Mapping[str, Json]) -> bool:
    """True if something is named that only the other side could have answered, in a dry run."""
    value: Json = scope
    for part in (reference.root, *reference.parts):
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
        if isinstance(value, Withheld):
            return True
    return False


def _part_of_address(before: str, value: Json, text: str) -> str:
    """A value as it stands in an address after *before*."""
    if value is None and "?" not in before:
        message = f"{{{{ {text[:SHOWN]} }}}} is null, and a part of `url` has to be something"
        raise ReferenceFailed(message, hint="leave such items out before, or write default(…, 'none')")
    try:
        # A secret is the operator's, not data: that of Slack's webhooks is three parts of a path.
        return part_after(before, _as_text(value), parts=text.startswith("secrets."))
    except ValueError as error:
        raise ReferenceFailed(
            f"{{{{ {text[:SHOWN]} }}}} in `url`: {error}",
            hint="an address that is one value as a whole stays as it is, and so does a value at its beginning",
        ) from None


def _resolve_map(value: Mapping[str, Json], scope: Mapping[str, Json]) -> dict[str, Json]:
    """A map whose keys may hold references too, which give texts."""
    made: dict[str, Json] = {}
    for written, item in value.items():
        key: Json = _resolve_text(written, scope) if "{{" in written else written
        if key is None or _as_text(key) in made:
            what = "is null" if key is None else f"is '{_as_text(key)[:SHOWN]}', which stands there already"
            raise ReferenceFailed(f"the key '{written[:SHOWN]}' of a map {what}")
        made[_as_text(key)] = resolve(item, scope)
    return made


def _resolve_text(text: str, scope: Mapping[str, Json]) -> Json:
    if "{{" not in text:
        return text
    if len(text) <= LONGEST_KNOWN and (whole := _whole(text)) is not None:
        return look_up(whole, scope)
    pieces: list[str] = []
    at, first, last = 0, len(text) - len(text.lstrip()), len(text.rstrip())
    for found in scan(text):
        value = found.text if found.literal else look_up(_read_once(found.text), scope)
        if (found.start, found.end) == (first, last):  # the whole value is one reference
            return value
        pieces += (text[at : found.start], _as_text(value))
        at = found.end
    return "".join((*pieces, text[at:]))


@lru_cache(maxsize=2048)
def _whole(text: str) -> Reference | None:
    """The reference that the whole text is; None if it is something else."""
    found = list(scan(text))
    if len(found) != 1 or found[0].literal:
        return None
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    return read(found[0].text) if (found[0].start, found[0].end) == (first, last) else None


@lru_cache(maxsize=2048)
def _read_once(text: str) -> Reference:
    """`read`, remembered: the same references are resolved for each item of a list."""
    return read(text)


def _as_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


class Withheld(dict[str, Json]):
    """What a dry run has in place of a receipt. Fields that it lacks read as those of the delivery's parameters,
    else as null: what the other side would have answered is not known.
    """

    def field(self, name: str) -> Json:
        """A field as references read it."""
        if name in self:
            return self[name]
        given = self.get("with")
        return given.get(name) if isinstance(given, dict) else None


def with_withheld(value: Json) -> Json:
    """An output of a dry run, in which what stands for receipts is told from other data."""
    if isinstance(value, list):
        return [with_withheld(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("dry") is True and value.keys() == {"dry", "operation", "with", "input"}:
        return Withheld(value)
    return {key: with_withheld(item) for key, item in value.items()}


def holds_withheld(value: Json) -> bool:
    """True if something in it stands for a receipt."""
    if isinstance(value, dict):
        return isinstance(value, Withheld) or any(map(holds_withheld, value.values()))
    return isinstance(value, list) and any(map(holds_withheld, value))


def look_up(reference: Reference, scope: Mapping[str, Json]) -> Json:
    """What *reference* names. What lies under null is null."""
    parts = (reference.root, *reference.parts)
    if not reference.otherwise and not reference.instead:
        return _descend(scope, parts, reference.text, "")
    try:
        value = _descend(scope, parts, reference.text, "")
    except ReferenceFailed:  # what is absent is what a default is for
        value = None
    if value is not None:
        return value
    return look_up(reference.instead[0], scope) if reference.instead else reference.otherwise[0]


def _descend(value: Json, parts: tuple[Part, ...], text: str, so_far: str) -> Json:
    for index, part in enumerate(parts):
        if value is None:
            return None
        if part is None:
            if not isinstance(value, list):
                raise _missing(text, _no_list(value, so_far))
            left = parts[index + 1 :]
            return [_descend(item, left, text, f"{so_far}[{at}]") for at, item in enumerate(value)]
        value = _step_into(value, part, text, so_far)
        so_far = f"{so_far}[{part}]" if isinstance(part, int) else f"{so_far}.{part}".lstrip(".")
    return value


def _step_into(value: Json, part: str | int, text: str, so_far: str) -> Json:
    if isinstance(part, int):
        if not isinstance(value, list):
            raise _missing(text, _no_list(value, so_far))
        if not -len(value) <= part < len(value):
            raise _missing(text, f"{so_far} has {len(value)} elements")
        return value[part]
    if not isinstance(value, Mapping):
        many = f": it is a list; {so_far}[*].{part} is that of every element" if isinstance(value, list) else ""
        raise _missing(text, f"{so_far} has no fields{many}")
    if isinstance(value, Withheld):
        return value.field(part)
    if part not in value:
        names = ", ".join(map(str, list(value)[:12])) or "nothing"
        raise _missing(text, f"{so_far or 'here'} has: {names}")
    return value[part]


def _no_list(value: Json, so_far: str) -> str:
    if is_reference(value):
        return f"{so_far} is a reference to records that flow; give it whole to a filter or an aggregation"
    return f"{so_far} is not a list"


def _missing(text: str, what: str) -> ReferenceFailed:
    return ReferenceFailed(f"{{{{ {text[:SHOWN]} }}}} names something that is not there", hint=what)
