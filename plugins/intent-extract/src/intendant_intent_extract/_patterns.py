"""Searches for a user's regular expressions without trusting them."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from intendant.plugin import StepError

_WORKER = Path(__file__).with_name("_worker.py")


async def search(patterns: list[dict[str, Any]], texts: list[str], seconds: float) -> list[list[list[str | None]]]:
    """Search each text for each pattern.

    Python's `re` can take exponential time, and no thread can stop it. So the search runs in a process of its
    own, one for all texts, which is killed when its time is up or this is cancelled.

    Args:
        patterns: `pattern`, `flags` and `group` (None: the first, else the whole match) each.
        texts: Where to search.
        seconds: For all together.

    Returns:
        What was found, by text, pattern and match.

    Raises:
        StepError: It took too long, or a pattern is wrong.
    """
    job = json.dumps({"patterns": patterns, "texts": texts}).encode()
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    command = (sys.executable, "-I", "-S", str(_WORKER))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=nowhere)
    try:
        async with asyncio.timeout(seconds) as clock:
            output, _ = await process.communicate(job)
    except TimeoutError:
        if not clock.expired():
            raise
        raise StepError(
            f"searching for the patterns took longer than {seconds:g} s and was stopped",
            hint="a pattern such as (a+)+ takes exponential time: write it without a repetition of a repetition; "
            "the limit is the setting pattern_seconds of intent:extract",
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _answer(output)


def _answer(output: bytes) -> list[list[list[str | None]]]:
    try:
        answer = json.loads(output)
    except ValueError:
        hint = "the patterns took too much memory, or this Python cannot start another one"
        raise StepError("the search for the patterns broke off", hint=hint) from None
    if "error" in answer:
        raise StepError(f"a pattern cannot be used: {answer['error']}")
    found: list[list[list[str | None]]] = answer["found"]
    return found
