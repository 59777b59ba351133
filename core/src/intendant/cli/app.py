"""The command `intendant` with all its commands."""

from intendant.cli import (
    approve,
    budget,
    classify,
    compress,
    cost,
    doubts,
    plan,
    plugins,
    prices,
    run,
    runs,
    trust,
    verify,
)
from intendant.cli.shared import app

__all__ = [
    "app",
    "approve",
    "budget",
    "classify",
    "compress",
    "cost",
    "doubts",
    "plan",
    "plugins",
    "prices",
    "run",
    "runs",
    "trust",
    "verify",
]
