"""Trees inside PyTorch Geometric."""

from __future__ import annotations

from typing import Any

from torch_geometric.data import Data

from structnet.structures.tree import Tree


class TreeData(Data):
    """PyG `Data` of a tree or DAG: child -> parent `edge_index`, the children of a node in edge order.

    Goes through `Batch`, `DataLoader` and `to_data_list` like any `Data`. Node references in attributes named `parent`,
    `root` or `roots` are shifted when graphs are batched (PyG decides by *name*, and would leave these as they are);
    a root is its own parent, never -1, because a shifted -1 would point into another tree.
    """

    REFERENCES = ("parent", "root", "roots")

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return self.num_nodes if key in self.REFERENCES else super().__inc__(key, value, *args, **kwargs)

    def __cat_dim__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return 0 if key in self.REFERENCES else super().__cat_dim__(key, value, *args, **kwargs)

    @property
    def tree(self) -> Tree:
        """The structure (of one tree, or of a whole batch)."""
        return Tree.from_data(self)
