"""Text that can be written anywhere."""

from intendant.model.workflow import Json


def writable(value: Json) -> Json:
    """*value* with lone surrogates, which no encoding can write, replaced by question marks."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {writable(key): writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [writable(item) for item in value]
    return value
