"""``python -m ecgpage``: the command line."""

import sys

from ecgpage.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
