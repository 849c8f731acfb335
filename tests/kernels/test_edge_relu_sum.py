import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.errors import StructureError
from structnet.kernels.edge_relu_sum import edge_relu_sum, op, reference, torch_form
from structnet.structures import Segments
from structnet.structures.neighbours import Neighbours
from tests.kernels.conftest import TOLERANCE, WIDTHS, agree, normal

GRAPHS = {  # edges into 0 .. 4 of five nodes
    "mixed": [[0, 1, 4, 2, 2, 3, 0], [0, 0, 0, 2, 2, 4, 4]],
    "unsorted": [[0, 3, 1, 4, 2, 0], [4, 1, 0, 4, 1, 0]],
    "none": [[], []],
    "one": [[4], [0]],
    "hub": [[0, 1, 2, 3, 4] * 30, [3] * 150],
}


def arguments(edges, width=6, dtype=torch.float64, with_edge=True):
    graph = Neighbours.from_edges(torch.tensor(edges, dtype=torch.int64), 5)
    source, target = normal(5, width, dtype=dtype), normal(5, width, dtype=dtype, seed=7)
    edge = normal(graph.num_edges, width, dtype=dtype, seed=9).requires_grad_() if with_edge else None
    return source.requires_grad_(), target.requires_grad_(), graph, edge


def slow(source, target, graph, edge=None):
    edge = None if edge is None else graph.sorted(edge)
    return reference.edge_relu_sum(source, target, edge, graph.sender, graph.ptr)


def torch_op(source, target, graph, edge=None):
    edge = None if edge is None else graph.sorted(edge)
    return torch_form.edge_relu_sum(source, target, edge, graph.sender, graph.ptr)


FORMS = {"op": edge_relu_sum, "torch": torch_op}


def test_three_nodes_by_hand():
    graph = Neighbours.from_edges(torch.tensor([[0, 1, 2], [2, 2, 0]]), 3)
    source, target = torch.tensor([[1.0], [-3.0], [5.0]]), torch.tensor([[-4.0], [9.0], [2.0]])
    assert edge_relu_sum(source, target, graph).flatten().tolist() == [1, 0, 3]  # 5 - 4; no edge; (1 + 2) + 0
    edge = torch.tensor([[0.0], [2.0], [-3.0]])
    assert edge_relu_sum(source, target, graph, edge).flatten().tolist() == [0, 0, 4]  # -2; no edge; 3 + 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("with_edge", [False, True])
@pytest.mark.parametrize("edges", GRAPHS.values(), ids=GRAPHS)
def test_graphs(form, with_edge, edges):
    source, target, graph, edge = arguments(edges, with_edge=with_edge)
    inputs = [source, target, *([edge] if with_edge else [])]
    agree(FORMS[form](source, target, graph, edge), slow(source, target, graph, edge), inputs, 1e-10)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", [*WIDTHS, 300])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_widths_and_types(form, width, dtype):
    source, target, graph, edge = arguments(GRAPHS["mixed"], width, dtype)
    wide = [t.detach().double().requires_grad_() for t in (source, target, edge)]
    expected = slow(wide[0], wide[1], graph, wide[2])
    out = FORMS[form](source, target, graph, edge)
    torch.testing.assert_close(out, expected.to(dtype), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    if dtype != torch.bfloat16:
        agree(out.double(), expected, [], TOLERANCE[dtype])
        got, want = (torch.autograd.grad(o.sum(), i) for o, i in ((out, (source, target, edge)), (expected, wide)))
        for one, other in zip(got, want, strict=True):
            torch.testing.assert_close(one, other.to(dtype), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=20), st.booleans())
def test_any_edges(pairs, with_edge):
    edges = [list(side) for side in zip(*pairs)] or [[], []]
    source, target, graph, edge = arguments(edges, 3, with_edge=with_edge)
    inputs = [source, target, *([edge] if with_edge else [])]
    agree(edge_relu_sum(source, target, graph, edge), slow(source, target, graph, edge), inputs, 1e-10)


@pytest.mark.parametrize("with_edge", [False, True])
def test_gradcheck_twice_and_opcheck(with_edge):
    source, target, graph, edge = arguments(GRAPHS["unsorted"], 2, with_edge=with_edge)
    inputs = (source, target, *([edge] if with_edge else []))
    call = lambda s, t, e=None: edge_relu_sum(s, t, graph, e)  # noqa: E731
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)
    torch.use_deterministic_algorithms(False)
    sorted_edge = None if edge is None else graph.sorted(edge).detach().requires_grad_()
    raw = (source, target, sorted_edge, graph.sender, graph.ptr)
    torch.library.opcheck(torch.ops.structnet.edge_relu_sum.default, raw)


def test_compile_without_a_graph_break():
    source, target, graph, edge = arguments(GRAPHS["unsorted"], 3)
    compiled = torch.compile(lambda s, t, e: edge_relu_sum(s, t, graph, e).sin(), fullgraph=True, backend="aot_eager")
    expected = edge_relu_sum(source, target, graph, edge).sin()
    agree(compiled(source, target, edge), expected, [source, target, edge], 1e-12)


def test_the_same_bits_with_two_threads_and_the_same_values_without_the_library(monkeypatch):
    graph = Neighbours.complete(Segments.from_lengths(torch.tensor([40, 1, 70, 0, 3])), loops=True)
    source, target = (normal(114, 100, dtype=torch.float32, seed=s).requires_grad_() for s in (0, 1))

    def both():
        out = edge_relu_sum(source, target, graph)
        return out, *torch.autograd.grad(out.sin().sum(), (source, target))

    one = both()
    torch.set_num_threads(2)
    two = both()
    torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(one, two))
    monkeypatch.setattr(op, "compiled_for", lambda x: None)
    for a, b in zip(both(), one):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_nan_is_not_hidden():
    source, target, graph, _ = (None if t is None else t for t in arguments(GRAPHS["mixed"], 2, with_edge=False))
    source = source.detach().clone()
    source[3] = torch.nan
    for form in FORMS.values():
        assert form(source, target, graph)[:, 0].isnan().tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda s, t, g: edge_relu_sum(s[:4], t, g), "source [5, H]"),
        (lambda s, t, g: edge_relu_sum(s, t, g, s), "edge [7, 6]"),
        (lambda s, t, g: Neighbours.from_edges(torch.tensor([[0], [5]]), 5), "node numbers 0 .. 4"),
        (lambda s, t, g: Neighbours.from_edges(torch.tensor([0, 1]), 5), "edge_index [2, E]"),
    ],
)
def test_bad_calls(call, words):
    with pytest.raises(StructureError) as error:
        call(*arguments(GRAPHS["mixed"])[:3])
    assert words in str(error.value)


@pytest.mark.parametrize("with_edge", [False, True])
@pytest.mark.parametrize("edges", [GRAPHS["unsorted"], GRAPHS["none"]], ids=["unsorted", "none"])
def test_the_triton_form(edges, with_edge):
    pytest.importorskip("triton")
    from structnet.kernels.edge_relu_sum import triton_form

    device = "cuda" if torch.cuda.is_available() else "cpu"  # the interpreter, without a GPU
    source, target, graph, edge = (t if t is None else t.to(device) for t in arguments(edges, 3, with_edge=with_edge))
    given = (source.detach(), target.detach(), None if edge is None else graph.sorted(edge).detach())
    given = (*given, graph.sender, graph.ptr)
    torch.testing.assert_close(triton_form.forward(*given), torch_form.edge_relu_sum(*given), rtol=1e-12, atol=1e-12)
    grad = normal(5, 3, seed=4).to(device)
    for one, other in zip(triton_form.backward(grad, *given), torch_form.backward(grad, *given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_narrow_node_numbers_and_types_that_differ():
    edges = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 2]])
    x = normal(3, 4)
    wide, narrow = (edge_relu_sum(x, x, Neighbours.from_edges(e, 3)) for e in (edges, edges.int()))
    assert torch.equal(wide, narrow)
    with pytest.raises(StructureError, match="integer dtype"):
        Neighbours.from_edges(edges.double(), 3)
    for source, target, edge in ((x.float(), x, None), (x, x.float(), None), (x, x, normal(4, 4).float())):
        with pytest.raises(StructureError, match="of one dtype"):
            edge_relu_sum(source, target, Neighbours.from_edges(edges, 3), edge)
