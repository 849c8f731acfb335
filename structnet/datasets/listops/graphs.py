"""ListOps graphs: the expressions as PyG data, operators and digits as nodes, child -> parent edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch_geometric.data import InMemoryDataset

from structnet.datasets.listops.gold import argument_edges, brackets, values
from structnet.datasets.listops.splits import rows_of
from structnet.structures.tree_data import TreeData


class ListOpsGraphs(InMemoryDataset):
    """One split as an `InMemoryDataset` of `TreeData`: `x` int64 `[nodes]` (0-9 digits, 10-13 MIN MAX MED SM),
    `edge_index` child -> parent with the arguments in order, `y` the answer, `parent` (a root is its own).

    Args:
        root: folder of the processed file, as in every PyG data set (generated, nothing is downloaded).
        split: a name of `structnet.datasets.listops.SPLITS`.
        seed: another draw of the split.
    """

    def __init__(
        self,
        root: str,
        split: str = "train",
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        pre_filter: Callable | None = None,
        force_reload: bool = False,
    ):
        self.split, self.seed = split, seed
        super().__init__(root, transform, pre_transform, pre_filter, force_reload=force_reload)
        with torch.serialization.safe_globals([TreeData]):  # the processed file names its class, and no more
            self.load(self.processed_paths[0], data_cls=TreeData)

    @property
    def processed_file_names(self) -> list[str]:
        return [f"listops-{self.split}-{self.seed}.pt"]

    def process(self) -> None:
        arrays = rows_of(self.split, self.seed)
        tokens, ptr = arrays["tokens"], arrays["ptr"]
        shape = brackets(tokens)
        answers = values(tokens, shape)[ptr[:-1]]
        labels, node_ptr, parent = argument_edges(tokens, ptr, shape)
        graphs = [
            _graph(labels[a:b], parent[a:b], int(answer)) for a, b, answer in zip(node_ptr, node_ptr[1:], answers)
        ]
        if self.pre_filter is not None:
            graphs = [graph for graph in graphs if self.pre_filter(graph)]
        if self.pre_transform is not None:
            graphs = [self.pre_transform(graph) for graph in graphs]
        self.save(graphs, self.processed_paths[0])


def _graph(labels: np.ndarray, parent: np.ndarray, answer: int) -> TreeData:
    above = torch.from_numpy(parent)
    child = (above != torch.arange(len(above))).nonzero().flatten()
    return TreeData(
        x=torch.from_numpy(labels.astype(np.int64)),
        edge_index=torch.stack([child, above[child]]),
        parent=above,
        y=torch.tensor([answer]),
        num_nodes=len(labels),
    )
