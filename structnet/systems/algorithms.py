"""Classical algorithms: one reasoner, its aggregator as the argument that is swapped."""

from __future__ import annotations

from torch_geometric.nn import aggr as pyg

from structnet import aggr
from structnet.datasets.algorithms import ALGORITHMS
from structnet.errors import StructureError
from structnet.models.algorithmic_reasoner import AlgorithmicReasoner, Probe
from structnet.systems.system import System
from structnet.tasks.algorithms import Algorithms
from structnet.training.settings import TrainSettings

AGGREGATORS = {
    "max": lambda width, shuffle: pyg.MaxAggregation(),
    "lcm": lambda width, shuffle: aggr.LCMAggregation(width, width, project=False, shuffle=shuffle),
    "gru": lambda width, shuffle: aggr.GRUAggregation(width, width, shuffle=shuffle),
    "lstm": lambda width, shuffle: aggr.LSTMAggregation(width, width, shuffle=shuffle),
    "affine": lambda width, shuffle: aggr.AffineScanAggregation(width, width, shuffle=shuffle),
}
CLASSES = {"key": 4, "color": 3, "b": 4, "b_h": 4}  # of categorical probes; `phase` depends on the algorithm
PHASES = {"graham_scan": 5}


def probes_of(algorithm: str) -> list[Probe]:
    """What `AlgorithmicReasoner` needs to know of an algorithm."""
    classes = {**CLASSES, "phase": PHASES.get(algorithm, 3)}
    return [
        (name, stage, location, kind, classes[name] if kind == "categorical" else 1)
        for name, (stage, location, kind) in ALGORITHMS[algorithm].spec.items()
    ]


class Reasoner(AlgorithmicReasoner):
    """`AlgorithmicReasoner` for one algorithm by name.

    Args:
        algorithm: a name in `structnet.datasets.algorithms.ALGORITHMS`; the task's must be the same.
        width: D.
        aggregator: a name in `AGGREGATORS`.
        shuffle: take the senders in random order in training: the control for "the order is what helps".
        triplets: edge features from triples of nodes.
    """

    def __init__(
        self,
        algorithm: str = "quickselect",
        width: int = 128,
        aggregator: str = "max",
        shuffle: bool = False,
        triplets: bool = False,
    ):
        if aggregator not in AGGREGATORS:
            raise StructureError(f"an aggregator out of {', '.join(AGGREGATORS)}", repr(aggregator), 'aggregator="max"')
        super().__init__(probes_of(algorithm), width, AGGREGATORS[aggregator](width, shuffle), triplets)


# Ibarz et al., 2022: 10,000 updates of 32 fresh runs, Adam 1e-3, clipped at 1
RECIPE = TrainSettings(epochs=320, batch_size=32, lr=1e-3, weight_decay=0.0, schedule="constant")


SYSTEMS = {name: System(Algorithms, Reasoner, {"aggregator": name}, RECIPE) for name in AGGREGATORS}
