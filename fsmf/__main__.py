"""Run the command as ``python -m fsmf``."""

import sys

from fsmf.cli import main

if __name__ == "__main__":
    sys.exit(main())
