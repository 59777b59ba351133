"""Other tools for the same work, as far as they are installed."""

import json
import logging
from collections.abc import Callable
from typing import Any

from compression_data import Document

Tool = tuple[str, str, Callable[[Document], str]]


def peers(count: Callable[[str], int]) -> tuple[list[Tool], list[str]]:
    """The tools that are installed, and a note for each that is not."""
    tools: list[Tool] = []
    missing = []
    for name, find in (("headroom-ai", _headroom), ("toon-format", lambda: _toon(count))):
        try:
            tools += find()
        except ImportError:
            missing.append(f"{name} is not installed: left out")
    return tools, missing


def _headroom() -> list[Tool]:
    """Its default pipeline without the model, and its extractive compressor with the query and the same budgets."""
    import headroom
    from headroom.transforms.text_crusher import TextCrusher

    logging.getLogger("headroom").setLevel(logging.ERROR)

    def pipeline(document: Document) -> str:
        call = {"id": "call_1", "type": "function", "function": {"name": "fetch", "arguments": "{}"}}
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": document.query or "Read this."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": document.text},
        ]
        made = headroom.compress(messages, model="gpt-4o", kompress_model="disabled", protect_recent=0)
        content = made.messages[-1]["content"]
        return content if isinstance(content, str) else json.dumps(content)

    def crusher(share: float) -> Callable[[Document], str]:
        tool = TextCrusher()
        return lambda document: tool.compress(document.text, document.query, share).compressed

    return [
        ("headroom-ai", "default, no model", pipeline),
        ("headroom-ai", "TextCrusher 0.5, query", crusher(0.5)),
        ("headroom-ai", "TextCrusher 0.3, query", crusher(0.3)),
    ]


def _toon(count: Callable[[str], int]) -> list[Tool]:
    """TOON for what is JSON; what is longer, or is not JSON, stays as it is."""
    import toon_format

    def encode(document: Document) -> str:
        try:
            value = json.loads(document.text)
        except ValueError:
            return document.text
        return min(toon_format.encode(value), document.text, key=count)

    return [("toon-format", "lossless", encode)]
