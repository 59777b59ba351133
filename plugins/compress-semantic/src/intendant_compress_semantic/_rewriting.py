"""A text in a model's words, shorter: the abstractive variant, for where selecting loses too much."""

from intendant.plugin import Compression, CompressRequest, Message, ModelClient, ModelRequest

SYSTEM = """\
Rewrite the text in at most {words} words, for a reader who {purpose}.
Keep, letter by letter: figures with units, dates, names, identifiers, addresses, code, quotes, error messages.
Keep every negation, condition, decision and result. Leave out greetings, repetitions and asides.
Add nothing that the text does not say. Answer with the rewritten text alone, in the language of the text."""
WORDS_A_TOKEN = 0.65
LEAST = 32
"""Tokens below which no model is asked: nothing sensible fits."""


async def rewritten(request: CompressRequest, model: ModelClient) -> Compression | None:
    """The text in *model*'s words; None if asking does not fit the budget, or it did not finish."""
    if request.target_tokens < LEAST:
        return None
    purpose = f"wants to know: {request.query}" if request.query else "has to work with what it says"
    words = max(10, int(request.target_tokens * WORDS_A_TOKEN))
    system = SYSTEM.format(words=words, purpose=purpose)
    left = model.tokens_left
    # What is made has to be read once more, by the call it is made for.
    needed = request.tokens + model.count(system) + 2 * request.target_tokens
    if left is not None and needed > left:
        return None
    asked = ModelRequest(
        system=system,
        messages=(Message(content=request.text),),
        max_output_tokens=request.target_tokens,
        source=request.text,
        task="summarize",
    )
    reply = await model.complete(asked)
    if reply.stop_reason != "end" or not reply.text.strip():
        return None
    return Compression(
        text=reply.text.strip(),
        tokens_before=request.tokens,
        tokens_after=request.count(reply.text.strip()),
        strategy="semantic",
        lossless=False,
        quality=0.0,
        dropped=(f"rewritten by {reply.model}",),
        spent=reply.usage.tokens,
    )
