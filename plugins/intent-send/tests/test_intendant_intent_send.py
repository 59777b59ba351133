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

    @operation(side_effects=True, needs_input=False)
    async def clear(self, parameters: Options, call: ConnectorCall) -> Json:
        """Take all notices off."""
        self.posted.append(("", call.input, call.idempotency_key))
        return None


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
    full = ConnectorError("the board is full", hint="clean it", delivered=False)
    result = await run_steps([STEP], SendHandler(), Board(full))
    assert result.steps["s"].failure.message == "the board is full"
    assert result.steps["s"].failure.hint == "clean it"
    assert result.steps["s"].failure.code == "connector_failed"


async def test_a_delivery_that_may_have_been_made_says_so_with_what_went_wrong():
    result = await run_steps([STEP], SendHandler(), Board(ConnectorError("it hung up", hint="clean it")))
    failure = result.steps["s"].failure
    assert failure.code == "possibly_sent"
    assert failure.message.startswith("it hung up; it may have been delivered")
    assert failure.hint.startswith("clean it; look at the target")


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


async def test_what_is_delivered_may_stand_in_the_parameters():
    """Where the operation needs no input: a deletion, or a request with its body in `with`."""
    board = Board()
    step = {"id": "s", "intent": "send", "uses": "board.clear"}
    assert (await run_steps([step], SendHandler(), board)).status == "completed"
    assert [posted for _, posted, _ in board.posted] == [None]
    with pytest.raises(WorkflowError, match=r"`input` is missing: what `board\.post` is to send"):
        await run_steps([{**step, "uses": "board.post", "with": {"channel": "a"}}], SendHandler(), board)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"input": "x"}, "`uses` is missing"),
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


# --- several deliveries, and digests ----------------------------------------------------------------------------

PEOPLE = [{"id": n, "who": {"name": f"p{n}"}, "note": "two\nlines" if n == 1 else None} for n in range(5)]


class Shaky(Board):
    """Refuses the second delivery once."""

    name = "shaky"
    calls = 0

    @operation(side_effects=True)
    async def post(self, parameters: Post, call: ConnectorCall) -> Json:
        """Post a notice."""
        self.calls += 1
        if self.calls == 2:
            raise ConnectorError("busy", retryable=True, delivered=False)
        self.posted.append((parameters.channel, call.input, call.idempotency_key))
        return {"number": len(self.posted)}


async def test_many_records_are_delivered_in_parts_each_once():
    """A step that is tried again goes on after the parts that were delivered."""
    board = Shaky()
    step = {
        **STEP,
        "uses": "shaky.post",
        "input": PEOPLE,
        "options": {"size": 2},
        "retry": {"attempts": 3, "delay": 0},
    }
    result = await run_steps([step], SendHandler(), board)
    outcome = result.steps["s"]
    assert outcome.failure is None, outcome.failure
    assert [len(value) for _, value, _ in board.posted] == [2, 2, 1]
    assert (outcome.output["records"], len(outcome.output["deliveries"])) == (5, 3)
    assert len({key for _, _, key in board.posted}) == 3


async def test_a_digest_is_one_text_about_all_records():
    board = Board()
    digest = {"before": "{count} people", "each": "- {who.name}: {note}", "most": 3, "after": "that is all"}
    result = await run_steps([{**STEP, "input": PEOPLE, "options": {"digest": digest}}], SendHandler(), board)
    assert result.steps["s"].failure is None, result.steps["s"].failure
    assert board.posted[0][1] == "5 people\n- p0: \n- p1: two lines\n- p2: \n… and 2 more\nthat is all"


async def test_a_digest_of_nothing_is_not_sent_unless_asked():
    board = Board()
    result = await run_steps([{**STEP, "input": [], "options": {"digest": {"each": "{a}"}}}], SendHandler(), board)
    assert (result.steps["s"].output, board.posted) == ({"delivered": False}, [])
    digest = {"each": "{a}", "empty": "nothing new"}
    await run_steps([{**STEP, "input": [], "options": {"digest": digest}}], SendHandler(), board)
    assert board.posted[0][1] == "nothing new"


async def test_a_digest_names_a_field_that_is_not_there():
    step = {**STEP, "input": PEOPLE, "options": {"digest": {"each": "{name}"}}}
    result = await run_steps([step], SendHandler(), Board())
    assert result.steps["s"].failure.message == "record 0 (id 0) has no field 'name'"


@pytest.mark.parametrize("options", [{}, {"size": 1}, {"digest": {"each": "{n}"}}])
async def test_the_notes_of_a_dry_run_claim_no_delivery(options):
    board = Board()
    step = {**STEP, "input": [{"n": 1}, {"n": 2}], "options": options}
    flow = Workflow.model_validate({"name": "t", "steps": [step]})
    async with OrchestrationService(db="none", plugins=[SendHandler(), board], discover=False) as service:
        result = await service.run(flow, dry=True)
        assert result.steps["s"].notes[0].startswith("not delivered, as the run is dry:")
        assert board.posted == []
        assert (await service.run(flow)).steps["s"].notes[0].startswith("delivered")
