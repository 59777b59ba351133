"""What is measured of what survives: each kind of fact by its weight, and what is asked for beside that."""

from math import log

import pytest

from intendant.planning.fidelity import expected_retention, recall

NUMBER, NAME, IDENTIFIER = 0.25, 0.3, 0.35


@pytest.mark.parametrize(
    ("original", "result", "share"),
    [
        ("is 17 of user_id", "user_id", IDENTIFIER / (NUMBER + IDENTIFIER)),
        ("is 17 of user_id", "17", NUMBER / (NUMBER + IDENTIFIER)),
        ("is 17 of user_id", "", 0.0),
        ("is 17 17 17 of user_id", "17", NUMBER / (1 + log(3)) / (NUMBER / (1 + log(3)) + IDENTIFIER)),
        ("is 17 17 17 of user_id", "user_id user_id", IDENTIFIER / (NUMBER / (1 + log(3)) + IDENTIFIER)),
        ("is 17, not Ada", "17 Ada", (NUMBER + NAME) / (NUMBER + NAME + 0.1)),
        ("is 17, not Ada", "not Ada not", (NAME + 0.1) / (NUMBER + NAME + 0.1)),
        ("is 17, don't and didn\u2019t", "17", NUMBER / (NUMBER + 0.2)),
        ("is 17, don't and didn\u2019t", "17 nor", (NUMBER + 0.1) / (NUMBER + 0.2)),
        ("is FAILED 17, panic", "17 panic", (NUMBER + 0.6) / (IDENTIFIER + NUMBER + 1.2)),
        ("is FAILED 17, panic", "17 panic panic panic", (NUMBER + 1.2) / (IDENTIFIER + NUMBER + 1.2)),
        ("is 17 of user_id", "a17b", NUMBER / (NUMBER + IDENTIFIER)),
        ("no fact but a word", "no", 1.0),
        ("only words", "", 1.0),
        ("is 17", "is 17", 1.0),
    ],
)
def test_what_survives_counts_by_the_weight_of_its_kind(original, result, share) -> None:
    """Negations and errors as often as they come, facts less the oftener."""
    assert recall(original, result) == pytest.approx(share)


def test_three_thousand_facts_that_were_written_otherwise_are_looked_for() -> None:
    numbers = [str(number) for number in range(10_000, 13_010)]
    found = recall("are " + " ".join(numbers), "x".join(numbers))
    assert found == pytest.approx(3000 / 3010)


@pytest.mark.parametrize(
    ("original", "result", "query", "asked"),
    [
        ("red apple pie\nred car", "apple pie", "Red APPLE?", 2 / 3),
        ("red apple pie\nred car", "car", "red apple", 0.0),
        ("alpha lone\nbeta one\nbeta two", "alpha beta one two", "alpha beta", 1 / 2),
        ("key\nkey word\nkeys", "key", "key", 1 / 2),
        ("\n".join(f"key word{number}" for number in range(1, 9)), "key word3", "the key", 2 / 7),
        ("\n".join(f"key word{number}" for number in range(1, 9)), "key word2", "the key", 1 / 7),
    ],
)
def test_words_of_the_lines_nearest_to_the_question_count_for_half(original, result, query, asked) -> None:
    """Nearest are six lines at most, of more than half the weight of the nearest one; rare words weigh more."""
    assert recall(original, result, query=query) == pytest.approx(0.5 * recall(original, result) + 0.5 * asked)


@pytest.mark.parametrize("query", ["", "is it", "something else entirely"])
def test_a_question_that_no_line_is_about_changes_nothing(query) -> None:
    assert recall("is 17 of user_id\nword", "17", query=query) == recall("is 17 of user_id\nword", "17")


@pytest.mark.parametrize(
    ("kind", "retention"),
    [
        ("code", 0.8858),
        ("diff", 0.7579),
        ("html", 0.8265),
        ("json", 0.5176),
        ("log", 0.683),
        ("mail", 0.3597),
        ("markdown", 0.5359),
        ("passages", 0.7846),
        ("prose", 0.683),
        ("shell", 0.8556),
        ("table", 0.6713),
        ("transcript", 0.4506),
        ("text", 0.683),
        ("", 0.683),
    ],
)
def test_half_of_the_facts_are_expected_to_keep_more_in_code_than_in_mails(kind, retention) -> None:
    """As it was learned from compressions of each kind."""
    assert expected_retention("is 17 or 18", "17", kind=kind) == pytest.approx(retention, abs=5e-5)
