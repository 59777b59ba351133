"""What the evaluation promises."""

import pytest

from intendant.plugin import Classification, LabelledStep, evaluate


def labelled(gold, alt=None, name="", **more) -> LabelledStep:
    return LabelledStep.of_row({"step": {"name": name}, "gold": gold, "alt": alt, **more})


def answering(*answers):
    """A classifier that gives these answers, one after the other."""
    left = iter(answers)
    return lambda _: Classification(**dict(zip(("intent", "confidence"), next(left), strict=True)))


STEPS = [
    labelled("send", platform="a", difficulty="easy"),
    labelled("extract", "enrich", platform="a", difficulty="hard"),
    labelled("filter", "none", platform="b", difficulty="hard"),
    labelled("none", platform="b"),
    labelled("none", "send", platform="b"),
]
RESULT = evaluate(STEPS, answering(("send", 0.95), ("enrich", 0.85), (None, 0.55), (None, 0.9), ("send", 0.65)))


def test_counts_a_second_label_as_lenient_only():
    """Strict wants the first label, lenient takes either; abstaining from work is never right."""
    assert RESULT.overall == (3, pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_scores_parts():
    """Accuracy is told per platform, difficulty and label."""
    assert RESULT.by("platform") == {"a": (2, 0.5, 1.0), "b": (1, 0.0, 0.0)}
    assert RESULT.by("difficulty")["easy"] == (1, 1.0, 1.0)
    assert RESULT.by("gold")["extract"].strict == 0


def test_measures_abstention():
    """What is no work and was recognised, and work that was lost by it."""
    assert RESULT.abstained == 0.5
    assert RESULT.lost == pytest.approx(1 / 3)


def test_coverage_takes_the_surest_first():
    """Two of three can be answered without a mistake."""
    assert RESULT.coverage(0.95) == pytest.approx(2 / 3)
    assert RESULT.coverage(0.6) == 1.0


def test_calibration_error_is_the_mean_distance():
    """A bin's error is how far its claim is from how often it was right; a second label does not count."""
    bins = {round(part.confidence, 3): part for part in RESULT.reliability()}
    assert (bins[0.85].steps, bins[0.85].right) == (1, 0.0)
    assert (bins[0.925].steps, bins[0.925].right) == (2, 1.0)
    two = evaluate(STEPS[:2], answering(("send", 0.8), ("extract", 0.8)))
    assert two.calibration_error == pytest.approx(0.2)


def test_confusion_and_report():
    """The report shows every figure."""
    assert RESULT.confusion["extract", "enrich"] == 1
    text = RESULT.report()
    for part in ("platform a", "difficulty hard", "answered at 95 %", "calibration error", "label / answer"):
        assert part in text


def test_nothing_is_scored_as_nothing():
    """No steps, no accuracy, no division by zero."""
    empty = evaluate([], answering())
    assert empty.overall == (0, 0.0, 0.0)
    assert (empty.coverage(), empty.abstained, empty.lost, empty.calibration_error) == (0, 0, 0, 0)
    assert "all" in empty.report()


@pytest.mark.parametrize("row", [{}, {"step": 1, "gold": "send"}, {"step": {}}, {"step": {}, "gold": 3}])
def test_a_row_without_its_parts_is_refused(row):
    """It says which part is missing."""
    with pytest.raises(ValueError, match="step|gold"):
        LabelledStep.of_row(row)


def test_the_report_says_everything():
    assert RESULT.report().splitlines() == [
        "                      steps  strict  lenient",
        "all                       3   33.3%    66.7%",
        "platform a                2   50.0%   100.0%",
        "platform b                1    0.0%     0.0%",
        "difficulty easy           1  100.0%   100.0%",
        "difficulty hard           2    0.0%    50.0%",
        "gold extract              1    0.0%   100.0%",
        "gold filter               1    0.0%     0.0%",
        "gold send                 1  100.0%   100.0%",
        "",
        "answered at 95 % lenient: 66.7%",
        "no step of work, recognised: 50.0%; steps of work lost by it: 33.3%",
        "calibration error: 0.440",
        "",
        "confidence  right  steps",
        "      0.55   0.00      1",
        "      0.65   0.00      1",
        "      0.85   0.00      1",
        "      0.93   1.00      2",
        "",
        "label / answer enrich extrac filter   none   send",
        "enrich              ·      ·      ·      ·      ·",
        "extract             1      ·      ·      ·      ·",
        "filter              ·      ·      ·      1      ·",
        "none                ·      ·      ·      1      1",
        "send                ·      ·      ·      ·      1",
    ]


@pytest.mark.parametrize(
    ("rights", "accuracy", "share"),
    [
        ([1, 1, 1, 1], 0.95, 1.0),
        ([1, 1, 1, 0], 0.95, 0.75),
        ([1, 1, 1, 0], 0.75, 1.0),
        ([0, 1, 1, 1], 0.75, 1.0),
        ([0, 1, 1, 1], 0.95, 0.0),
        ([1, 0, 1, 1], 0.95, 0.25),
    ],
)
def test_so_many_of_the_surest_are_answered_that_enough_are_right(rights, accuracy, share):
    steps = [labelled("send") for _ in rights]
    said = [("send" if right else "filter", 0.9 - place / 10) for place, right in enumerate(rights)]
    assert evaluate(steps, answering(*said)).coverage(accuracy) == share


def test_answers_of_like_confidence_are_told_together():
    said = [("send", 0.0), ("filter", 0.49), ("send", 0.5), ("send", 1.0), ("filter", 0.99)]
    found = evaluate([labelled("send") for _ in said], answering(*said))
    assert found.reliability(2) == [(2, pytest.approx(0.245), 0.5), (3, pytest.approx(0.83), pytest.approx(2 / 3))]
    assert [part.steps for part in found.reliability()] == [1, 1, 1, 2]


def test_a_row_is_read_with_what_is_known_of_it():
    row = {"step": {"name": "x"}, "gold": "send", "alt": "", "platform": None, "difficulty": 3}
    assert LabelledStep.of_row(row) == LabelledStep({"name": "x"}, "send", None, "", "3")
    for wrong in (
        {"gold": "send"},
        {"step": [], "gold": "send"},
        {"step": {}},
        {"step": {}, "gold": ""},
        {"step": {}, "gold": 1},
    ):
        with pytest.raises(ValueError, match="is missing"):
            LabelledStep.of_row(wrong)
