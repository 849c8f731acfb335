"""A batch of ordered trees or DAGs over flat rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.structures import builders, parsing
from structnet.structures.checks import as_index, check_ptr, check_range
from structnet.structures.segments import Segments
from structnet.structures.topology import heights


@dataclass(frozen=True, eq=False)
class Tree:
    """B ordered trees (or forests, or DAGs) over N rows; one row is one node, in any order.

    The children of node v, first to last, are `child_index[child_ptr[v] : child_ptr[v + 1]]`; tree b owns the rows
    `ptr[b] .. ptr[b + 1] - 1`. A node may have any number of children, a tree any number of roots (none if it is
    empty), and in a DAG a node any number of parents.

    Args:
        child_ptr: int64 `[N + 1]`.
        child_index: int64 `[E]`, row of each child, in the same tree as its parent.
        ptr: int64 `[B + 1]`; one tree over all rows if left out.

    Raises:
        StructureError: wrong dtype, device or order, a child that does not exist or belongs to another tree; a cycle
            is reported when the heights are first needed (the constructors `from_*` need them at once).

    `cache` keeps schedules, so they are built once per structure.
    """

    child_ptr: Tensor
    child_index: Tensor
    ptr: Tensor = None  # type: ignore[assignment]
    cache: dict = field(default_factory=dict, repr=False)

    def __post_init__(self):
        child_ptr = as_index(self.child_ptr, "child_ptr")
        child_index = as_index(self.child_index, "child_index", child_ptr.device)
        check_ptr(child_ptr, "child_ptr", child_index.numel())
        num_nodes = child_ptr.numel() - 1
        check_range(child_index, num_nodes, "child_index")
        ptr = child_ptr.new_tensor([0, num_nodes]) if self.ptr is None else as_index(self.ptr, "ptr", child_ptr.device)
        check_ptr(ptr, "ptr", num_nodes)
        for name, value in (("child_ptr", child_ptr), ("child_index", child_index), ("ptr", ptr)):
            object.__setattr__(self, name, value)
        if ptr.numel() > 2:
            self._check_owners()

    def _check_owners(self) -> None:
        owner = self.segments.index
        foreign = owner[self.child_index] != owner[self.source]
        if bool(foreign.any()):
            edge = int(foreign.nonzero()[0])
            child, parent = int(self.child_index[edge]), int(self.source[edge])
            got = f"node {parent} of tree {int(owner[parent])} with child {child} of tree {int(owner[child])}"
            raise StructureError("children inside their parent's tree", got, "ptr with both in one tree")

    @classmethod
    def trusted(cls, child_ptr: Tensor, child_index: Tensor, ptr: Tensor) -> Tree:
        """Without checks: for trees that the library itself has just built."""
        self = object.__new__(cls)
        for name, value in (("child_ptr", child_ptr), ("child_index", child_index), ("ptr", ptr), ("cache", {})):
            object.__setattr__(self, name, value)
        return self

    # what there is ------------------------------------------------------------------------------------------------

    @property
    def num_nodes(self) -> int:
        return self.child_ptr.numel() - 1

    @property
    def num_trees(self) -> int:
        return self.ptr.numel() - 1

    @property
    def device(self) -> torch.device:
        return self.child_ptr.device

    def __len__(self) -> int:
        return self.num_trees

    @cached_property
    def segments(self) -> Segments:
        """Rows of each tree."""
        return Segments.trusted(self.ptr)

    @cached_property
    def arity(self) -> Tensor:
        """Number of children of each node, int64 `[N]`."""
        return self.child_ptr.diff()

    @cached_property
    def source(self) -> Tensor:
        """Parent end of each child edge, int64 `[E]` (beside `child_index`)."""
        nodes = torch.arange(self.num_nodes, device=self.device)
        return torch.repeat_interleave(nodes, self.arity, output_size=self.child_index.numel())

    @cached_property
    def leaves(self) -> Tensor:
        """Rows without children, ascending."""
        return (self.arity == 0).nonzero().flatten()

    @cached_property
    def roots(self) -> Tensor:
        """Rows that are nobody's child, ascending (hence in tree order)."""
        used = torch.zeros(self.num_nodes, dtype=torch.bool, device=self.device)
        used[self.child_index] = True
        return (~used).nonzero().flatten()

    @cached_property
    def root_per_tree(self) -> Tensor:
        """The one root of each tree, `[B]`. Raises StructureError where a tree has none or several."""
        counts = torch.bincount(self.segments.index[self.roots], minlength=self.num_trees)
        if bool((counts != 1).any()):
            tree = int((counts != 1).nonzero()[0])
            raise StructureError("one root per tree", f"{int(counts[tree])} roots in tree {tree}", "tree.roots for all")
        return self.roots

    @cached_property
    def parent(self) -> Tensor:
        """Parent of each node, int64 `[N]`; a root is its own parent. Raises StructureError for a DAG."""
        counts = torch.bincount(self.child_index, minlength=self.num_nodes)
        if counts.numel() and int(counts.max()) > 1:
            node = int(counts.argmax())
            raise StructureError("a forest", f"node {node} with {int(counts[node])} parents", "tree.source for DAGs")
        parent = torch.arange(self.num_nodes, device=self.device)
        parent[self.child_index] = self.source
        return parent

    @cached_property
    def heights(self) -> np.ndarray:
        """Levels: 0 for leaves, 1 + the highest child otherwise (numpy, on the CPU). StructureError on a cycle."""
        return heights(self.child_ptr.cpu().numpy(), self.child_index.cpu().numpy())

    def to(self, device: torch.device | str) -> Tree:
        if self.device == torch.device(device):
            return self
        return Tree.trusted(self.child_ptr.to(device), self.child_index.to(device), self.ptr.to(device))

    # batches ------------------------------------------------------------------------------------------------------

    @classmethod
    def batch(cls, trees: list[Tree]) -> Tree:
        """One structure that holds all of `trees`, rows one after the other; `unbatch` gives them back."""
        if not trees:
            raise StructureError("at least one tree", "an empty list", "a tree without rows for an empty member")
        rows = np.cumsum([0] + [tree.num_nodes for tree in trees])
        edges = np.cumsum([0] + [tree.child_index.numel() for tree in trees])
        zero = trees[0].ptr.new_zeros(1)
        return cls.trusted(
            torch.cat([zero] + [tree.child_ptr[1:] + int(at) for tree, at in zip(trees, edges)]),
            torch.cat([tree.child_index + int(at) for tree, at in zip(trees, rows)]),
            torch.cat([zero] + [tree.ptr[1:] + int(at) for tree, at in zip(trees, rows)]),
        )

    def unbatch(self) -> list[Tree]:
        """One `Tree` per member, rows counted from 0."""
        rows, edges = self.ptr.tolist(), self.child_ptr[self.ptr].tolist()
        return [
            Tree.trusted(
                self.child_ptr[first : last + 1] - edges[b],
                self.child_index[edges[b] : edges[b + 1]] - first,
                self.ptr.new_tensor([0, last - first]),
            )
            for b, (first, last) in enumerate(zip(rows, rows[1:]))
        ]

    # from elsewhere -----------------------------------------------------------------------------------------------

    @classmethod
    def from_edges(cls, source: Tensor, child: Tensor, num_nodes: int | None = None, ptr: Tensor | None = None) -> Tree:
        """From parent -> child edges; the order of a node's children is the order of its edges. Without `num_nodes`
        the last node is the last one that has an edge."""
        source = as_index(source, "source")
        child = as_index(child, "child", source.device)
        if source.numel() != child.numel():
            got = f"{source.numel()} sources, {child.numel()} children"
            raise StructureError("a source and a child for every edge", got, "source, child = edge_index")
        if num_nodes is None:
            num_nodes = int(torch.maximum(source, child).max()) + 1 if child.numel() else 0
        check_range(source, num_nodes, "source")
        order = source.argsort(stable=True)
        child_ptr = Segments.from_lengths(torch.bincount(source, minlength=num_nodes)).ptr
        return cls(child_ptr, child[order], ptr)._acyclic()  # type: ignore[arg-type]

    @classmethod
    def from_parents(cls, parent: Tensor, ptr: Tensor | None = None) -> Tree:
        """From the parent of each node, `[N]`; a root is its own parent. Children in row order."""
        parent = as_index(parent, "parent")
        check_range(parent, parent.numel(), "parent", "its own row for a root")
        child = (parent != torch.arange(parent.numel(), device=parent.device)).nonzero().flatten()
        return cls.from_edges(parent[child], child, parent.numel(), ptr)

    @classmethod
    def from_tuples(cls, nested: Any) -> tuple[Tree, list]:
        """From nested tuples or lists, e.g. `((1, 2), 3)`. Returns the tree and the label of each row
        (the object at a leaf, None inside). Rows in pre-order."""
        parent, labels = parsing.walk_tuples(nested)
        return cls.from_parents(torch.tensor(parent, dtype=torch.int64)), labels

    @classmethod
    def from_brackets(cls, text: str | list[str], labelled: bool = False) -> tuple[Tree, list]:
        """From bracketed text such as `((a b) c)`, one string per tree.

        With `labelled`, what is attached to an opening bracket names the node: `[MAX 2 9 [MIN 4 7 ] 0 ]`. Returns the
        batch and the label of each row (None for a node without name). Rows in pre-order.
        """
        parsed = [parsing.walk_brackets(one, labelled) for one in ([text] if isinstance(text, str) else text)]
        if not parsed:
            raise StructureError("at least one text", "an empty list", 'Tree.from_brackets("((a b) c)")')
        first = np.cumsum([0] + [len(parent) for parent, _ in parsed])
        flat = [above + int(at) for at, (parent, _) in zip(first, parsed) for above in parent]
        tree = cls.from_parents(torch.tensor(flat, dtype=torch.int64), torch.from_numpy(first))
        return tree, [label for _, labels in parsed for label in labels]

    def to_brackets(self, labels: Sequence) -> list[str]:
        """One text per root such as `(MAX 2 9 (MIN 4 7))`, from the label of each row (None: no name), for
        `from_brackets` with or without `labelled`: hence the space in `(( a b) c)`, where no row inside has a name."""
        arrays = (self.child_ptr.tolist(), self.child_index.tolist(), self.roots.tolist())
        return parsing.write_brackets(*arrays, labels)

    @classmethod
    def from_networkx(cls, graph: Any) -> tuple[Tree, list]:
        """From a `networkx.DiGraph` with parent -> child edges (an arborescence, a forest or a DAG). Returns the tree
        and the graph's node of each row; children in the order of the graph's edges."""
        if not (hasattr(graph, "is_directed") and graph.is_directed()):
            got = type(graph).__name__
            raise StructureError("a networkx.DiGraph, parent -> child", got, "networkx.bfs_tree(graph, root)")
        names = list(graph.nodes)
        row = {name: at for at, name in enumerate(names)}
        edges = torch.tensor([[row[u], row[v]] for u, v in graph.edges], dtype=torch.int64).reshape(-1, 2)
        return cls.from_edges(edges[:, 0], edges[:, 1], len(names)), names

    @classmethod
    def from_data(cls, data: Any) -> Tree:
        """From a PyG `Data` or `Batch` with child -> parent edges in `edge_index`; children in edge order."""
        if getattr(data, "edge_index", None) is None:
            raise StructureError("data with an edge_index, child -> parent", "none", "Data(edge_index=..., num_nodes=)")
        if np.ndim(data.edge_index) != 2 or len(data.edge_index) != 2:
            got = f"shape {tuple(np.shape(data.edge_index))}"
            raise StructureError("an edge_index [2, E], child -> parent", got, "torch.stack([child, parent])")
        child, source = data.edge_index
        return cls.from_edges(source, child, data.num_nodes, getattr(data, "ptr", None))

    def to_data(self, **attributes: Any) -> Any:
        """A `TreeData` (PyG `Data`) with child -> parent `edge_index` and the given node or tree attributes."""
        from structnet.structures.tree_data import TreeData  # PyG is imported where it is used

        return TreeData(edge_index=torch.stack([self.child_index, self.source]), num_nodes=self.num_nodes, **attributes)

    def to_networkx(self) -> Any:
        """A `networkx.DiGraph` with parent -> child edges over the rows."""
        import networkx

        graph = networkx.DiGraph()
        graph.add_nodes_from(range(self.num_nodes))
        graph.add_edges_from(zip(self.source.tolist(), self.child_index.tolist()))
        return graph

    def _acyclic(self) -> Tree:
        _ = self.heights  # raises on a cycle; kept for the schedule
        return self

    # binary trees over the rows of segments -----------------------------------------------------------------------

    @classmethod
    def left_branching(cls, segments: Segments) -> Tree:
        """`((1 2) 3) 4`: a recurrent network as a tree. Rows of each tree: the n leaves, then the n - 1 inner nodes in
        order of composition, so the root comes last; an empty segment is an empty tree."""
        return cls.trusted(*builders.chain(segments, left=True))

    @classmethod
    def right_branching(cls, segments: Segments) -> Tree:
        """`1 (2 (3 4))`; rows as in `left_branching`."""
        return cls.trusted(*builders.chain(segments, left=False))

    @classmethod
    def balanced(cls, segments: Segments) -> Tree:
        """Neighbours pair up, level by level, an odd last one waits: height ceil(log2 n). Rows as above."""
        return cls.trusted(*builders.balanced(segments))

    @classmethod
    def random(cls, segments: Segments, generator: torch.Generator | None = None) -> Tree:
        """Every span splits at a uniformly drawn place: expected height O(log n). Rows as in `left_branching`."""
        return cls.trusted(*builders.random(segments, generator))
