"""Figures that a provider reports of a call."""

from typing import Any

from intendant.model.errors import ProviderError


def reported_tokens(value: Any, what: str, who: str) -> int:
    """*value*, if it is a number of tokens.

    Args:
        value: As it was reported.
        what: What it counts, such as `input tokens`.
        who: The provider, and the model if that is known.

    Raises:
        ProviderError: It is negative, or no whole number. The call was charged, with what is not known.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise false_usage(who, f"{what} of {value!r:.40} were reported")


def false_usage(who: str, what: str) -> ProviderError:
    """The error for figures that cannot be those of any call."""
    return ProviderError(
        f"{who} cannot be charged by what it reports: {what}",
        hint="the call is charged with all that was held; look at the provider's own record of it",
        billed=True,
        at_fault=True,
    )
