"""``ecgpage`` with the fake reader, as a program of its own: python -m tests.cli.fake_program digitize ..."""

import sys
from functools import partial

from ecgpage.cli import digitize_command
from ecgpage.cli.main import main
from ecgpage.cli.settings import Settings
from tests.cli.fake_reader import NAME

if __name__ == "__main__":
    digitize_command.Settings = partial(Settings, reader=NAME)  # type: ignore[assignment,misc]
    sys.exit(main())
