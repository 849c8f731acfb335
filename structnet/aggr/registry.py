"""Names for PyG's resolver: `aggr="structnet_lcm"`."""

from __future__ import annotations

from collections.abc import Callable

import torch_geometric.nn.aggr as host
from torch_geometric.resolver import normalize_string

from structnet.aggr import affine, discrete, exact, lcm, phase, recurrent, top_rows
from structnet.errors import StructureError

AGGREGATIONS = (
    lcm.LCMAggregation, recurrent.GRUAggregation, recurrent.LSTMAggregation, affine.AffineScanAggregation,
    exact.TopKAggregation, exact.LogSumExpAggregation, exact.AttentionAggregation, discrete.ModularAggregation,
    discrete.FiniteMonoidAggregation, phase.PhaseAggregation, top_rows.TopRowsAggregation,
)  # fmt: skip
PREFIX = "Structnet"


def register_with_pyg() -> Callable[[], None]:
    """Make `MessagePassing(aggr="structnet_lcm", aggr_kwargs=...)` and the like work; returns what undoes it.

    PyG finds aggregators by the class names in `torch_geometric.nn.aggr`, where `LCMAggregation` is PyG's own. So each
    class goes there as a subclass with `Structnet` before its name; passing an instance needs none of this. Registering
    twice changes nothing.

    Raises:
        StructureError: a name is taken by somebody else.
    """
    taken = {normalize_string(name): value for name, value in vars(host).items()}
    added = {PREFIX + cls.__name__: cls for cls in AGGREGATIONS}
    for name, cls in added.items():
        other = taken.get(normalize_string(name))
        if other is not None and not (isinstance(other, type) and issubclass(other, cls)):
            raise StructureError(
                f"no {name} in torch_geometric.nn.aggr yet", repr(other), "an instance: aggr=LCMAggregation(...)"
            )
    for name, cls in added.items():
        if not hasattr(host, name):
            setattr(host, name, type(name, (cls,), {"__module__": cls.__module__, "__doc__": cls.__doc__}))

    def undo() -> None:
        for name in added:
            if hasattr(host, name):
                delattr(host, name)

    return undo
