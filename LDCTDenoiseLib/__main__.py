"""``python -m LDCTDenoiseLib`` is the command line."""

import sys

from .commands.command_line import main

sys.exit(main())
