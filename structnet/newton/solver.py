"""Newton's method as an option of the drivers.

A recursion `h_v = F_v(h of the nodes before v)` is a system of equations for all h together. Newton's step linearises
it at the present guess, and what is left is a linear recursion over the same structure, which a scan solves without a
loop over levels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.kernels import block_scan, segment_scan, tree_scan
from structnet.newton.system import NewtonReport, Settings, System
from structnet.recursion import Cell, fold_tree, scan_segments, unfold_tree
from structnet.states import State, select, state_map
from structnet.structures import Segments, Tree

Plain = Callable[["State | None"], State]
Linear = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Newton:
    """`solver=Newton()` for `fold_tree`, `unfold_tree` (forests) and `scan_segments`: worth it where levels are many.

        h <- h + (I - J)^-1 (F(h) - h)

    with J the Jacobian of the cell, or diagonal blocks of it. An iteration is one cell call on all nodes, `coupling`
    vector-Jacobian products and one linear scan. After k of them all nodes of height < k are exact whatever the cell,
    so it ends. With exact blocks it converges quadratically once near, with approximate ones (quasi-Newton) linearly;
    far off the step may overshoot, the more so the more the cell expands (|J| > 1). Where the tolerance is not reached,
    the plain driver does the work: the result is exact either way, and `report` tells.

    Args:
        tolerance: on the residual |F(h) - h|, relative to max(1, |h|); None: 100 units of the last place.
        max_iterations: steps before falling back.
        block: channels per block of the Jacobian that is kept (1: the diagonal). A state of P tensors counts as P
            interleaved channels each, so 2 keeps the pairs (h, c) of an LSTM. Scans cost `block` times more.
        coupling: neighbouring channels that influence each other in the cell, a multiple of `block`; None: all. With
            `coupling == block` the blocks are the whole Jacobian: an elementwise cell has `coupling=1`. A wrong value
            costs iterations, not exactness.
        report: called with a `NewtonReport` after each solve, forward and backward.

    The cell must be a function of its arguments (no dropout) that treats rows alone. A sample equals itself in another
    batch to within the tolerance. Gradients by the implicit function theorem, one transposed scan (for quasi-Newton as
    many as the whole Jacobian asks for); first derivatives only, a second backward raises. Memory: one evaluation of
    the cell on all nodes with its graph, and N D `block` numbers.

    Raises:
        StructureError: a DAG, `block` and `coupling` that do not divide the channels, inference mode.

    Source: Lim et al., "Parallelizing non-linear sequential models over the sequence length" (DEER), ICLR 2024;
    diagonal Jacobians: Gonzalez et al., "Towards scalable and stable parallelization of nonlinear RNNs", NeurIPS 2024.
    Differs from the papers in: forests, by `tree_scan`; blocks; the check of the backward solve.
    """

    tolerance: float | None = None
    max_iterations: int = 16
    block: int = 1
    coupling: int | None = None
    report: Callable[[NewtonReport], None] | None = None

    def fold(self, cell: Cell, leaves: State | None, tree: Tree, inputs: State | None) -> State:
        """States of all nodes, as `fold_tree(..., return_all=True)`."""
        _ = tree.parent  # refuses a DAG
        inner, arity = (tree.arity > 0).nonzero().flatten(), getattr(cell, "arity", 2)

        def plain(noise: State | None) -> State:
            first = leaves if leaves is None or noise is None else _sum(leaves, select(noise, tree.leaves))
            return fold_tree(_noisy(cell, inputs, noise), first, tree, _beside(inputs, noise), return_all=True)

        start, counts = leaves, tree.arity[inner]
        if start is None and arity is None and inputs is not None:
            none = Segments.trusted(tree.child_ptr.new_zeros(tree.leaves.numel() + 1))
            start = cell(None, none, x=select(inputs, tree.leaves))
        if start is None or (arity is not None and bool((counts != arity).any())):
            return plain(None)  # which says what is wrong
        groups = Segments.from_lengths(counts)
        given = {} if inputs is None else {"x": select(inputs, inner)}

        def call(children: State) -> State:
            if arity is None:
                return cell(children, groups, **given)
            sides = state_map(lambda t: t.unflatten(0, (len(inner), arity)), children)
            return cell(*(state_map(lambda t, i=i: t[:, i], sides) for i in range(arity)), **given)

        def linear(w: Tensor, b: Tensor) -> Tensor:
            return tree_scan(w, b, tree)

        return self._solve(start, call, plain, tree.leaves, inner, tree.child_index, tree.child_index, linear)

    def unfold(self, cell: Cell, roots: State, tree: Tree, inputs: State | None) -> State:
        """States of all nodes, as `unfold_tree`."""
        below = (tree.parent != torch.arange(tree.num_nodes, device=tree.device)).nonzero().flatten()
        given = {} if inputs is None else {"x": select(inputs, below)}
        one = Segments.trusted(torch.arange(len(below) + 1, device=tree.device))  # parent of each node
        extra = [one] if getattr(cell, "arity", 1) is None else []

        def plain(noise: State | None) -> State:
            first = roots if noise is None else _sum(roots, select(noise, tree.roots))
            return unfold_tree(_noisy(cell, inputs, noise, 1), first, tree, _beside(inputs, noise))

        def call(above: State) -> State:
            return cell(above, *extra, **given)

        def linear(w: Tensor, b: Tensor) -> Tensor:
            return tree_scan(w, b, tree, downwards=True)

        return self._solve(roots, call, plain, tree.roots, below, tree.parent[below], below, linear)

    def scan(self, cell: Cell, x: State, segments: Segments, state: State | None, reverse: bool) -> State:
        """States after each row, as `scan_segments`."""
        filled = segments.lengths > 0
        first = (segments.ptr[1:] - 1 if reverse else segments.ptr[:-1])[filled]
        later = torch.ones(segments.num_rows, dtype=torch.bool, device=segments.device)
        later = later.index_fill(0, first, False).nonzero().flatten()
        x_later = select(x, later)
        start = cell(select(x, first), None if state is None else select(state, filled.nonzero().flatten()))

        def plain(noise: State | None) -> State:
            noisy = _noisy(cell, x, noise, positional=True)
            return scan_segments(noisy, x if noise is None else _beside(x, noise), segments, state, reverse=reverse)[0]  # type: ignore[arg-type]

        def linear(w: Tensor, b: Tensor) -> Tensor:
            return (segment_scan if w.dim() == 2 else block_scan)(w, b, segments, None, reverse)

        before = later + 1 if reverse else later - 1
        return self._solve(start, lambda h: cell(x_later, h), plain, first, later, before, later, linear)

    def _solve(
        self, start: State, call: Callable[[State], State], plain: Plain, fixed: Tensor, rows: Tensor, index: Tensor,
        edges: Tensor, linear: Linear,
    ) -> State:  # fmt: skip
        """`start` holds at the rows `fixed`; `call` makes `rows` from the states at `index`, one an edge; the weight of
        an edge lies at its row in `edges`; `linear(w, b)` solves h = w h + b."""
        if torch.is_inference_mode_enabled():
            raise StructureError("a mode in which the cell can be differentiated", "inference_mode", "torch.no_grad()")
        pack, unpack = _packing(start)
        place, known = torch.cat([fixed, rows]).argsort(), pack(start)
        if not len(rows):
            return unpack(known[place])
        settings = self._settings(known)
        system = System(settings, known, lambda h: pack(call(unpack(h))), place, rows, index, edges, linear)
        h = system.solve()
        if h is None:
            return plain(None)
        if h.requires_grad:
            noisy = lambda noise: pack(plain(unpack(noise)))  # noqa: E731
            h.register_hook(lambda grad: None if grad is None else system.adjoint(grad, noisy))
        return unpack(h)

    def _settings(self, known: Tensor) -> Settings:
        coupling = known.shape[1] if self.coupling is None else self.coupling
        if known.shape[1] % coupling or coupling % self.block:
            got = f"block={self.block}, coupling={coupling} for {known.shape[1]} channels"
            raise StructureError("block to divide coupling, and coupling the channels", got, "block=1, coupling=None")
        tolerance = 100 * torch.finfo(known.dtype).eps if self.tolerance is None else self.tolerance
        return Settings(tolerance, self.max_iterations, self.block, coupling, self.report)


def _packing(like: State) -> tuple[Callable[[State], Tensor], Callable[[Tensor], State]]:
    """A state as one `[rows, channels]` tensor, parts interleaved, and back."""
    if not isinstance(like, tuple):
        shape = like.shape[1:]
        return lambda s: s.flatten(1) if s.dim() > 1 else s[:, None], lambda t: t.view(len(t), *shape)  # type: ignore[union-attr]
    shape, parts = like[0].shape[1:], len(like)
    if any(part.shape[1:] != shape for part in like):
        got = ", ".join(str(tuple(part.shape)) for part in like)
        raise StructureError("parts of the state with one shape", got, "one tensor that holds all parts")
    return (
        lambda s: torch.stack(s, -1).reshape(len(s[0]), -1),  # type: ignore[arg-type]
        lambda t: t.view(len(t), *shape, parts).unbind(-1),
    )


def _noisy(cell: Cell, inputs: State | None, noise: State | None, arity: int = 2, positional: bool = False) -> Cell:
    """The cell with a term added to its result, which comes behind its own inputs in `x` (see `_beside`)."""
    if noise is None:
        return cell
    own = len(inputs) if isinstance(inputs, tuple) else 0 if inputs is None else 1

    def noisy(*states, x: tuple[Tensor, ...] = ()) -> State:
        if positional:
            x, *states = states
        given = x[:own] if isinstance(inputs, tuple) else x[0]
        named = {} if positional or inputs is None else {"x": given}
        made = cell(*([given] if positional else []), *states, **named)
        return _sum(made, x[own:] if isinstance(noise, tuple) else x[own])

    noisy.arity = getattr(cell, "arity", arity)  # type: ignore[attr-defined]
    return noisy


def _beside(inputs: State | None, noise: State | None) -> State | None:
    if noise is None:
        return inputs
    own = () if inputs is None else inputs if isinstance(inputs, tuple) else (inputs,)
    return (*own, *(noise if isinstance(noise, tuple) else (noise,)))


def _sum(one: State, other: State) -> State:
    return state_map(torch.add, one, other)
