"""tree_scan on forests of every shape, 200,000 nodes x 64, beside level schedules; Newton on deep recursions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.registry import Case, Form, measure
from structnet.kernels import tree_scan
from structnet.kernels.tree_scan import cpu
from structnet.kernels.tree_scan.op import plan_for
from structnet.newton import Newton, NewtonReport
from structnet.recursion import fold_tree, scan_segments
from structnet.schedules import heavy_paths as schedules
from structnet.schedules.levels import reversed_tree
from structnet.structures import Segments, Tree

NODES, WIDTH = 200_000, 64
BYTES = NODES * WIDTH * 4
TESTS = "tests/kernels/test_tree_scan.py tests/schedules/test_heavy_paths.py"
NEWTON = "tests/test_newton.py"


def shuffled(parent: Tensor) -> Tensor:
    row = torch.randperm(len(parent), generator=torch.Generator().manual_seed(1))
    moved = torch.empty_like(parent)
    moved[row] = row[parent]
    return moved


def shapes() -> dict[str, Callable[[], Tree]]:
    """Rows as the builder of each shape leaves them; `shuffled`: in random order. Seed 0."""
    node, generator = torch.arange(NODES), torch.Generator().manual_seed(0)
    heap = (node - 1).clamp(min=0) // 2
    return {
        "balanced": lambda: Tree.from_parents(heap),
        "balanced-shuffled": lambda: Tree.from_parents(shuffled(heap)),
        "parse-trees": lambda: Tree.random(Segments.from_lengths(torch.full((NODES // 39,), 20)), generator),
        "random-recursive": lambda: Tree.from_parents((torch.rand(NODES, generator=generator) * node).long()),
        "caterpillar": lambda: Tree.left_branching(Segments.from_lengths(torch.tensor([NODES // 2]))),
        "path": lambda: Tree.from_parents((node + 1).clamp(max=NODES - 1)),
    }


def rows(tree: Tree) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(tree.num_nodes, WIDTH, generator=generator) / 2
    return weight, torch.randn(tree.num_nodes, WIDTH, generator=generator)


def by_depth(weight: Tensor, x: Tensor, tree: Tree, given: bool) -> Form:
    """A level schedule as good as torch's operations allow: rows sorted by depth once, every level a slice, one
    `index_add_` a level; the gathers at the door are left out where the rows are in that order already. `given`: all
    that it writes is memory in use."""
    depth = torch.from_numpy(reversed_tree(tree).heights)
    order = depth.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    ends = depth.bincount().cumsum(0).tolist()
    starts, sorted_already = [0, *ends[:-1]], torch.equal(order, rank)
    parent = rank[tree.parent[order]]
    buffers = [torch.zeros_like(x) if given else None for _ in range(4)]

    def run() -> Tensor:
        if sorted_already:
            w, h = weight, buffers[0].copy_(x) if given else x.clone()  # type: ignore[union-attr]
        else:
            w, h = (torch.index_select(t, 0, order, out=out) for t, out in ((weight, buffers[1]), (x, buffers[0])))
        for level in range(len(ends) - 1, 0, -1):
            a, b, above = starts[level], ends[level], starts[level - 1]
            sent = torch.mul(w[a:b], h[a:b], out=buffers[2][a:b] if given else None)  # type: ignore[index]
            h[above:a].index_add_(0, parent[a:b] - above, sent)
        return h if sorted_already else torch.index_select(h, 0, rank, out=buffers[3])

    return run


def into_given(weight: Tensor, x: Tensor, tree: Tree) -> Form:
    plan, links = plan_for(tree, x), [tree.parent, tree.child_ptr, tree.child_index]
    out = torch.zeros_like(x)
    return lambda: cpu.tree_scan(weight, x, links, plan.layout, plan.marks, False, out=out)[0]


def height(tree: Tree) -> str:
    return f"{tree.num_nodes} nodes x {WIDTH} float32, {int(tree.heights.max()) + 1} levels, " \
           f"{len(schedules.heavy_paths(tree).rounds) - 1} rounds"  # fmt: skip


def up(shape: str) -> Case:
    tree = shapes()[shape]()
    weight, x = rows(tree)
    forms: dict[str, Form] = {
        "structnet, output given": into_given(weight, x, tree),
        "level schedule, output given": by_depth(weight, x, tree, True),
        "structnet tree_scan, fresh": lambda: tree_scan(weight, x, tree),
        "level schedule, fresh": by_depth(weight, x, tree, False),
    }

    def check() -> None:
        first, *others = (form().clone() for form in forms.values())
        for other in others:
            torch.testing.assert_close(first, other, rtol=1e-4, atol=1e-4)

    return Case(forms, check, 3 * tree.num_nodes * WIDTH * 4, tree.num_nodes, height(tree))


for _shape in shapes():
    if _shape != "path":  # 200,000 levels one by one: twice the caterpillar's seconds
        measure(f"tree_scan/up/{_shape}", TESTS, 1 if _shape == "caterpillar" else 5)(lambda s=_shape: up(s))


def all_shapes(call: Callable[[Tree], Form], traffic: int) -> Case:
    """One op on all shapes, interleaved; the balanced tree first, for the ratios to it."""
    return Case({name: call(make()) for name, make in shapes().items()}, lambda: None, traffic, NODES,
                f"{NODES} nodes x {WIDTH} float32")  # fmt: skip


@measure("tree_scan/shapes/up", TESTS, repeats=7)
def shapes_up() -> Case:
    def form(tree: Tree) -> Form:
        weight, x = rows(tree)
        return lambda: tree_scan(weight, x, tree)

    return all_shapes(form, 3 * BYTES)


@measure("tree_scan/shapes/given", TESTS, repeats=9)
def shapes_given() -> Case:
    return all_shapes(lambda tree: into_given(*rows(tree), tree), 3 * BYTES)


@measure("tree_scan/shapes/down", TESTS, repeats=7)
def shapes_down() -> Case:
    def form(tree: Tree) -> Form:
        weight, x = rows(tree)
        return lambda: tree_scan(weight, x, tree, downwards=True)

    return all_shapes(form, 3 * BYTES)


@measure("tree_scan/shapes/backward", TESTS, repeats=5)
def shapes_backward() -> Case:
    def form(tree: Tree) -> Form:
        inputs = [t.requires_grad_() for t in rows(tree)]
        out, cotangent = tree_scan(inputs[0], inputs[1], tree), torch.randn(tree.num_nodes, WIDTH)
        return lambda: torch.autograd.grad(out, inputs, cotangent, retain_graph=True)

    return all_shapes(form, 5 * BYTES)


@measure("tree_scan/decomposition", TESTS, repeats=5)
def decomposition() -> Case:
    """Heavy paths of a fresh structure, and the order of rows that the CPU form wants."""

    def form(build: Callable[[Tree], object]) -> Callable[[Tree], Form]:
        return lambda tree: lambda: build(Tree.trusted(tree.child_ptr, tree.child_index, tree.ptr))

    paths = all_shapes(form(schedules.heavy_paths), 0).forms
    orders = all_shapes(form(lambda tree: schedules.subtree_order(tree, 1)), 0).forms
    forms = {f"heavy paths, {name}": f for name, f in paths.items()}
    forms |= {f"order of rows, {name}": f for name, f in orders.items()}
    return Case(forms, lambda: None, 0, NODES, f"{NODES} nodes, structure alone")


DEEP = 100_000


class Elementwise(nn.Module):
    """tanh(weight * sum of the children + bias)."""

    arity = None

    def forward(self, children: Tensor | None, segments: Segments, x: tuple[Tensor, Tensor]) -> Tensor:
        weight, bias = x
        if children is None:
            return torch.tanh(bias)
        total = torch.zeros_like(bias).index_add(0, segments.index, children)
        return torch.tanh(bias + weight * total)


def newton(run: Callable[[Newton | None], Tensor], solver: dict, wanted: list[Tensor], what: str, plain: bool) -> Case:
    """Forward and backward by Newton, and where asked by the plain driver, which takes its time."""
    reports: list[NewtonReport] = []

    def step(chosen: Newton | None) -> tuple[Tensor, ...]:
        out = run(chosen)
        return out, *torch.autograd.grad(out.sum(), wanted)

    step(Newton(**solver, report=reports.append))
    states, gradients = reports
    note = f"{what}, forward + backward; {states.iterations} iterations to residual {states.residuals[-1]:.1e}, "
    note += f"{gradients.iterations + 1} transposed scans"
    forms: dict[str, Form] = {"Newton": lambda: step(Newton(**solver))}
    if plain:
        forms["plain driver"] = lambda: step(None)

    def check() -> None:
        assert states.converged and gradients.converged
        for one, other in zip(*(form() for form in forms.values())) if plain else ():
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * max(1.0, float(other.detach().abs().max())))

    return Case(forms, check, 0, DEEP, note)


def elementwise(tree: Tree, spread: float, what: str, plain: bool) -> Case:
    generator = torch.Generator().manual_seed(0)
    weight = ((2 * torch.rand(tree.num_nodes, 16, generator=generator) - 1) * spread).requires_grad_()
    bias = torch.randn(tree.num_nodes, 16, generator=generator).requires_grad_()

    def run(solver: Newton | None) -> Tensor:
        return fold_tree(Elementwise(), None, tree, (weight, bias), return_all=True, solver=solver)  # type: ignore

    what = f"{what}, {tree.num_nodes} nodes x 16 float32, tanh(w * children + b), w uniform in +-{spread}"
    return newton(run, {"coupling": 1}, [weight, bias], what, plain)


for _spread in (0.5, 0.9, 1.5):
    measure(f"newton/path/{_spread}", NEWTON, repeats=1)(
        lambda s=_spread: elementwise(
            Tree.from_parents((torch.arange(DEEP) + 1).clamp(max=DEEP - 1)), s, "path", plain=s == 0.9
        )
    )
measure("newton/caterpillar/0.9", NEWTON, repeats=1)(
    lambda: elementwise(
        Tree.left_branching(Segments.from_lengths(torch.tensor([DEEP // 2]))), 0.9, "caterpillar", plain=False
    )
)


@measure("newton/gru", NEWTON, repeats=1)
def gru() -> Case:
    """A dense cell: whole Jacobians in blocks of 8. The plain driver hands torch's GRUCell to `segment_rnn`."""
    cell, segments = nn.GRUCell(8, 8), Segments.from_lengths(torch.tensor([DEEP]))
    x = torch.randn(DEEP, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def run(solver: Newton | None) -> Tensor:
        return scan_segments(cell, x, segments, solver=solver)[0]  # type: ignore[return-value]

    what = f"one sequence of {DEEP} steps, GRUCell(8, 8) float32"
    return newton(run, {"block": 8}, [x, *cell.parameters()], what, True)
