"""`intendant plugins NAME`, as users type it."""

import pytest


@pytest.mark.parametrize("name", ["http", "connector:http", "intendant-connector-http"])
def test_shows_what_a_plugin_takes(intendant, name):
    done = intendant("plugins", name)
    assert done.code == 0
    for part in (
        "http.get: Read",
        "pages.by",
        "default 100",
        "required",
        "settings: Under",
        "allow",
        "example:",
        "name: open-issues",
    ):
        assert part in done.out


@pytest.mark.parametrize(
    "name", ["filter", "tier:fast", "provider:openai", "budget:equal", "compress:semantic", "classify:local"]
)
def test_each_kind_has_its_reference(intendant, name):
    done = intendant("plugins", name, "--json")
    (reference,) = done.json()
    assert reference["summary"]
    assert reference["example"]


def test_a_name_that_is_not_installed_is_a_mistake(intendant):
    done = intendant("plugins", "htpp")
    assert done.code == 2
    assert "did you mean 'http'?" in done.err
