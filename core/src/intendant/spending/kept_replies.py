"""Replies as they are stored with their holds, so that a resumed run need not pay for them again."""

import json

from intendant.model.results import ModelReply
from intendant.record.packing import LONG, packed, unpacked

PACKED = "packed"


def write_reply(reply: ModelReply) -> str:
    """A reply as JSON, without what is at its default; compressed where it is long, but for its usage."""
    text = reply.model_dump_json(exclude_defaults=True)
    if len(text) < LONG or len(short := packed(text)) == len(text):
        return text
    # Reports read the usage in the database.
    return json.dumps({"usage": reply.usage.model_dump(exclude_defaults=True), PACKED: short})


def read_reply(stored: str) -> ModelReply:
    """A reply that `write_reply` has written, or an earlier version.

    Raises:
        ValueError: It is none.
    """
    if PACKED in stored[:1000]:
        found = json.loads(stored)
        if isinstance(found.get(PACKED), str):
            stored = unpacked(found[PACKED])
    return ModelReply.model_validate_json(stored)
