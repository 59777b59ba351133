"""What a person types. `main` is the command `intendant`."""

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    from intendant.cli.app import app

    app()
