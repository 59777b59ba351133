"""What holds for all tests: properties are tried on a sample, and none fails because a machine is slow.

`INTENDANT_SAMPLE=400` tries each property on so many examples; `nox -s trials` does.
"""

import os

from hypothesis import settings

settings.register_profile("sample", deadline=None, max_examples=int(os.environ.get("INTENDANT_SAMPLE", "40")))
settings.load_profile("sample")
