"""Values within the address of an operation do not change where it leads."""

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, strategies as st

from intendant.config.secrets import forms
from intendant.pilot.resolving import resolve_parameters
from intendant.plugin import ReferenceFailed

API = "http://127.0.0.1:8080/v1"


def address(written: str, **values: object) -> object:
    """The address that an operation is given."""
    return resolve_parameters({"url": written}, values)["url"]


@pytest.mark.parametrize(
    ("written", "values", "made"),
    [
        ("https://x.example/a/{{ v }}", {"v": "x/../y?z"}, "https://x.example/a/x%2F..%2Fy%3Fz"),
        ("https://x.example/a/{{ v }}/b", {"v": "ü 1#%41+"}, "https://x.example/a/%C3%BC%201%23%2541%2B/b"),
        ("https://x.example/a/{{ v }}", {"v": "me@x:7,8"}, "https://x.example/a/me@x:7,8"),
        ("https://x.example/a?q={{ v }}&r=1", {"v": "a&b=c d"}, "https://x.example/a?q=a%26b%3Dc%20d&r=1"),
        ("https://x.example/a?q={{ v }}", {"v": None}, "https://x.example/a?q="),
        ("https://x.example/{{ v }}", {"v": 17}, "https://x.example/17"),
        ("{{ v }}", {"v": "https://x.example/a/../b?c#d"}, "https://x.example/a/../b?c#d"),
        ("{{ api }}/a/{{ v }}", {"api": API, "v": "b/c"}, f"{API}/a/b%2Fc"),
        ("{{ api }}{{ v }}", {"api": "http://h:1", "v": "/next?page=2"}, "http://h:1/next?page=2"),
        ("{{ api }}{{ v }}", {"api": API, "v": "/x"}, f"{API}%2Fx"),
        ("https://{{ v }}/a", {"v": "h.example:8443"}, "https://h.example:8443/a"),
        ("http://h:{{ v }}/a", {"v": 80}, "http://h:80/a"),
        ("https://{{ v }}.example/a", {"v": "münchen"}, "https://münchen.example/a"),
        ("sqlite:///{{ v }}/shop.db", {"v": "data/a b"}, "sqlite:///data/a b/shop.db"),
        ("https://x.example/{{ '{{' }}{{ v }}", {"v": "a"}, "https://x.example/{{a"),
    ],
)
def test_a_value_is_one_part_of_an_address(written, values, made) -> None:
    assert address(written, **values) == made


@pytest.mark.parametrize(
    ("written", "value", "says"),
    [
        ("https://{{ v }}.example/a", "evil.example/", "in the place of a host"),
        ("https://{{ v }}.example/a", "me@evil", "in the place of a host"),
        ("https://x.example:{{ v }}/a", "80#", "in the place of a host"),
        ("https://x.example/a/{{ v }}", "..", "another place"),
        ("https://x.example/a/{{ v }}/b", ".", "another place"),
        ("https://x.example/a/.{{ v }}/b", ".", "another place"),
        ("https://x.example/a/{{ v }}", None, "is null"),
        ("https://{{ v }}/a", None, "is null"),
    ],
)
def test_a_value_that_can_be_no_part_is_an_error(written, value, says) -> None:
    with pytest.raises(ReferenceFailed, match=says):
        address(written, v=value)


def test_a_secret_may_be_several_parts_of_a_path_and_no_more() -> None:
    """The webhooks of chats have such ones."""
    secrets = {"HOOK": "T01/B02/x?y z"}
    assert address("https://x.example/services/{{ secrets.HOOK }}", secrets=secrets).endswith("/T01/B02/x%3Fy%20z")
    assert address("https://x.example/s?k={{ secrets.HOOK }}", secrets=secrets).endswith("?k=T01/B02/x%3Fy%20z")


def test_lists_of_addresses_are_taken_one_by_one_and_other_parameters_as_they_are() -> None:
    written = {"url": ["{{ v }}", "https://x.example/{{ v }}"], "json": {"url": "https://x.example/{{ v }}"}}
    assert resolve_parameters(written, {"v": "a/b"}) == {
        "url": ["a/b", "https://x.example/a%2Fb"],
        "json": {"url": "https://x.example/a/b"},
    }


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_back_from_its_place(text) -> None:
    if text not in (".", ".."):
        parts = urlsplit(str(address("https://x.example/a/{{ v }}/b?c=d", v=text)))
        assert (parts.netloc, unquote(parts.path), parts.query) == ("x.example", f"/a/{text}/b", "c=d")
        assert parts.path.count("/") == 3
    parts = urlsplit(str(address("https://x.example/a?q={{ v }}&c=d", v=text)))
    assert parse_qsl(parts.query, keep_blank_values=True) == [("q", text), ("c", "d")]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=4))
def test_secrets_are_known_in_the_form_that_they_have_in_an_address(text) -> None:
    for written in ("a/{{ v }}", "a?{{ v }}", "a/{{ secrets.V }}", "a?{{ secrets.V }}"):
        try:
            made = str(address(f"https://x.example/{written}", v=text, secrets={"V": text}))
        except ReferenceFailed:  # a secret with `/../` in it
            continue
        assert any(form in made for form in forms(text))
