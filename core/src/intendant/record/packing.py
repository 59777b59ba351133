"""Long texts as they are stored: compressed, and still text."""

from base64 import b64decode, b64encode
from zlib import compress, decompress, error as ZlibError  # noqa: N812

PACKED = "zlib:"
"""What a compressed text begins with; no JSON does."""
LONG = 2_000
"""Characters of a text that is compressed."""


def packed(text: str) -> str:
    """A text as it is stored: compressed, where it is long and that makes it shorter."""
    if len(text) < LONG:
        return text
    made = PACKED + b64encode(compress(text.encode(), 1)).decode("ascii")
    return made if len(made) < len(text) else text


def unpacked(text: str) -> str:
    """A text that was stored.

    Raises:
        ValueError: It was changed by something else, so that it cannot be read.
    """
    if not text.startswith(PACKED):
        return text
    try:
        return decompress(b64decode(text.removeprefix(PACKED))).decode()
    except ZlibError as error:
        raise ValueError(f"a compressed text cannot be read: {error}") from None
