"""Compression by itself, outside of any run: `intendant.compress` and the command of that name."""

import asyncio
from collections.abc import Callable
from functools import lru_cache

from pydantic import ValidationError

from intendant.hooks.providers import Provider
from intendant.hooks.questions import Questions
from intendant.hooks.registry import Plugins
from intendant.model.errors import IntendantError
from intendant.model.requests import CompressionPolicy
from intendant.model.results import Compression
from intendant.planning.compression import CompressionChain, remembering
from intendant.planning.risk import AIM
from intendant.spending.tokens import TokenCounter, estimate_tokens


@lru_cache(maxsize=1)
def default_counter() -> TokenCounter:
    """Counts by the first tokenizer that an installed provider has on this machine, else by estimate."""
    from intendant.hooks import discovery

    classes, _ = discovery.load(discovery.list_plugins(kinds=["provider"]))
    for _, found in sorted(classes, key=lambda pair: getattr(pair[1], "rank", 0)):
        count = found().tokenizer() if issubclass(found, Provider) else None
        if count is not None:
            return TokenCounter(count, exact=True, bound="exact")
    return TokenCounter(estimate_tokens, exact=False)


def strategies() -> tuple[str, ...]:
    """What may be asked for by name: the installed compressors, `auto` and `none`."""
    from intendant.hooks import discovery

    return ("auto", *sorted(record.name for record in discovery.list_plugins(kinds=["compress"])), "none")


@lru_cache(maxsize=1)
def installed(calibration: str = "") -> CompressionChain:
    """The chain of the installed compressors; none of the other plugins is imported."""
    from intendant.hooks import discovery

    keys = [record.key for record in discovery.list_plugins(kinds=["compress"])]
    return CompressionChain(Questions(Plugins(only=keys or ["compress:"]).manager), calibration=calibration)


def compress(
    text: str,
    *,
    target: float | None = None,
    tokens: int | None = None,
    query: str = "",
    strategy: str = "auto",
    lossless: bool = False,
    dense: bool = False,
    protect: tuple[str, ...] = (),
    floor: float = 0.0,
    risk: float | None = None,
    calibration: str = "",
    count: Callable[[str], int] | None = None,
) -> Compression:
    """Make *text* smaller.

    Args:
        text: What to compress.
        target: The share of the tokens that should be left, such as 0.5.
        tokens: The number of tokens that should be left; instead of *target*.
        query: What is wanted of the text; decides what is kept.
        strategy: A compressor's name; `auto`: lossless ones first, the others only as far as needed.
        lossless: Nothing is left out: only exact re-encodings. Without a target they go as far as they can.
        dense: Values may be split into prefixes and references too; published reading tests show that models read
            such forms less well.
        protect: Regular expressions: what they match is kept, or nothing is done.
        floor: Expected share of critical facts that must survive (0 to 1).
        risk: Share of documents that may fall below *floor* (0 to 1), as calibrated. Without a target or tokens as
            much is saved as that admits.
        calibration: The file of a calibration of your own documents; by default that of the project.
        count: Counts tokens; by default the tokenizer of an installed provider, else an estimate.

    Returns:
        The compressed text with its figures; the text itself, with strategy `none`, where nothing could be done.

    Raises:
        IntendantError: Target and tokens are both given, the target is not between 0 and 1, an expression in
            *protect* is none, or no compressor has the name *strategy*.

    Example:
        ```python
        small = intendant.compress(log, target=0.5, query="why did the build fail?")
        print(small.text, small.saved, small.quality)
        ```
    """
    return asyncio.run(
        compress_async(
            text,
            target=target,
            tokens=tokens,
            query=query,
            strategy=strategy,
            lossless=lossless,
            dense=dense,
            protect=protect,
            floor=floor,
            risk=risk,
            calibration=calibration,
            count=count,
        )
    )


async def compress_async(
    text: str,
    *,
    target: float | None = None,
    tokens: int | None = None,
    query: str = "",
    strategy: str = "auto",
    lossless: bool = False,
    dense: bool = False,
    protect: tuple[str, ...] = (),
    floor: float = 0.0,
    risk: float | None = None,
    calibration: str = "",
    count: Callable[[str], int] | None = None,
) -> Compression:
    """`compress` for code with an event loop."""
    if target is not None and tokens is not None:
        raise IntendantError("target and tokens are both given", hint="give the share or the number")
    if target is not None and not 0 < target <= 1:
        raise IntendantError(f"the target {target} is no share", hint="0.5 leaves half of the tokens")
    if strategy != "auto" and strategy not in (known := strategies()):
        raise IntendantError(f"there is no strategy '{strategy}'", hint=f"there are: {', '.join(known)}")
    counter = remembering(count or default_counter())
    if tokens is None:
        # Without a target a lossless compression goes as far as it can, and another one to a half.
        usual = 0.0 if lossless else 0.5 if risk is None else AIM
        share = target if target is not None else usual
        tokens = int(counter(text) * share)
    try:
        policy = CompressionPolicy(strategy=strategy, floor=floor, risk=risk, protect=protect)
    except ValidationError as error:
        raise IntendantError(f"the compression cannot be done: {error.errors()[0]['msg']}") from None
    fitted = await installed(calibration).fit(
        text, tokens, policy=policy, count=counter, query=query, lossless_only=lossless, dense=dense
    )
    return fitted.compression
