"""A step's output as it is stored: JSON text and its digest."""

import json
from hashlib import sha256

from intendant.model.errors import OutputInvalid
from intendant.model.source import NOT_TEXT
from intendant.model.workflow import Json


def output_text(output: Json) -> str:
    """The output as JSON text.

    Raises:
        OutputInvalid: It is not JSON, or cannot be written as UTF-8.
    """
    try:
        text = json.dumps(output, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except UnicodeEncodeError:
        raise OutputInvalid(f"the output cannot be stored: {NOT_TEXT}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise OutputInvalid(f"the output is not JSON: {error}") from None
    return text


def digest_of(text: str) -> str:
    """SHA-256 of an output's JSON text, in hexadecimal."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
