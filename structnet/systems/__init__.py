"""Where tasks and models meet: what `structnet train` can train, by name."""

from structnet.systems.system import Run as Run
from structnet.systems.system import System as System
from structnet.systems.system import find as find
from structnet.systems.system import names as names
from structnet.systems.system import open_run as open_run
from structnet.systems.system import shipped_names as shipped_names
