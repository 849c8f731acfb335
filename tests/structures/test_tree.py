import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from structnet.errors import StructureError
from structnet.schedules import level_schedule
from structnet.structures import Segments, Tree, topology
from structnet.structures.tree_data import TreeData
from tests.strategies import children_of, segments, structures

BUILDERS = (Tree.left_branching, Tree.right_branching, Tree.balanced, Tree.random)


def spans(tree: Tree) -> list[tuple[int, ...]]:
    """Leaves below each node, in order, by plain recursion."""
    children, leaves = children_of(tree), {row: at for at, row in enumerate(tree.leaves.tolist())}

    def below(node: int) -> tuple[int, ...]:
        return (leaves[node],) if not children[node] else sum((below(c) for c in children[node]), ())

    return [below(node) for node in range(tree.num_nodes)]


def test_three_nodes_by_hand():
    tree = Tree(torch.tensor([0, 2, 2, 2]), torch.tensor([2, 1]))
    assert children_of(tree) == [[2, 1], [], []]
    assert tree.roots.tolist() == [0] and tree.leaves.tolist() == [1, 2] and tree.parent.tolist() == [0, 0, 0]
    assert tree.heights.tolist() == [1, 0, 0] and tree.arity.tolist() == [2, 0, 0]


@pytest.mark.parametrize("build, inner", [(Tree.left_branching, [[0, 1], [4, 2], [5, 3]]),
                                          (Tree.right_branching, [[2, 3], [1, 4], [0, 5]]),
                                          (Tree.balanced, [[0, 1], [2, 3], [4, 5]])])
def test_four_leaves_by_hand(build, inner):
    assert children_of(build(Segments.from_lengths(torch.tensor([4]))))[4:] == inner


@given(segments())
def test_builders_keep_the_order_of_leaves(s: Segments):
    for build in BUILDERS:
        tree = build(s)
        tree = Tree(tree.child_ptr, tree.child_index, tree.ptr)  # with all checks
        below = spans(tree)
        filled = [n for n in s.lengths.tolist() if n]
        assert [len(below[root]) for root in tree.roots.tolist()] == filled
        assert sum((below[root] for root in tree.roots.tolist()), ()) == tuple(range(s.num_rows))
        assert torch.equal(tree.ptr.diff(), (2 * s.lengths - 1).clamp(min=0))
        # leaves first, the root last, children before parents
        for first, n in zip(tree.ptr.tolist(), s.lengths.tolist()):
            assert tree.arity[first : first + n].sum() == 0
        assert all(max(c) < v for v, c in enumerate(children_of(tree)) if c)


def test_balanced_is_flat_and_random_is_uniform():
    s = Segments.from_lengths(torch.tensor([1000]))
    assert Tree.balanced(s).heights.max() == 10
    generator = torch.Generator().manual_seed(0)
    many = Tree.random(Segments.from_lengths(torch.full((3000,), 4)), generator)
    roots = many.child_index.view(-1, 2)[2::3] - many.ptr[:-1, None]  # the last inner node of each tree
    sizes = torch.where(roots[:, 0] < 4, 1, torch.where(roots[:, 1] < 4, 3, 2))
    assert (torch.bincount(sizes)[1:] - 1000).abs().max() < 120  # a split after 1, 2 or 3 leaves is equally likely
    again = Tree.random(Segments.from_lengths(torch.full((3000,), 4)), torch.Generator().manual_seed(0))
    assert torch.equal(many.child_index, again.child_index)


@given(structures(dag=True))
def test_heights_are_longest_ways_down(tree: Tree):
    children = children_of(tree)

    def height(node: int) -> int:
        return 1 + max(map(height, children[node])) if children[node] else 0

    assert tree.heights.tolist() == [height(v) for v in range(tree.num_nodes)]


@given(structures())
def test_heights_of_forests_both_ways(tree: Tree):
    from structnet.schedules.levels import reversed_tree

    parent = tree.parent.tolist()

    def depth(node: int) -> int:
        return 0 if parent[node] == node else 1 + depth(parent[node])

    assert reversed_tree(tree).heights.tolist() == [depth(v) for v in range(tree.num_nodes)]


@given(structures(dag=True), st.booleans())
def test_both_forms_of_heights_agree(tree: Tree, close: bool):
    """With `close` a leaf gets its own parent as a child: a cycle."""
    child_ptr, child_index = tree.child_ptr.numpy(), tree.child_index.numpy()
    if close and len(child_index):
        edge = np.flatnonzero(np.diff(child_ptr)[child_index] == 0)[0]
        leaf, above = child_index[edge], int(tree.source[edge])
        child_index = np.insert(child_index, child_ptr[leaf], above)
        child_ptr = child_ptr + (np.arange(len(child_ptr)) > leaf)
    native = topology.library()
    assert native is not None
    plain, compiled = topology._plain(child_ptr, child_index), topology._compiled(native, child_ptr, child_index)
    closed = close and len(child_index) > 0
    assert (plain.min() < 0) == (compiled.min() < 0) == closed
    assert closed or (plain == compiled).all()


@pytest.mark.parametrize("form", ["compiled", "numpy"])
def test_the_node_named_lies_on_the_cycle(form, monkeypatch):
    if form == "numpy":
        monkeypatch.setattr(topology, "library", lambda: None)
    # 0 -> 1 -> 2 -> 3 -> 1, with 4 below 3 and 5 below 4; rows with one parent (a forest but for the cycle), and a DAG
    edges = [(0, 1), (1, 2), (2, 3), (3, 1), (3, 4), (4, 5)]
    for more in ([], [(0, 4)]):
        pairs = torch.tensor(edges + more)
        with pytest.raises(StructureError, match=r"node [123] among its own"):
            Tree.from_edges(pairs[:, 0], pairs[:, 1], 6)
    with pytest.raises(StructureError, match=r"node [12] among its own"):  # every parent once
        Tree.from_edges(torch.tensor([1, 2, 0]), torch.tensor([2, 1, 1]), 3)


def test_a_deep_dag_and_a_chain_of_100000_take_one_pass():
    n = 100_000
    parents = torch.arange(2, n).repeat(2)
    tree = Tree.from_edges(parents, torch.cat([torch.arange(1, n - 1), torch.arange(n - 2)]), n)
    assert tree.heights[-1] == n - 2 and level_schedule(tree).num_levels == n - 1


def test_a_chain_of_100000_needs_no_recursion():
    tree = Tree.left_branching(Segments.from_lengths(torch.tensor([50_000])))
    assert tree.heights.max() == 49_999


@given(st.lists(structures(dag=True), min_size=1, max_size=4))
def test_batch_and_unbatch_are_inverse(trees):
    for before, after in zip(trees, Tree.batch(trees).unbatch(), strict=True):
        assert torch.equal(before.child_ptr, after.child_ptr) and torch.equal(before.child_index, after.child_index)
        assert torch.equal(before.ptr, after.ptr)


@given(st.lists(structures(), min_size=1, max_size=4))
def test_round_trip_through_pyg(trees):
    data = [t.to_data(x=torch.arange(t.num_nodes), parent=t.parent, root=t.roots[:1]) for t in trees]
    batch = next(iter(DataLoader(data, batch_size=len(data))))
    expected = Tree.batch(trees)
    assert isinstance(batch, TreeData)
    assert torch.equal(batch.tree.child_index, expected.child_index)
    assert torch.equal(batch.tree.ptr, expected.ptr)
    assert torch.equal(batch.parent, expected.parent)
    first = torch.tensor([int(expected.ptr[b]) + int(t.roots[0]) for b, t in enumerate(trees)])
    assert torch.equal(batch.root, first)
    for before, after in zip(trees, batch.to_data_list(), strict=True):
        assert torch.equal(before.child_index, after.tree.child_index)
        assert torch.equal(before.parent, after.parent)


def test_from_plain_pyg_data():
    data = Data(edge_index=torch.tensor([[1, 2, 3], [0, 0, 1]]), num_nodes=4)
    assert children_of(Tree.from_data(Batch.from_data_list([data, data])))[4:] == [[5, 6], [7], [], []]


def test_as_many_nodes_as_the_edges_name():
    none = P([], dtype=torch.int64)
    assert children_of(Tree.from_edges(P([0, 0]), P([1, 3]), None)) == [[1, 3], [], [], []]
    assert children_of(Tree.from_edges(P([2, 2]), P([0, 1]))) == [[], [], [0, 1]]
    assert Tree.from_edges(none, none, None).num_nodes == 0


def test_from_brackets_and_tuples():
    tree, labels = Tree.from_brackets("[MAX 2 9 [MIN 4 7 ] 0 ]", labelled=True)
    assert labels == ["MAX", "2", "9", "MIN", "4", "7", "0"] and children_of(tree)[0] == [1, 2, 3, 6]
    bare, words = Tree.from_brackets(["((a b) c)", "d"])
    assert words == [None, None, "a", "b", "c", "d"] and bare.num_trees == 2 and bare.roots.tolist() == [0, 5]
    assert tree.to_brackets(labels) == ["(MAX 2 9 (MIN 4 7) 0)"] and bare.to_brackets(words) == ["(( a b) c)", "d"]
    same, values = Tree.from_tuples((("a", "b"), "c"))
    assert values == words[:5] and torch.equal(same.child_index, bare.unbatch()[0].child_index)
    deep = None
    for _ in range(20_000):
        deep = (deep, 1)
    chain, labels = Tree.from_tuples(deep)
    assert chain.heights.max() == 20_000 and len(chain.to_brackets(labels)[0]) == 20_000 * len('( 1)') + len('()')


@given(structures())
def test_brackets_both_ways(tree: Tree):
    again, rows = Tree.from_brackets(tree.to_brackets(range(tree.num_nodes)), labelled=True)
    children = children_of(tree)
    for node, below in enumerate(children_of(again)):
        assert [int(rows[child]) for child in below] == children[int(rows[node])]
    assert [int(rows[root]) for root in again.roots] == tree.roots.tolist()


@given(structures(), st.data())
def test_names_come_back_from_brackets(tree: Tree, data):
    """Some rows have no name, leaves among them."""
    names = [data.draw(st.sampled_from((None, f"n{row}"))) for row in range(tree.num_nodes)]
    numbered, rows = Tree.from_brackets(tree.to_brackets(range(tree.num_nodes)), labelled=True)
    again, labels = Tree.from_brackets(tree.to_brackets(names), labelled=True)
    assert labels == [names[int(row)] for row in rows] and children_of(again) == children_of(numbered)


@pytest.mark.parametrize("text", ["( a b)", "()", "(())", "(( a b) c)", "((() a) (X ()) ( y (Z w)))"])
def test_nameless_brackets_both_ways(text):
    for labelled in (True, False):
        tree, labels = Tree.from_brackets(text, labelled=labelled)
        again, names = Tree.from_brackets(tree.to_brackets(labels), labelled=labelled)
        assert names == labels and children_of(again) == children_of(tree)
        assert not labelled or tree.to_brackets(labels) == [text]
    empty, labels = Tree.from_tuples(())
    assert labels == [None] and empty.to_brackets(labels) == ["()"]


def test_networkx_both_ways():
    graph = nx.DiGraph([("s", "np"), ("s", "vp"), ("vp", "v"), ("vp", "np")])  # np has two parents: a DAG
    tree, names = Tree.from_networkx(graph)
    assert names == ["s", "np", "vp", "v"] and children_of(tree) == [[1, 2], [], [3, 1], []]
    assert nx.is_isomorphic(tree.to_networkx(), graph)


P = torch.tensor


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: Tree.from_parents(P([1, 2, 0])), "among its own descendants"),
        (lambda: Tree.from_edges(P([0, 1, 1, 2]), P([1, 2, 3, 0]), 4), "among its own descendants"),
        (lambda: Tree.from_edges(P([0, 0, 1]), P([1, 1, 0]), 2), "among its own descendants"),
        (lambda: Tree(P([0, 1]), P([5])), "child_index[0] = 5"),
        (lambda: Tree(P([0, 1, 1]), P([-1])), "child_index[0] = -1"),
        (lambda: Tree(P([0, 1, 1, 1]), P([2]), P([0, 2, 3])), "node 0 of tree 0 with child 2 of tree 1"),
        (lambda: Tree(P([0, 0, 0]), P([], dtype=torch.int64), P([1, 2])), "ptr to start at 0"),
        (lambda: Tree(P([0, 0, 0]), P([], dtype=torch.int64), P([0, 2, 1])), "never decreases"),
        (lambda: Tree(P([0, 0, 0]), P([], dtype=torch.int64), P([0, 1])), "ptr to end at 2"),
        (lambda: Tree(P([0.0, 1.0]), P([0])), "integer dtype"),
        (lambda: Tree.from_parents(P([float("nan"), 0.0])), "NaN"),
        (lambda: Tree(P([0, 0]), torch.empty(0, dtype=torch.int64, device="meta")), "child_index on cpu"),
        (lambda: Tree.from_parents(P([0, 1])).root_per_tree, "2 roots in tree 0"),
        (lambda: Tree.from_edges(P([0, 1]), P([2, 2]), 3).parent, "node 2 with 2 parents"),
        (lambda: Tree.from_edges(P([0, 0]), P([1]), 2), "2 sources, 1 children"),
        (lambda: Tree.from_data(Data(num_nodes=2)), "an edge_index"),
        (lambda: Tree.from_data(Data(edge_index=P([[1], [0], [0]]), num_nodes=2)), "got shape (3, 1)"),
        (lambda: Tree.from_data(Data(edge_index=P([1, 0]), num_nodes=2)), "got shape (2,)"),
        (lambda: Tree.from_edges(P([-1]), P([0]), None), "source[0] = -1"),
        (lambda: Tree.from_networkx(nx.path_graph(3)), "a networkx.DiGraph"),
        (lambda: Tree.from_brackets([]), "at least one text"),
        (lambda: Tree.batch([]), "at least one tree"),
        (lambda: Tree.from_brackets("((a b)"), "1 still open"),
        (lambda: Tree.from_brackets("(a b]"), "']' at character 4"),
    ],
)
def test_bad_input_says_expected_got_try(call, words):
    with pytest.raises(StructureError) as error:
        call()
    text = str(error.value)
    assert words in text and "; got " in text and "; try " in text
