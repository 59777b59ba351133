"""Stored replies: kept with their holds, so that a resumed run does not pay for them again."""

import json

from intendant.model.results import ModelReply
from intendant.record.packing import LONG, packed, unpacked

PACKED = "packed"


def write_reply(reply: ModelReply) -> str:
    """A reply as JSON, without default values; a long one is compressed, except for its usage."""
    text = reply.model_dump_json(exclude_defaults=True)
    if len(text) < LONG or len(short := packed(text)) == len(text):
        return text
    # Reports read the usage in the database.
    return json.dumps({"usage": reply.usage.model_dump(exclude_defaults=True), PACKED: short})


def read_reply(stored: str) -> ModelReply:
    """Read a reply written by `write_reply` of this or an earlier version.

    Raises:
        ValueError: The text is not a reply.
    """
    if PACKED in stored[:1000]:
        found = json.loads(stored)
        if isinstance(found.get(PACKED), str):
            stored = unpacked(found[PACKED])
    return ModelReply.model_validate_json(stored)
