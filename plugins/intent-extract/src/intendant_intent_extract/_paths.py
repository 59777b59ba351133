"""Parts of data, by JMESPath."""

from functools import lru_cache
from typing import Any

from intendant.plugin import Json, StepError


@lru_cache(maxsize=64)
def _compiled(path: str) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return jmespath.compile(path)
    except (JMESPathError, RecursionError) as error:
        raise StepError(f"`path` is no JMESPath expression: {' '.join(str(error).split())[:200]}") from None


def selected(path: str, value: Json) -> Json:
    """What an expression finds in a value; null where there is nothing.

    Raises:
        StepError: It is no expression, or does not apply to the value.
    """
    from jmespath.exceptions import JMESPathError

    compiled = _compiled(path)
    try:
        found: Json = compiled.search(value)
    except (JMESPathError, TypeError, RecursionError) as error:
        raise StepError(f"`path` does not apply to the data: {' '.join(str(error).split())[:200]}") from None
    return found


def path_faults(path: Json) -> list[str]:
    """What is wrong with an expression, seen before the run."""
    if not isinstance(path, str) or "{{" in path:
        return []
    try:
        _compiled(path)
    except StepError as error:
        return [error.message]
    return []
