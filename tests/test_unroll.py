"""The driver of snapshots: same as a loop, truncated gradients, constant memory, moving node sets."""

import pytest
import torch
from torch_geometric.data import Data

from structnet.errors import StructureError
from structnet.models.evolving_graph import EvolvingGraph, GraphState
from structnet.models.gcrn import GCRN
from structnet.unroll import carry_rows, detach, stream, truncated, unroll_snapshots
from tests.graphs import random_graph, with_x


def leaky(x, state):
    """h' = h / 2 + x: every gradient is a power of two."""
    h = x if state is None else state[0] / 2 + x
    return h, (h,)


def steps(count):
    return [torch.tensor([float(t)], requires_grad=True) for t in range(count)]


def test_by_hand():
    out, (last,) = unroll_snapshots(leaky, [torch.tensor(4.0), torch.tensor(2.0), torch.tensor(1.0)])
    assert [float(o) for o in out] == [4.0, 4.0, 3.0] and last is out[-1]
    assert unroll_snapshots(leaky, [], state="kept") == ([], "kept")
    assert float(unroll_snapshots(leaky, iter([torch.tensor(1.0)]), (torch.tensor(6.0),))[0][0]) == 4.0


def test_truncated_gradients_stop_at_the_pieces():
    xs = steps(5)
    sizes = []
    for outputs, _ in truncated(leaky, iter(xs), every=2):
        sizes.append(len(outputs))
        outputs[-1].sum().backward()
    assert sizes == [2, 2, 1]
    assert [float(x.grad) for x in xs] == [0.5, 1.0, 0.5, 1.0, 1.0]
    whole = unroll_snapshots(leaky, steps(5))[0]
    pieces = [out for outputs, _ in truncated(leaky, steps(5), every=2) for out in outputs]
    assert torch.equal(torch.cat(whole), torch.cat(pieces))
    assert list(truncated(leaky, [], every=2)) == []
    with pytest.raises(StructureError, match="every=0"):
        list(truncated(leaky, xs, every=0))


def test_detach_keeps_the_nesting():
    x = torch.ones(1, requires_grad=True)
    one, (two, nothing) = detach((x * 1, [x * 2, None]))
    assert one.grad_fn is None and two.grad_fn is None and nothing is None


def test_named_tuples_stay_what_they_are():
    model, xs = EvolvingGraph(2), list(torch.randn(5, 3, 2))
    pieces = list(truncated(model, xs, every=2))
    assert [type(state) for _, state in pieces] == [GraphState] * 3
    out = torch.stack([out for outputs, _ in pieces for out in outputs])
    assert torch.equal(out, torch.stack(unroll_snapshots(model, xs)[0]))
    state = detach(pieces[-1][1])
    assert type(state) is GraphState and not any(part.requires_grad for part in state)


def test_a_stream_holds_one_state():
    """10,000 steps: every snapshot and output but the last is free again at once."""
    import weakref

    generator = torch.Generator().manual_seed(0)
    graph = random_graph(4, 6, generator)
    model = GCRN(2, 3).double()
    alive: list[weakref.ref] = []

    def snapshots():
        for _ in range(10_000):
            data = with_x(graph, 2, generator=generator)
            alive.append(weakref.ref(data.x))
            yield data

    count = 0
    for out, state in stream(model, snapshots()):
        count += 1
        assert out.grad_fn is None and state[0][0].grad_fn is None
        if count % 1000 == 0:
            assert sum(ref() is not None for ref in alive) <= 2
    assert count == 10_000


def test_rows_follow_their_nodes():
    state = ((torch.tensor([[1.0], [2.0], [3.0]]), None),)
    ((moved, nothing),) = carry_rows(state, torch.tensor([7, 3, 5]), torch.tensor([5, 9, 7, 1]))
    assert moved.tolist() == [[3.0], [0.0], [1.0], [0.0]] and nothing is None
    assert carry_rows(torch.zeros(0, 2), torch.empty(0, dtype=torch.int64), torch.tensor([4])).tolist() == [[0.0, 0.0]]
    assert carry_rows(torch.ones(2, 1), torch.tensor([1, 2]), torch.empty(0, dtype=torch.int64)).shape == (0, 1)
    for rows, ids in ((3, [1, 2]), (1, [1, 2]), (1, [])):
        with pytest.raises(StructureError, match=rf"a state of {len(ids)} rows, one per id; got shape \({rows}, 1\)"):
            carry_rows((torch.ones(rows, 1), None), torch.tensor(ids, dtype=torch.int64), torch.tensor([1]))
    with pytest.raises(StructureError, match="distinct node ids"):
        carry_rows(torch.ones(2, 1), torch.tensor([1, 1]), torch.tensor([1]))


def test_a_series_whose_nodes_come_and_go():
    """Nodes without edges do not hear of each other: each one's outputs are those of its own series."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    model = GCRN(2, 3).double()
    x = torch.randn(3, 4, 2, dtype=torch.float64, generator=generator)  # 3 nodes, 4 steps
    nobody = torch.empty(2, 0, dtype=torch.int64)
    present = [[0, 1], [2, 0], [0, 2], [2, 0]]  # 1 leaves, 2 comes
    state, ids, out = None, None, torch.empty(0)
    for t, nodes in enumerate(map(torch.tensor, present)):
        state = state if ids is None else carry_rows(state, ids, nodes)
        out, state = model(Data(x=x[nodes, t], edge_index=nobody), state)
        ids = nodes
    alone = model.series(Data(x=x[:1], edge_index=nobody))[0]
    late = model.series(Data(x=x[2:, 1:], edge_index=nobody))[0]
    torch.testing.assert_close(out, torch.stack([late[0, -1], alone[0, -1]]), rtol=0, atol=1e-12)
