"""What an agent learns from its runs, word for word: summaries of single runs, and what several have in common."""

import pytest

from intendant.model.results import Failure, Metrics, RunResult, RunStatus, StepOutcome
from intendant.planning.experience import PastRun, importance_of, past_run, patterns_of, summary_of

AT = 1_700_000_000.0  # 2023-11-14


def step(key: str, output=None, code: str = "", *, handled: bool = False, message: str = "no till") -> StepOutcome:
    failure = Failure(error="X", message=message, code=code) if code else None
    status = "failed" if code else "completed"
    return StepOutcome(step_id=key, name=key, status=status, output=output, failure=failure, handled=handled)


def result(*steps: StepOutcome, status: RunStatus = RunStatus.completed, **more) -> RunResult:
    metrics = Metrics(seconds=2.6)
    done = {each.step_id: each for each in steps}
    return RunResult(run_id="r_9", workflow="w", status=status, steps=done, metrics=metrics, **more)


def summary(made: RunResult, room: int = 1000) -> str:
    return summary_of(made, AT, room, len).text


def test_a_summary_says_how_it_ended_what_it_was_given_what_failed_and_what_came_of_it() -> None:
    made = result(
        step("a", "one"),
        step("b", code="shut", message="no\n  till"),
        step("c", code="late", handled=True),
        step("d", ["x", "y"]),
        status=RunStatus.failed,
        inputs={"n": 1, "text": "v" * 80, "long": "v" * 81, "list": [1], "flag": False},
    )
    found = summary_of(made, AT, 1000, len, before="completed")
    assert found.text == (
        f"2023-11-14 'w': failed, 0 tokens, 3 s. Given n=1, text={'v' * 80}, flag=False. "
        "Step 'b' failed (shut): no till Step 'c' failed and was handled (late). Result: x y"
    )
    assert (found.subject, found.evidence, found.kind, found.importance) == ("r_9", ("r_9",), "run", 8)


@pytest.mark.parametrize(
    ("made", "ends"),
    [
        (result(step("a", "one"), returned={"n": 1}), 'Result: {"n":1}'),
        (result(step("a", "one"), returned=0), "Result: 0"),
        (result(step("a", "one"), step("b", None)), "Result: one"),
        (result(step("a", "one"), step("b", "two", code="x", handled=True)), "(x). Result: two"),
        (result(step("a", "one"), step("b", "two", code="x")), "(x): no till Result: one"),
        (result(step("a", None)), "3 s."),
        (result(), "3 s."),
    ],
)
def test_the_result_is_what_the_run_returned_or_its_last_step_did(made, ends) -> None:
    assert summary(made).endswith(ends)


def test_a_summary_is_cut_between_sentences_and_in_the_first_where_that_is_too_long() -> None:
    made = result(step("a", "One is. Two is. Three is."), inputs={"n": 1})
    whole = "2023-11-14 'w': completed, 0 tokens, 3 s. Given n=1. Result: One is. Two is. Three is."
    assert summary(made, len(whole)) == whole
    assert summary(made, len(whole) - 1) == whole.removesuffix(" Three is.")
    assert summary(made, 53) == "2023-11-14 'w': completed, 0 tokens, 3 s. Given n=1."
    assert summary(made, 51) == "2023-11-14 'w': completed, 0 tokens, 3 s."
    assert len("2023-11-14 'w': completed, 0 tokens, 3 s.") == 41
    assert summary(made, 40) == "2023-11-14 'w': completed, 0 t", "three quarters, with room for a mark"
    assert summary(made, 30) == "2023-11-14 'w': comple"
    assert summary(made, 0) == ""


@pytest.mark.parametrize(("length", "said"), [(80, "m" * 80), (81, "m" * 80 + "…")])
def test_of_a_message_eighty_characters_are_quoted(length, said) -> None:
    made = result(step("a", code="x", message="m" * length), status=RunStatus.failed)
    assert summary(made).endswith(f"failed (x): {said}")
    runs = [PastRun(f"r_{n}", "failed", {}, [("a", "x", "m" * length)]) for n in range(2)]
    assert patterns_of("w", runs)[0].text.endswith(f"(x): {said}")


@pytest.mark.parametrize(
    ("status", "handled", "before", "importance"),
    [
        (RunStatus.completed, False, None, 5),
        (RunStatus.completed, False, "completed", 4),
        (RunStatus.completed, False, "failed", 5),
        (RunStatus.completed, True, "completed", 5),
        (RunStatus.completed, True, None, 6),
        (RunStatus.refused, False, "refused", 7),
        (RunStatus.failed, True, "completed", 8),
    ],
)
def test_trouble_and_handled_errors_make_a_run_more_important(status, handled, before, importance) -> None:
    steps = [step("a", code="x", handled=True)] if handled else []
    assert importance_of(result(*steps, status=status), before) == importance


def failing(run_id: str, *failures: tuple[str, str, str], **inputs) -> PastRun:
    return PastRun(run_id, "failed", inputs, failures)


def test_a_step_that_failed_twice_in_the_same_way_is_a_pattern() -> None:
    """With the newest message; of one run, a failure counts once."""
    runs = [
        failing("r_4", ("a", "shut", "new"), ("b", "late", "x")),
        failing("r_3", ("a", "other", "x")),
        failing("r_2", ("a", "shut", "old"), ("c", "late", "x"), ("c", "late", "x")),
    ]
    (found,) = patterns_of("w", runs)
    assert found.text == "In 'w', step 'a' failed in 2 of the last 3 runs (shut): new"
    assert (found.subject, found.importance, found.evidence) == ("failure:w/a/shut", 7, ("r_4", "r_2"))
    assert found.kind == "pattern"


def test_the_ten_newest_runs_are_looked_at() -> None:
    """The more of them fail alike, the more important that is, up to ten."""
    runs = [failing(f"r_{n}", ("a", "shut", "x")) for n in range(12)]
    (found,) = patterns_of("w", runs)
    assert (len(found.evidence), found.importance) == (10, 10)
    for number, importance in ((4, 9), (5, 10), (6, 10)):
        assert patterns_of("w", runs[:number])[0].importance == importance
    assert patterns_of("w", [failing(f"q_{n}") for n in range(9)] + runs) == []
    assert len(patterns_of("w", [failing(f"q_{n}") for n in range(8)] + runs)) == 1


@pytest.mark.parametrize(
    ("same", "other", "usual"),
    [(4, 1, True), (3, 2, False), (4, 0, False), (5, 0, True), (8, 2, True), (7, 3, False)],
)
def test_an_input_that_four_runs_of_five_were_given_is_usual(same, other, usual) -> None:
    runs = [failing(f"r_{n}", kind="pdf", n=n, rows=[1]) for n in range(same)]
    runs += [failing(f"q_{n}", kind=f"csv{n}", n=100 + n, rows=[1]) for n in range(other)]
    found = patterns_of("w", runs)
    if not usual:
        assert found == []
        return
    (one,) = found
    assert one.text == f"Runs of 'w' are usually given kind=pdf ({same} of the last {same + other})."
    assert (one.subject, one.importance, one.evidence) == (
        "input:w/kind",
        4,
        tuple(f"r_{n}" for n in range(same)),
    )


def test_a_run_is_read_from_what_the_database_keeps() -> None:
    failures = [("a", "x", "y")]
    assert past_run("r_1", "failed", '{"n": 1}', failures) == PastRun("r_1", "failed", {"n": 1}, failures)
    assert past_run("r_1", "failed", "[1]", ()) == PastRun("r_1", "failed", {}, ())
