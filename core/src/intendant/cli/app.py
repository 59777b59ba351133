"""The command `intendant` with all its commands."""

from intendant.cli import classifying, compressing, planning, plugins, running, runs
from intendant.cli.shared import app

__all__ = ["app", "classifying", "compressing", "planning", "plugins", "running", "runs"]
