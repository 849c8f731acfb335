"""The work law: the cell sees exactly the rows that the structure needs, whatever else is in the batch."""

import torch
from hypothesis import given

from structnet.recursion import fold_segments, fold_tree, scan_segments, unfold_tree
from structnet.structures import Segments, Tree
from tests.strategies import segments, structures


class Counter:
    """Counts calls and rows."""

    def __init__(self, arity):
        self.arity, self.calls, self.rows = arity, 0, 0

    def __call__(self, first, *rest, **inputs):
        grouped = self.arity is None
        nodes = rest[0].num_segments if grouped else len(first)
        self.calls, self.rows = self.calls + 1, self.rows + nodes
        return torch.zeros(nodes, 1) if grouped or first is None else first


@given(segments())
def test_a_fold_of_n_rows_in_s_segments_takes_n_minus_s(s: Segments):
    cell = Counter(2)
    fold_segments(cell, torch.zeros(s.num_rows, 1), s, torch.zeros(1))
    filled = int((s.lengths > 0).sum())
    assert cell.rows == s.num_rows - filled
    assert cell.calls == max(s.max_length - 1, 0).bit_length()


def test_one_huge_member_changes_nothing_for_the_others():
    small, huge = torch.full((100,), 3), torch.tensor([5000])
    rows = []
    for lengths in (small, huge, torch.cat([small, huge])):
        cell = Counter(2)
        fold_segments(cell, torch.zeros(int(lengths.sum()), 1), Segments.from_lengths(lengths))
        rows.append(cell.rows)
    assert rows[0] + rows[1] == rows[2]


@given(structures(dag=True))
def test_trees_one_row_per_inner_node_one_call_per_level(tree: Tree):
    cell = Counter(None)
    fold_tree(cell, torch.zeros(tree.leaves.numel(), 1), tree)
    assert cell.rows == tree.num_nodes - tree.leaves.numel() and cell.calls == tree.heights.max()
    cell = Counter(None)
    unfold_tree(cell, torch.zeros(tree.roots.numel(), 1), tree)
    assert cell.rows == tree.num_nodes - tree.roots.numel()


@given(segments(filled=True))
def test_scan_one_row_per_row_one_call_per_step(s: Segments):
    cell = Counter(1)
    scan_segments(cell, torch.zeros(s.num_rows, 1), s)
    assert (cell.rows, cell.calls) == (s.num_rows, s.max_length)
