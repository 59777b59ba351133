"""What a person types. `main` is the command `intendant`."""

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    import sys

    from intendant.cli import signals

    signals.install()
    try:
        from intendant.cli.app import app
    except KeyboardInterrupt:
        sys.exit(130)

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character still shows the rest
    try:
        app()
    except KeyboardInterrupt:  # between two commands of the library
        sys.exit(130)
