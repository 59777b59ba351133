"""`python -m intendant`."""

from intendant.cli import main

if __name__ == "__main__":
    main()
