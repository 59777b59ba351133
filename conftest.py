"""What holds for all tests: properties are tried on a sample, and none fails because a machine is slow.

`INTENDANT_SAMPLE=400` tries each property on so many examples; `nox -s trials` does.
"""

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("sample", deadline=None, max_examples=int(os.environ.get("INTENDANT_SAMPLE", "40")))
settings.load_profile("sample")


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """A command that a test calls in this process sets how much is logged; the next test begins as before."""
    logger = logging.getLogger("intendant")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands that name no database use one of the tests, and not that of the user who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield
