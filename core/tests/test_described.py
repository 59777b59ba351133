"""Fields are described by the docstrings below them, read when a description is asked for."""

import subprocess
import sys
from typing import Literal

import pytest
from pydantic import ConfigDict, Field, ValidationError

from intendant import Workflow
from intendant.config.settings import Settings
from intendant.model.base import Frozen
from intendant.plugin import Options


class Choosing(Options):
    """Options of which some may be the word null."""

    word: Literal["fail", "null"] = "fail"
    more: bool | Literal["null"] = Field(default=False, alias="and")
    either: Literal["null", "a"] | None = "a"
    other: str = ""


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"word": None}, {"word": "null"}),
        ({"word": "null", "and": None}, {"word": "null", "more": "null"}),
        ({"more": None}, {"more": "null"}),
        ({"either": None}, {"either": None}),
    ],
)
def test_null_without_quotation_marks_is_the_choice_of_that_name(given, read) -> None:
    assert Choosing.model_validate(given).model_dump(exclude_unset=True) == read


def test_null_is_no_text() -> None:
    with pytest.raises(ValidationError):
        Choosing.model_validate({"word": None, "other": None})


class Plain(Frozen):
    """A model."""

    first: int = 1
    """The first
    of them."""
    second: int = 2
    third: str = Field(default="", alias="3rd", description="Said by hand.")
    """Not this."""

    class Inner(Frozen):
        """A model inside another."""

        depth: int = 0
        """How deep."""


class Derived(Plain):
    """Inherits, and says one anew without a description."""

    model_config = ConfigDict(title="other")

    first: int = 3
    fourth: tuple[Plain, ...] = ()
    """A list of the others."""


def descriptions(model: type[Frozen]) -> dict[str, str | None]:
    return {name: field.description for name, field in model.model_fields.items()}


def test_a_docstring_below_a_field_describes_it() -> None:
    assert descriptions(Plain) == {"first": "The first\nof them.", "second": None, "third": "Said by hand."}
    assert descriptions(Plain.Inner) == {"depth": "How deep."}


def test_an_inherited_field_keeps_its_description_and_one_said_anew_has_its_own() -> None:
    found = descriptions(Derived)
    assert found["first"] is None
    assert found["third"] == "Said by hand."
    assert found["fourth"] == "A list of the others."


def test_a_class_inside_a_function_is_described_and_one_without_a_source_is_not() -> None:
    class Local(Frozen):
        """A model."""

        here: int = 0
        """Where."""

    made = type("Made", (Frozen,), {"__annotations__": {"x": int}, "x": 0})
    assert descriptions(Local) == {"here": "Where."}
    assert descriptions(made) == {"x": None}


def test_the_json_schema_has_the_descriptions_also_of_models_within() -> None:
    schema = Derived.model_json_schema()
    assert schema["properties"]["fourth"]["description"] == "A list of the others."
    assert schema["properties"]["3rd"]["description"] == "Said by hand."
    assert schema["$defs"]["Plain"]["properties"]["first"]["description"] == "The first\nof them."
    by_name = Plain.model_json_schema(by_alias=False)["properties"]
    assert by_name["third"]["description"] == "Said by hand."


def test_public_models_are_described() -> None:
    assert descriptions(Workflow)["agent"]
    assert Settings.model_json_schema()["$defs"]["BudgetSettings"]["properties"]["tokens_per_step"]["description"]


def test_importing_reads_no_source() -> None:
    code = "import intendant, sys; intendant.Workflow; print('ast' in sys.modules and bool(__import__('linecache').cache))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
