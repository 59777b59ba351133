"""What a person types. `main` is the command `intendant`."""

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    import signal
    import sys

    from intendant.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character still shows the rest
    # Asked to end, a run is cancelled and recorded as such, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    app()
