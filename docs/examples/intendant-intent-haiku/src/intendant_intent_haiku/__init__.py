"""An intent of a third party: a whole plugin in one file."""

from intendant.plugin import IntentHandler, IntentSpec, Message, ModelRequest, StepError, StepRequest, StepResult


class HaikuHandler(IntentHandler):
    """Answers with a haiku."""

    spec = IntentSpec(
        name="haiku",
        summary="Say anything in seventeen syllables",
        examples=(
            "Write a haiku about the rain",
            "Turn the weather report into a haiku",
            "Compose a haiku for the release",
            "Say it as a haiku",
            "Make a haiku of today's numbers",
        ),
        words=("haiku", "syllables", "poem"),
        tokens=400,
        tier_bias=-1,
    )

    async def handle(self, request: StepRequest) -> StepResult:
        """Ask the model for three lines about the prompt and the input."""
        if not request.prompt and request.input is None:
            raise StepError("a haiku needs a subject", hint="give the step a `prompt` or an `input`")
        subject = await request.model.fit(request.input, query=request.prompt)
        reply = await request.model.complete(
            ModelRequest(
                system="Answer with a haiku: three lines of five, seven and five syllables.",
                messages=(Message(content=f"{request.prompt}\n\n{subject.text}".strip()),),
                max_output_tokens=60,
                task="generate",
                source=request.input,
            )
        )
        return StepResult(output=reply.text.strip())
