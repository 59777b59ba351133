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
