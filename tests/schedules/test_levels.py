import torch
from hypothesis import given

from structnet.schedules import level_schedule, step_schedule
from structnet.structures import Segments, Tree
from tests.strategies import segments, structures


@given(structures(dag=True))
def test_levels_are_the_heights_and_every_use_is_sent_once(tree: Tree):
    plan = level_schedule(tree)
    assert plan.num_levels == tree.heights.max() + 1
    sizes = torch.tensor(plan.rows).diff()
    assert sizes.tolist() == torch.bincount(torch.from_numpy(tree.heights)).tolist()
    assert torch.equal(plan.order[plan.rank], torch.arange(tree.num_nodes))
    assert sum(plan.sizes) == tree.child_index.numel() + tree.roots.numel()
    assert level_schedule(tree) is plan  # built once


def test_a_chain_by_hand():
    plan = level_schedule(Tree.left_branching(Segments.from_lengths(torch.tensor([3]))))  # rows 0 1 2, (01)=3, (32)=4
    assert plan.rows == [0, 3, 4, 5]
    assert plan.order.tolist() == [0, 1, 2, 3, 4]
    assert plan.targets == [1, 2, 2, 3] and plan.sizes == [2, 1, 1, 1]
    assert plan.pull.tolist() == [0, 1, 1, 0]  # level 2: leaf 2 arrived first, node 3 is the first child
    assert plan.roots.tolist() == [0] and all(plan.plain)


@given(segments())
def test_steps_keep_running_segments_in_front(s: Segments):
    plan = step_schedule(s)
    assert plan.sizes == sorted(plan.sizes, reverse=True) and sum(plan.sizes) == s.num_rows
    assert torch.equal(plan.rows[plan.back], torch.arange(s.num_rows))
    at = 0
    for t, size in enumerate(plan.sizes):
        expected = [int(s.ptr[i]) + t for i in plan.segment_order.tolist() if s.lengths[i] > t]
        assert plan.rows[at : at + size].tolist() == expected
        at += size
