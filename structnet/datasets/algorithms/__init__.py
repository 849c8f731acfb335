"""Classical algorithms as data, in the format of CLRS-30 (Velickovic et al., 2022), from samplers of our own."""

from structnet.datasets.algorithms.arrays import ARRAYS
from structnet.datasets.algorithms.depth_first import DEPTH_FIRST
from structnet.datasets.algorithms.geometry import GEOMETRY
from structnet.datasets.algorithms.paths import PATHS
from structnet.datasets.algorithms.strings import STRINGS
from structnet.datasets.algorithms.trace import Algorithm as Algorithm
from structnet.datasets.algorithms.trace import Probe as Probe
from structnet.datasets.algorithms.trace import Trace as Trace

ALGORITHMS: dict[str, Algorithm] = {**ARRAYS, **PATHS, **DEPTH_FIRST, **STRINGS, **GEOMETRY}
