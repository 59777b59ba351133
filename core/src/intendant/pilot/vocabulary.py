"""What workflows may use with what is installed, for those who make workflows: people, programs, models."""

from collections.abc import Mapping
from typing import NamedTuple

from intendant.model.requests import Operation
from intendant.pilot.engine import Engine


class KnownIntent(NamedTuple):
    """An intent that is installed."""

    summary: str
    tokens: int
    """Input and output tokens that one step usually takes."""


class Vocabulary(NamedTuple):
    """What workflows may use."""

    intents: Mapping[str, KnownIntent]
    """By name."""
    operations: Mapping[str, Operation]
    """What steps may say under `uses`, such as `http.get`."""


def vocabulary_of(engine: Engine) -> Vocabulary:
    """What is installed."""
    baselines = engine.settings.budget.baselines
    return Vocabulary(
        {
            spec.name: KnownIntent(spec.summary, baselines.get(spec.name, spec.tokens))
            for spec in engine.plugins.specs
        },
        {
            f"{name}.{operation}": described
            for name, connector in engine.plugins.connectors.items()
            for operation, described in connector.operations.items()
        },
    )
