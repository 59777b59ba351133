"""Floors that hold for all but a stated share of new documents."""

import json
from random import Random

import pytest

from intendant import IntendantError
from intendant.planning.risk import SIZES, Calibration, calibrate, least_quality, shipped


def documents(number: int, seed: int) -> tuple:
    """Documents of which the measured quality says something of what survives, and not all."""
    draw = Random(seed)
    found = []
    for _ in range(number):
        hard = draw.random()
        kept = [min(1.0, max(0.0, 0.3 + size * (1.4 - 0.9 * hard))) for size in SIZES]
        found.append(tuple((min(1.0, max(0.0, one + draw.gauss(0, 0.08))), one) for one in kept))
    return tuple(found)


def chosen(steps, quality: float) -> float:
    return next((kept for measured, kept in steps if measured >= quality), 1.0)


@pytest.mark.parametrize("risk", [0.05, 0.1, 0.3])
def test_no_more_new_documents_fall_below_the_floor_than_the_risk(risk) -> None:
    """On average over calibrations, which is what conformal risk control promises."""
    below = []
    for seed in range(40):
        quality = Calibration(documents(100, seed)).least_quality(0.9, risk)
        below += [chosen(steps, quality) < 0.9 for steps in documents(100, 1000 + seed)]
    assert sum(below) / len(below) <= risk + 0.01, "4,000 draws are known to half a point"
    assert sum(below) / len(below) > risk / 4, "it asks for far more than it has to"


def test_a_higher_floor_and_a_lower_risk_ask_for_more() -> None:
    known = shipped()
    assert known.least_quality(0.95, 0.05) > known.least_quality(0.95, 0.1) > known.least_quality(0.95, 0.4)
    assert known.least_quality(0.95, 0.1) >= known.least_quality(0.5, 0.1)


def test_too_few_documents_show_no_small_risk() -> None:
    with pytest.raises(IntendantError, match="19 documents cannot show a risk of 0.5"):
        Calibration(documents(19, 1)).least_quality(0.9, 0.5)
    with pytest.raises(IntendantError, match="cannot show a risk of 0.001"):
        shipped().least_quality(0.9, 0.001)


def test_own_documents_take_the_place_of_the_shipped_ones(tmp_path) -> None:
    rows = [(f"line {n}\nthe code is K{n}\n" + "filler words here\n" * 20, "", [f"K{n}"]) for n in range(20)]
    found = calibrate(rows, lambda text, _query, size: (text if size > 0.5 else "", 0.9 if size > 0.5 else 0.4))
    assert found.least_quality(1.0, 0.1) == 0.9
    path = tmp_path / "own.json"
    path.write_text(json.dumps(found.document()))
    assert least_quality(1.0, 0.1, str(path)) == 0.9
    path.with_name("bad.json").write_text("[]")
    with pytest.raises(IntendantError, match=r"bad\.json is no calibration"):
        least_quality(1.0, 0.1, str(path.with_name("bad.json")))


def test_the_least_quality_is_the_lowest_of_which_few_enough_documents_fall_below_the_floor() -> None:
    """Of 99 documents, `bad` of which lose facts up to a quality of their own: one is added to those that miss."""

    def asked(bad: int, floor: float = 0.9, risk: float = 0.05) -> float:
        steps = [((0.2 + n / 100, 0.5), (0.95, 1.0)) if n < bad else ((0.1, 1.0),) for n in range(99)]
        return Calibration(tuple(steps)).least_quality(floor, risk)

    assert asked(0) == 0.0
    assert asked(4) == 0.0, "4 of 99 and one more are 5 %"
    assert asked(5) == pytest.approx(0.21), "the one of the lowest quality has to be asked to be more"
    assert asked(9) == pytest.approx(0.25)
    assert asked(9, floor=0.5) == 0.0
    assert asked(9, risk=0.10) == 0.0
    assert asked(9, risk=0.01) == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("number", "risk", "enough"), [(19, 0.5, False), (20, 0.5, True), (99, 0.01, True), (98, 0.01, False)]
)
def test_a_risk_needs_as_many_documents_as_can_show_it(number, risk, enough) -> None:
    made = Calibration((((0.5, 1.0),),) * number)
    if enough:
        assert made.least_quality(0.9, risk) == 0.0
    else:
        with pytest.raises(IntendantError, match=f"{number} documents cannot show a risk of {risk:g}"):
            made.least_quality(0.9, risk)


def test_a_document_that_misses_at_a_higher_quality_misses_at_a_lower_one_too() -> None:
    """Its larger size is taken for the quality that the smaller one had already."""
    steps = (((0.5, 1.0), (0.4, 0.0), (0.8, 0.5), (0.9, 1.0)),) * 30
    assert Calibration(steps).least_quality(0.9, 0.1) == 0.9


def test_a_calibration_is_written_and_read_again() -> None:
    made = Calibration((((0.5, 1.0), (0.75, 0.25)),), "some")
    assert Calibration.of(made.document()) == made
