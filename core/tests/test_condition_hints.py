"""Expressions that are none are answered with what was meant, without words of a grammar."""

import pytest

from intendant.pilot.conditions import Expression
from intendant.plugin import ExpressionFailed


@pytest.mark.parametrize(
    ("source", "says", "hint"),
    [
        ("item.x = 3", "'=' is not understood", "`==`"),
        ("item.x = 'a == b'", "'=' is not understood", "`==`"),
        ("item.x === 3", "'=' is not understood", "`==`"),
        ("item.x <> 3", "'>' is not expected", "`!=`"),
        ("item.x == 3 AND item.y == 2", "'AND' is not expected", "`&&`"),
        ("item.x == 'a' or item.y", "'or' is not expected", "`||`"),
        ("not item.x", "not expected", "`!`"),
        ("item.x not in ['a']", "not expected", "!(item.x in"),
        ("item.x is null", "'is' is not expected", "== null"),
        ("item.x like 'a'", "'like' is not expected", "contains"),
        ("item.x == None", "'None'", "write null"),
        ("item.x == True", "'True'", "write true"),
        ("item.x == “a”", "not understood", "straight quotes"),
        ("{{ steps.a.output }} == 1", "not expected", "without braces"),
        ("len(item.x) > 1", "'len'", "size(x)"),
        ("item.x.lower() == 'a'", "'lower'", "lowerAscii"),
        ("round(item.x) > 1", "'round'", "math.round(x)"),
        ("item.due < today()", "'today'", "it knows no clock"),
        ("itm.x > 1", "'itm.x'", "did you mean 'item'? names are item, values; text needs quotes"),
        ("open == item.x", "'open'", "names are item, values"),
        ("item.x in (1, 2)", "',' is not expected", "[ or brackets"),
        ("item.x ==", "something is missing at its end", ""),
        ("(item.x == 1", "missing ')' at its end", ""),
        ("1 < item.x < 3", "`<` does not apply to true or false and a whole number", ""),
        ("item.x == null ? null : item.x > 5", "different kinds: null and true or false", "dyn(null)"),
        ("item.x == 1 ? 'a' : {'b': [1, 2]}", "different kinds: text and a map", "dyn(…)"),
        ("1 + 2.5", "`+` does not apply to a whole number and a decimal", "double(…)"),
        ("'No. ' + 5", "`+` does not apply to text and a whole number", "string(…)"),
        (r"regex.extract(item.x, 'No\. (\d+)') == '7'", "is not understood", r"r'\d+'"),
        (r'item.x.matches("\d")', "is not understood", r"r'\d+'"),
        (r"item.x = r'\d'", "'=' is not understood", "`==`"),
        ("item.Größe == 1", "a letter that CEL does not know", "item['Größe']"),
    ],
)
def test_what_was_meant_is_told(source, says, hint) -> None:
    with pytest.raises(ExpressionFailed) as caught:
        Expression(source, ("item", "values"))
    assert says in caught.value.message
    assert hint.removeprefix("[ or ") in caught.value.hint
    assert not any(word in caught.value.message for word in ("Syntax", "IDENTIFIER", "EOF", "expecting", "token"))
