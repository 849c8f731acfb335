"""structnet: neural reasoning over structure."""

from collections.abc import Callable

__version__ = "0.1.0"


def register_with_pyg() -> Callable[[], None]:
    """Make the aggregators known to PyG by name, `MessagePassing(aggr="structnet_lcm")`; returns what undoes it.
    See `structnet.aggr.register_with_pyg`."""
    from structnet.aggr import register_with_pyg as register  # PyG is imported when it is asked for

    return register()
