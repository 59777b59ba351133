"""What is told of an answer without knowing the right one: its form, and whether it is wrong in itself."""

import pytest

from intendant.planning.answer_checks import form_of
from intendant.planning.policies import Choice


def fenced(code: str, language: str = "python") -> str:
    return f"Here it is:\n```{language}\n{code}\n```\nDone."


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("['']", "empty"),
        ("```python\ndef f():\n    pass", "cut"),
        ("```a``` and ```b", "cut"),
        ("42", "number"),
        ("$1,200.50", "number"),
        ("(-3.5%)", "number"),
        ("**7.**", "number"),
        ("B", "letter"),
        ("(A).", "letter"),
        ("AB", "short"),
        ("x" * 40, "short"),
        ("x" * 41, "long"),
        ("word " * 40, "long"),
        ("['one text']", "short"),
    ],
)
def test_words_are_told_by_their_length_and_what_is_empty_or_broken_off_by_its_end(answer, form):
    assert form_of(answer) == form


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        (fenced("def f():\n    return 1"), "python"),
        (fenced("async def f():\n    return 1", "py"), "python"),
        (fenced("class A:\n    pass", "Python3"), "python"),
        (fenced("class A:\n    pass", ""), "python"),
        ("def f():\n    return 1", "python"),
        ("def f(x:\n    return", "code"),
        (fenced("def f(x:\n    return"), "broken code"),
        (fenced("if x:\n    def f():\n        pass"), "broken code"),
        (fenced("x = 1"), "code"),
        (fenced("let x = def f():", "js"), "code"),
        (f"{fenced('x', 'js')}\n{fenced('def f():' + chr(10) + '    pass')}", "python"),
        (f"{fenced('def f():' + chr(10) + '    return')}\n{fenced('1 +')}", "broken code"),
        ("#include <stdio.h>", "code"),
        ("  const x = 1", "code"),
        ("a constant: let it be", "short"),
    ],
)
def test_code_stands_between_fences_or_defines_something_and_only_python_is_parsed(answer, form):
    assert form_of(answer) == form


@pytest.mark.parametrize(("length", "form"), [(20_000, "broken code"), (20_001, "python")])
def test_code_is_parsed_up_to_a_length_and_counts_as_right_beyond_it(length, form):
    broken = "def f(:\n".ljust(length - 1, "#")
    assert form_of(f"```\n{broken}\n```") == form


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ('{"a": [1, 2]}', "json"),
        ("[1, 2]", "json"),
        ("{'a': 1}", "json"),
        ("['a', 'b']", "json"),
        ("{a: 1}", "broken json"),
        ("[1, 2}", "broken json"),
        ("{" * 100_000 + "}", "broken json"),
        ('{"a": 1} is it', "short"),
        ('so {"a": 1}', "short"),
    ],
)
def test_json_begins_and_ends_with_brackets_and_a_python_literal_counts_as_such(answer, form):
    assert form_of(answer) == form


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("12 + 30 = 42", True),
        ("12 + 30 = 43", False),
        ("12 - 30 = -18", True),
        ("12 - 30 = 18", False),
        ("30 - 12 = 42", False),
        ("12 * 30 = 360", True),
        ("12*30=$42", False),
        ("2 * 3 = 8", False),
        ("12 / 30 = 0.4", True),
        ("30 / 12 = 0.4", False),
        ("30 / 12 = 2", False),
        ("7 / 0 = 7", False),
        ("7 / 1 = 7", True),
        ("1,000 + 1,000 = 2,000", True),
        # What was rounded is right: to half a percent, a quotient to one; or to a hundredth.
        ("600 + 400 = 1004", True),
        ("600 + 400 = 1006", False),
        ("200 / 3 = 67.2", True),
        ("200 / 3 = 67.5", False),
        ("0.1 * 0.1 = 0.015", True),
        ("0.1 * 0.1 = 0.03", False),
        ("0.1 / 4 = 0.03", True),
        ("0.1 / 4 = 0.04", False),
        # No sum of its own: what stands before it belongs to it.
        ("2 * 12 + 30 = 54", True),
        ("1 + 2 + 3 = 6", True),
        ("(4 + 1) * 2 + 1 = 11", True),
        ("these:\n- 1 + 2 = 6", False),
        ("x-1 + 1 = 3", True),
        ("12 + 30 < 40", True),
    ],
)
def test_sums_that_an_answer_writes_out_are_computed(said, right):
    assert form_of(f"We see {said}") == ("short" if right else "wrong sums")


def test_every_sum_must_be_right_and_only_the_first_forty_are_looked_at():
    right = "1 + 1 = 2; "
    assert form_of(f"{right * 3}1 + 1 = 3; {right}") == "wrong sums"
    assert form_of(f"{right * 39}1 + 1 = 3") == "wrong sums"
    assert form_of(f"{right * 40}1 + 1 = 3") == "long"


def test_the_first_answer_counts_whose_form_is_right_and_else_the_last_model_decides():
    answers = {"a": "", "b": "no idea", "c": "42", "d": "43"}
    numbers = Choice(("a", "b", "c"), "d", 1, ("number",))
    assert numbers.run(answers.__getitem__) == ("c", ("a", "b", "c"))
    assert Choice(("a", "b"), "d", 1, ("number",)).run(answers.__getitem__) == ("d", ("a", "b", "d"))
    assert Choice(("a", "b"), "d", 1).run(answers.__getitem__) == ("b", ("a", "b"))
    assert str(numbers) == "a or b or c if number, else d"
    assert str(Choice(("a",), "d", 1)) == "a if well-formed, else d"
