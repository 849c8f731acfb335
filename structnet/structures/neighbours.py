"""Graphs as each node's list of senders: an edge list sorted by target, once, for any number of rounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.structures.checks import as_index
from structnet.structures.segments import Segments


@dataclass(frozen=True, eq=False)
class Neighbours:
    """E edges into M nodes: edges `ptr[j] .. ptr[j + 1] - 1` run from `sender` to node j.

    Attributes:
        sender: int64 `[E]`, numbers of the N nodes that send.
        ptr: int64 `[M + 1]`.
        num_sources: N.
        order: edge of the given list at each place, `[E]`; None if the list was sorted by target as it was.
    """

    sender: Tensor
    ptr: Tensor
    num_sources: int
    order: Tensor | None = None

    @classmethod
    def from_edges(cls, edge_index: Tensor, num_nodes: int) -> Neighbours:
        """From PyG's `edge_index` `[2, E]` (row 0 sends, row 1 receives), in any order; double edges count twice.

        Raises:
            StructureError: not two rows, or a node number outside 0 .. num_nodes - 1.
        """
        if edge_index.dim() != 2 or len(edge_index) != 2:
            raise StructureError("edge_index [2, E]", str(tuple(edge_index.shape)), "torch.stack([source, target])")
        sender, target = (as_index(row, "edge_index") for row in edge_index)
        if sender.numel() and (int(edge_index.min()) < 0 or int(edge_index.max()) >= num_nodes):
            got = f"{int(edge_index.min())} .. {int(edge_index.max())}"
            raise StructureError(f"node numbers 0 .. {num_nodes - 1}", got, "edges and features of one graph")
        order = None
        if bool((target.diff() < 0).any()):
            target, order = target.sort(stable=True)
            sender = sender.index_select(0, order)
        bounds = torch.arange(num_nodes + 1, device=target.device)
        ptr = torch.searchsorted(target.contiguous(), bounds)
        return cls(sender.contiguous(), ptr, num_nodes, order)

    @classmethod
    def complete(cls, groups: Segments, loops: bool = False) -> Neighbours:
        """Every two rows of a segment are joined both ways (with `loops` each also with itself): a batch of complete
        graphs of any sizes, sorted by target, senders in order."""
        lengths = groups.lengths.index_select(0, groups.index)  # of the graph of each node
        first = groups.ptr.index_select(0, groups.index)
        sender = _ramps(first, lengths)
        if not loops:
            receiver = torch.arange(len(lengths), device=sender.device).repeat_interleave(lengths)
            sender, lengths = sender[sender != receiver], lengths - 1
        return cls(sender, Segments.from_lengths(lengths).ptr, groups.num_rows)

    @property
    def num_nodes(self) -> int:
        return self.ptr.numel() - 1

    @property
    def num_edges(self) -> int:
        return self.sender.numel()

    @cached_property
    def degree(self) -> Tensor:
        """Edges into each node, `[M]`."""
        return self.ptr.diff()

    @cached_property
    def target(self) -> Tensor:
        """Node that each edge runs into, `[E]`."""
        nodes = torch.arange(self.num_nodes, device=self.ptr.device)
        return nodes.repeat_interleave(self.degree, output_size=self.num_edges)

    @property
    def edge_index(self) -> Tensor:
        """PyG's form, `[2, E]`, sorted by target."""
        return torch.stack([self.sender, self.target])

    def sorted(self, rows: Tensor) -> Tensor:
        """A row per edge of the given list, `[E, ...]`, in the order of this structure."""
        return rows if self.order is None else rows.index_select(0, self.order)

    def to(self, device: torch.device | str) -> Neighbours:
        order = None if self.order is None else self.order.to(device)
        return Neighbours(self.sender.to(device), self.ptr.to(device), self.num_sources, order)


def _ramps(first: Tensor, lengths: Tensor) -> Tensor:
    """first, first + 1, ..., first + length - 1 of each entry, one after the other."""
    start = (lengths.cumsum(0) - lengths - first).repeat_interleave(lengths)
    return torch.arange(len(start), device=first.device) - start
