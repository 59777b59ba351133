"""`python -m intendant`."""

import sys

if not sys.flags.safe_path:
    # Python searches the working folder first here; a module there must not run in place of a library.
    del sys.path[0]

from intendant.cli import main

if __name__ == "__main__":
    main()
