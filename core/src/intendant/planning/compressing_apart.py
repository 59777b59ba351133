"""Large texts are compressed outside of the event loop: by an executor of the host, else in a thread.

An executor may be a pool of processes, or of other machines. It is given compressors by their class and settings,
so that these must be importable there. It is given no tokenizer: texts are counted there by one that is installed,
in proportion to the count here, and the chain counts the answer again.
"""

import inspect
import json
import math
import pickle
from asyncio import get_running_loop, wrap_future
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import lru_cache

from intendant.config.logs import get_logger
from intendant.hooks.adapters import CompressorAdapter
from intendant.hooks.bases import Compressor
from intendant.hooks.questions import Questions
from intendant.model.requests import CompressRequest
from intendant.model.results import Compression

log = get_logger("intendant.compression")
LARGE = 50_000
"""Characters of a text from which it is compressed apart. Those of a million took 0.1 to 1.7 seconds."""
Made = tuple[type[Compressor], str]
"""A compressor: its class, and its settings as JSON."""


async def compressed(
    questions: Questions, request: CompressRequest, executor: Executor | None
) -> Compression | None:
    """What the compressors answer to a request: at once for short texts and where a model is asked, else apart.

    Where the executor cannot do it (it is broken or shut down, or a compressor cannot be sent to it), a thread
    does.
    """
    if request.model is not None or len(request.text) < LARGE:
        return await questions.compress(request)
    made = None if executor is None else _made(questions.compressors())
    if executor is None or made is None:
        return await questions.compress(request, in_thread=True)
    try:
        # Not `run_in_executor`: Ray's and Dask's executors take functions of modules only, as processes do.
        job = executor.submit(answer_of, made, request.model_copy(update={"count": None}))
        answer = await wrap_future(job, loop=get_running_loop())
    except (RuntimeError, pickle.PicklingError, ImportError, AttributeError, TypeError) as error:
        log.warning("compressed_in_a_thread", reason=f"{type(error).__name__}: {error}")
        return await questions.compress(request, in_thread=True)
    return None if answer is None else answer.model_copy(update={"tokens_after": request.count(answer.text)})


def _made(compressors: Sequence[Compressor] | None) -> tuple[Made, ...] | None:
    """What compressors are made of; None if they cannot be made anew."""
    if compressors is None or any(inspect.iscoroutinefunction(each.compress) for each in compressors):
        return None
    return tuple((type(each), each.settings.model_dump_json(exclude_unset=True)) for each in compressors)


def answer_of(made: Sequence[Made], request: CompressRequest) -> Compression | None:
    """The answer of the first compressor that has one; called where the executor works."""
    count = _proportional(request.text, request.tokens)
    asked = request.model_copy(update={"count": count})
    for kind, settings in made:
        answer = _adapter(kind, settings).compress(asked)
        if isinstance(answer, Compression):
            return answer
    return None


@lru_cache(maxsize=64)
def _adapter(kind: type[Compressor], settings: str) -> CompressorAdapter:
    return CompressorAdapter(kind(json.loads(settings)))


def _proportional(text: str, tokens: int) -> Callable[[str], int]:
    """Counts texts so that *text* has so many tokens."""
    from intendant.planning.standalone import default_counter

    own = default_counter()
    factor = tokens / max(1, own(text))
    return lambda part: math.ceil(factor * own(part))
