"""What the send handler promises."""

import pytest

from intendant import OrchestrationService, Workflow, WorkflowError
from intendant.plugin import Connector, ConnectorCall, ConnectorError, Json, Options, Step, operation
from intendant.testing import IntentContract, run_steps
from intendant_intent_send import SendHandler


class Post(Options):
    channel: str = "general"


class Board(Connector):
    """A notice board: a real place that things are delivered to."""

    name = "board"

    def __init__(self, *faults: Exception) -> None:
        super().__init__()
        self.posted: list[tuple[str, Json, str]] = []
        self.faults = list(faults)

    @operation(side_effects=True)
    async def post(self, parameters: Post, call: ConnectorCall) -> Json:
        """Post a notice."""
        if self.faults:
            raise self.faults.pop(0)
        self.posted.append((parameters.channel, call.input, call.idempotency_key))
        return {"number": len(self.posted), "channel": parameters.channel}


class TestSendContract(IntentContract):
    plugin = SendHandler
    entry_point = "send"

    steps = ({"uses": "board.post", "input": {"text": "hello"}, "with": {"channel": "a"}},)
    beside = (Board,)


STEP = {"id": "s", "intent": "send", "uses": "board.post", "input": {"text": "hello"}, "with": {"channel": "a"}}


async def test_delivers_the_input_and_returns_the_receipt():
    board = Board()
    result = await run_steps([STEP], SendHandler(), board)
    assert result.steps["s"].output == {"number": 1, "channel": "a"}
    assert [(channel, value) for channel, value, _ in board.posted] == [("a", {"text": "hello"})]
    assert board.posted[0][2], "the connector is told how to recognise a repetition"
    assert result.metrics.tokens_used == 0


async def test_a_failure_of_the_connector_is_the_steps_failure():
    result = await run_steps([STEP], SendHandler(), Board(ConnectorError("the board is full", hint="clean it")))
    assert result.steps["s"].failure.message == "the board is full"
    assert result.steps["s"].failure.hint == "clean it"


async def test_what_may_have_been_delivered_is_not_delivered_again():
    """The first attempt broke off inside the delivery; a retry must not post twice."""
    board = Board(ConnectorError("connection lost", retryable=True))
    result = await run_steps([{**STEP, "retry": {"attempts": 3, "delay": 0}}], SendHandler(), board)
    assert "may have been delivered" in result.steps["s"].failure.message
    assert board.posted == []


async def test_null_is_not_delivered():
    board = Board()
    step = {**STEP, "input": "{{ inputs.nothing }}"}
    result = await run_steps([step], SendHandler(), board, inputs={"nothing": None})
    assert "nothing to send" in result.steps["s"].failure.message
    assert board.posted == []


@pytest.mark.parametrize("value", ["", [], 0, False])
async def test_empty_values_are_values(value):
    board = Board()
    await run_steps([{**STEP, "input": value}], SendHandler(), board)
    assert [posted for _, posted, _ in board.posted] == [value]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"input": "x"}, "`uses` is missing"),
        ({"uses": "board.post"}, "`input` is missing"),
        ({"uses": "board.post", "input": "x", "prompt": "Write a nice mail"}, "generate step"),
    ],
)
def test_mistakes_are_seen_before_the_run(step, says):
    assert any(says in message for message in SendHandler().check(Step.model_validate({"id": "s", **step})))


async def test_a_send_without_a_connector_never_starts():
    with pytest.raises(WorkflowError, match="`uses` is missing"):
        await run_steps([{"id": "s", "intent": "send", "input": "x"}], SendHandler())


async def test_a_workflow_of_three_deliveries_keeps_their_order():
    flow = Workflow.parse(
        """
        name: announcements
        steps:
          - {id: one, intent: send, uses: board.post, input: first}
          - {id: two, intent: send, uses: board.post, input: "after {{ steps.one.output.number }}"}
          - {id: three, intent: send, uses: board.post, input: "after {{ steps.two.output.number }}"}
        """
    )
    board = Board()
    async with OrchestrationService(plugins=[SendHandler(), board], discover=False, db="none") as service:
        result = await service.run(flow)
    assert [value for _, value, _ in board.posted] == ["first", "after 1", "after 2"]
    assert len({key for _, _, key in board.posted}) == 3
    assert result.metrics.tokens_used == 0
