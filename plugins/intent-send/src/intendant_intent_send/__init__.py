"""Delivers the input through a connector. No model is asked."""

from intendant.plugin import CompressionPolicy, IntentHandler, IntentSpec, Step, StepError, StepRequest, StepResult
from intendant_intent_send._deliveries import Digest, SendParameters, digested, done, in_parts

__all__ = ["Digest", "SendHandler", "SendParameters"]


class SendHandler(IntentHandler[SendParameters]):
    """Delivers the input through the connector that the step uses; the output is the connector's receipt."""

    spec = IntentSpec(
        name="send",
        summary="Deliver data or text through a connector",
        examples=(
            "Send the report to the team by e-mail",
            "Post the summary to the #sales channel on Slack",
            "Notify the customer that the parcel has left",
            "Write the release notes to a file",
            "Save the table as report.csv",
            "Publish the article through the webhook",
            "Deliver the invoice to the accounting system",
        ),
        words=(
            "send",
            "deliver",
            "post",
            "publish",
            "notify",
            "email",
            "mail",
            "message",
            "alert",
            "save",
            "upload",
            "webhook",
            "slack",
        ),
        tokens=500,
        compression=CompressionPolicy(strategy="template", floor=0.90),
        reasoning=2.0,
        output_complexity=3.0,
        tier_bias=-0.5,
        side_effects=True,
        delivers=True,
    )

    def flows(self, step: Step) -> bool:
        """True but for a digest: the connector is handed what flows, or a list where it needs one."""
        return "digest" not in step.options

    def needs_model(self, step: Step) -> bool:  # noqa: ARG002  # the same for each
        """Never."""
        return False

    def check(self, step: Step) -> list[str]:
        """What is wrong with the step, seen before it runs."""
        found = []
        if step.uses is None:
            found.append("`uses` is missing: say through which connector, such as `uses: file.write`")
        if step.prompt is not None:
            found.append(
                "send writes no text of its own: compose it in a generate step, and give its output as `input`"
            )
        if "digest" in step.options and "size" in step.options:
            found.append("`digest` is one text, and `size` makes several deliveries: give one of them")
        return found

    async def handle(self, request: StepRequest[SendParameters]) -> StepResult:
        """The receipt of the delivery; of several, `{deliveries, records}`.

        Raises:
            StepError: There is no connector or nothing to send.
            ConnectorError: The connector could not deliver, or an earlier attempt may have done so already.
        """
        if request.step.uses is None:
            raise StepError("there is no connector to send through", hint="add `uses`, such as `uses: file.write`")
        if request.input is None and "input" in request.step.model_fields_set:
            raise StepError("there is nothing to send: the input is null", hint="give the step an `input`")
        options = request.parameters
        if options.digest is not None:
            return await digested(request, options.digest)
        if options.size is not None:
            return await in_parts(request, options.size)
        receipt = await request.use_connector(request.input)
        return StepResult(output=receipt, notes=(f"{done(receipt)} through {request.step.uses}",))
