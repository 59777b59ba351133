"""What a person types. `main` is the command `intendant`."""

__all__ = ["main"]


def main() -> None:
    """Run the command line; a signal ends it with 130, also while it still imports."""
    import signal
    import sys

    try:
        from intendant.cli import signals

        signals.install()
        from intendant.cli.app import app_for
        from intendant.cli.terminal import protect_streams

        protect_streams()
        app_for(sys.argv[1:])()
    except KeyboardInterrupt:  # within an import, or between two commands of the library
        sys.exit(130)
    finally:
        # What is left is the end of the interpreter, which a further signal would break off with a traceback.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
