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
        plain = "; JMESPath has no `$` at the beginning: `orders[*].id`" if path.startswith("$") else ""
        reason = " ".join(str(error).split())[:200]
        raise StepError(f"`path` is no JMESPath expression: {reason}{plain}") from None


def nothing_at(path: str, value: Json) -> str:
    """What a reader is told where an expression finds nothing: mostly a name in it is wrong."""
    names = f"; the data has: {', '.join(list(value)[:12])}" if isinstance(value, dict) else ""
    return f"`path: {path[:80]}` leads to nothing{names}"


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
