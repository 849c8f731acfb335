"""`python -m structnet` is the command line."""

import sys

from structnet.cli import main

sys.exit(main())
