"""The drivers: one structure, one cell, one schedule.

A *state* is a tensor `[rows, ...]` or a tuple of them (a list passes for one). A *cell* is any callable from states to
a state; it is handed all nodes of a level at once and must treat rows independently. All drivers obey two laws: a
sample gives the same output alone and in any batch, and the cell sees exactly as many rows as the structure needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from structnet.errors import StructureError
from structnet.kernels import segment_rnn
from structnet.rounds import pass_messages
from structnet.schedules import LevelSchedule, level_schedule
from structnet.schedules.steps import step_schedule
from structnet.states import State, concat, device_of, num_rows, select, split, state_map
from structnet.structures import Segments, Tree

if TYPE_CHECKING:  # a solver comes as an argument
    from structnet.newton import Newton

Cell = Callable[..., State]
Given = TypeVar("Given")


def fold_tree(
    cell: Cell, leaves: State | None, tree: Tree, inputs: State | None = None, *, return_all: bool = False,
    solver: Newton | None = None,
) -> State:  # fmt: skip
    """Bottom-up recursion: `h_v = cell(h_child1, h_child2, ...)`, all nodes of a level in one call.

    Args:
        cell: with `cell.arity == k` (2 for a plain function) called as `cell(child_1, ..., child_k)`, each a state of
            `[nodes, ...]`; with `cell.arity is None` as `cell(children, segments)`, children grouped by parent in
            order, one segment per node. Given `inputs`, also `x=` the rows of these nodes.
        leaves: state of the leaf nodes, in the order of `tree.leaves`; None to let a cell of any arity make them from
            `inputs` and no children (child-sum style).
        tree: trees, forests or DAGs, leaves at any level.
        inputs: state of all nodes `[N, ...]`, for cells that take an input at every node.
        return_all: give back the states of all nodes `[N, ...]` instead of the roots `[len(tree.roots), ...]`.
        solver: `Newton()` for all nodes at once, some iterations instead of a call per level (deep forests).

    An empty tree has no root and gives no row. Cost: one cell row per inner node (and per leaf without `leaves`), one
    call per level; each row is written, concatenated and gathered once, forward and backward.

    Raises:
        StructureError: rows do not fit the tree, or a node's arity does not fit the cell.
    """
    leaves, inputs = _tuple(leaves), _tuple(inputs)
    if tree.num_nodes == 0:
        return _nothing(leaves if leaves is not None else inputs)
    if leaves is not None:
        _fits(leaves, tree.leaves.numel(), "leaf rows (tree.leaves)", tree, "leaves = x[tree.leaves]")
    if inputs is not None:
        _fits(inputs, tree.num_nodes, "input rows, one per node", tree, "inputs for all nodes")
    if solver is not None:
        states = solver.fold(cell, leaves, tree, inputs)
        return states if return_all else select(states, tree.roots)
    schedule = level_schedule(tree)
    start = None
    if leaves is not None:  # leaves are the first level: their order there, counted among the leaves
        start = select(leaves, torch.searchsorted(tree.leaves, schedule.order[: schedule.rows[1]]))
    return run_levels(cell, start, schedule, inputs, return_all)


def unfold_tree(
    cell: Cell, roots: State, tree: Tree, inputs: State | None = None, *, return_all: bool = True,
    solver: Newton | None = None,
) -> State:  # fmt: skip
    """Top-down recursion: `h_v = cell(h_parent)`, all nodes of a depth in one call.

    Args:
        cell: called as `cell(parent_states)`, `[nodes, ...]` each, or for DAGs (`cell.arity is None`) as
            `cell(parents, segments)` with the parents of each node as one segment. Given `inputs`, also `x=`.
        roots: state of the roots, in the order of `tree.roots`.
        tree: trees, forests or DAGs.
        inputs: state of all nodes `[N, ...]` (what a child knows of itself: its own state on the way up, its position).
        return_all: all nodes `[N, ...]`, or only the leaves in the order of `tree.leaves`.
        solver: as in `fold_tree`.

    Cost and errors as `fold_tree`: this is the fold of the same edges upside down.
    """
    roots, inputs = _tuple(roots), _tuple(inputs)
    if tree.num_nodes == 0:
        return _nothing(roots)
    _fits(roots, tree.roots.numel(), "root rows (tree.roots)", tree, "x[tree.roots]")
    if inputs is not None:
        _fits(inputs, tree.num_nodes, "input rows, one per node", tree, "inputs for all nodes")
    if solver is not None:
        states = solver.unfold(cell, roots, tree, inputs)
        return states if return_all else select(states, tree.leaves)
    schedule = level_schedule(tree, downwards=True)
    start = select(roots, torch.searchsorted(tree.roots, schedule.order[: schedule.rows[1]]))
    return run_levels(cell, start, schedule, inputs, return_all, arity=getattr(cell, "arity", 1))


def fold_segments(cell: Cell, x: State, segments: Segments | Tensor, identity: State | None = None) -> State:
    """Reduce every segment with a binary operator: neighbours pair up, level by level, an odd last row waits.

    Args:
        cell: `cell(left, right)`; rows keep their order, so it need not commute.
        x: state `[N, ...]`, rows grouped by `segments` (or by a pointer tensor `[S + 1]`).
        identity: state `[1, ...]` (or without the leading 1): the value of an empty segment.

    Returns the state of each segment, `[S, ...]`. Cost: exactly N - (non-empty segments) cell rows in
    ceil(log2(longest)) calls, whatever else is in the batch.

    Raises:
        StructureError: rows do not fit, or there is an empty segment and no identity that fits.
    """
    x, identity, segments = _tuple(x), _tuple(identity), _segments(segments)
    _fits(x, segments.num_rows, "rows (segments.num_rows)", segments, "matching x and ptr")
    folded = fold_tree(cell, x, _halving(segments))
    empty = segments.lengths == 0
    if folded is not None and num_rows(folded) == segments.num_segments:
        return folded
    if identity is None:
        place = int(empty.nonzero()[0])
        raise StructureError("an identity for empty segments", f"segment {place} without rows", "identity=...")
    slot = torch.where(empty, num_rows(folded), (~empty).cumsum(0) - 1)
    return select(concat([folded, _as_row(identity, folded)]), slot)


def scan_segments(
    cell: Cell, x: State, segments: Segments | Tensor, state: State | None = None, *, reverse: bool = False,
    solver: Newton | None = None,
) -> tuple[State, State]:  # fmt: skip
    """Run a recurrent cell over every segment, all segments side by side, one call per time step.

    Args:
        cell: `cell(x_t, state) -> state`. Without an initial state the first call is `cell(x_t, None)`. A plain
            `torch.nn.GRUCell` or `torch.nn.LSTMCell` without hooks is not called: `segment_rnn` does the same faster.
        x: state `[N, ...]`, rows in time order inside each segment.
        segments: `Segments` or a pointer tensor `[S + 1]`.
        state: initial state `[S, ...]`.
        reverse: last row first.
        solver: `Newton()` for all rows at once, some iterations instead of a call per time step.

    Returns the states after each row `[N, ...]` (in the rows' own order), and the last state of each segment `[S, ...]`
    (an empty segment keeps its initial state, zeros if none was given). Cost: N cell rows in `max_length` calls;
    segments that have ended take no part. Linear in N, forward and backward.
    """
    x, state, segments = _tuple(x), _tuple(state), _segments(segments)
    _fits(x, segments.num_rows, "rows (segments.num_rows)", segments, "matching x and ptr")
    if state is not None:
        _fits(state, segments.num_segments, "rows of initial state, one per segment", segments, "torch.zeros(S, D)")
    if solver is not None and segments.num_rows:
        solved = solver.scan(cell, x, segments, state, reverse)
        return solved, _last_states(solved, segments, state, reverse)
    if _is_plain(cell, x):
        weights = (cell.weight_ih, cell.weight_hh, *([cell.bias_ih, cell.bias_hh] if cell.bias else []))  # type: ignore
        kind = "gru" if isinstance(cell, nn.GRUCell) else "lstm"
        return segment_rnn(x, segments, weights, kind, state, reverse)  # type: ignore[arg-type]
    schedule = step_schedule(segments, reverse)
    if not schedule.sizes:
        if state is None:
            raise StructureError("an initial state when no segment has rows", "None", "state=torch.zeros(S, D)")
        return select(state, schedule.rows), state
    steps = split(select(x, schedule.rows), schedule.sizes)
    now = None if state is None else select(state, schedule.segment_order)
    waiting: list[State] = []  # final states of ended segments, shortest first
    states: list[State] = []
    for piece in steps:
        if now is not None and num_rows(now) > num_rows(piece):
            now, ended = split(now, [num_rows(piece), num_rows(now) - num_rows(piece)])
            waiting.append(ended)
        now = cell(piece, now)
        states.append(now)
    missing = segments.num_segments - sum(map(num_rows, waiting)) - num_rows(now)  # type: ignore[arg-type]
    if missing:  # empty segments and no initial state
        waiting.insert(0, state_map(lambda t: t.new_zeros(missing, *t.shape[1:]), now))  # type: ignore[arg-type]
    final = concat([now, *reversed(waiting)])  # type: ignore[list-item]
    return select(concat(states), schedule.back), select(final, schedule.segment_rank)


def _last_states(states: State, segments: Segments, state: State | None, reverse: bool) -> State:
    filled, last = segments.lengths > 0, segments.ptr[:-1] if reverse else segments.ptr[1:] - 1
    rows = torch.where(filled, last, 0)
    kept = state if state is not None else state_map(lambda t: t.new_zeros(len(rows), *t.shape[1:]), states)
    return state_map(lambda t, k: torch.where(filled.view(-1, *[1] * (t.dim() - 1)), t[rows], k), states, kept)


def _is_plain(cell: Cell, x: State) -> bool:
    """Whether `cell` is one of torch's own whose equations `segment_rnn` computes, with nobody watching its calls."""
    known = type(cell) in (nn.GRUCell, nn.LSTMCell) and isinstance(x, Tensor) and x.dim() == 2
    if torch._C._functorch.peek_interpreter_stack() is not None:  # type: ignore[attr-defined]  # torch.func does not go through custom ops
        return False
    return known and x.dtype == cell.weight_ih.dtype and not (cell._forward_hooks or cell._forward_pre_hooks)  # type: ignore


def run_levels(
    cell: Cell,
    start: State | None,
    schedule: LevelSchedule,
    inputs: State | None,
    return_all: bool,
    arity: int | None = 2,
) -> State:
    """The loop under the tree drivers: gather what has arrived, call the cell, send the rows on."""
    arity = getattr(cell, "arity", arity)
    count = schedule.num_levels
    sized = [schedule.rows[i + 1] - schedule.rows[i] for i in range(count)]
    x = [None] * count if inputs is None else split(select(inputs, schedule.order), sized)
    pulls = schedule.pull.split([b - a for a, b in zip(schedule.edges, schedule.edges[1:])])
    pushes = schedule.push.split([b - a for a, b in zip(schedule.uses, schedule.uses[1:])])
    inbox: list[list[State]] = [[] for _ in range(count + 1)]
    made: list[State] = []
    for level in range(count):
        given = {} if x[level] is None else {"x": x[level]}
        if level == 0 and start is not None:
            state = start
        elif level == 0 or arity is None:
            arrived = select(concat(inbox[level]), pulls[level]) if level else _no_children(inputs, arity)
            state = cell(arrived, schedule.segments(level), **given)
        else:
            _check_arity(schedule, level, arity)
            arrived = select(concat(inbox[level]), pulls[level])
            state = cell(*_columns(arrived, sized[level], arity), **given)
        if num_rows(state) != sized[level]:
            got = f"{num_rows(state)} of {type(cell).__name__}"
            raise StructureError(f"one row per node from the cell, {sized[level]}", got, "a cell that keeps the rows")
        inbox[level] = []
        if return_all:
            made.append(state)
        sent = state if schedule.plain[level] else select(state, pushes[level])
        first, last = schedule.pairs[level], schedule.pairs[level + 1]
        for target, piece in zip(schedule.targets[first:last], split(sent, schedule.sizes[first:last])):
            inbox[target].append(piece)
    if return_all:
        return select(concat(made), schedule.rank)
    return select(concat(inbox[count]), schedule.roots)


def _columns(children: State, nodes: int, arity: int) -> list[State]:
    """`[nodes * arity, ...]` as `arity` states of `[nodes, ...]`: views, nothing is copied."""
    if isinstance(children, tuple):
        return list(zip(*(t.unflatten(0, (nodes, arity)).unbind(1) for t in children)))  # type: ignore[arg-type]
    return list(children.unflatten(0, (nodes, arity)).unbind(1))


def _as_row(identity: State, folded: State) -> State:
    """`identity` as one more row of `folded`."""
    parts, given = (state if isinstance(state, tuple) else (state,) for state in (folded, identity))
    wanted, got = [f.shape[1:].numel() for f in parts], [e.numel() for e in given]
    if wanted != got:
        raise StructureError(f"an identity of sizes {wanted}, as one row of x", f"{got}", "torch.zeros_like(x[:1])")
    rows = tuple(e.reshape(1, *f.shape[1:]).to(f.dtype) for e, f in zip(given, parts))
    return rows if isinstance(folded, tuple) else rows[0]


def _tuple(state: Given) -> Given:
    return tuple(state) if isinstance(state, list) else state  # type: ignore[return-value]


def _segments(segments: Segments | Tensor) -> Segments:
    return segments if isinstance(segments, Segments) else Segments(segments)


def _halving(segments: Segments) -> Tree:
    if "halving" not in segments.cache:
        segments.cache["halving"] = Tree.balanced(segments)
    return segments.cache["halving"]


def _check_arity(schedule: LevelSchedule, level: int, arity: int) -> None:
    if schedule.arity[level] != arity:
        lengths = schedule.segments(level).lengths
        place = int((lengths != arity).nonzero()[0])
        node = int(schedule.order[schedule.rows[level] + place])
        raise StructureError(
            f"{arity} children at every inner node", f"{int(lengths[place])} at node {node}", "a cell with arity None"
        )


def _no_children(inputs: State | None, arity: int | None) -> None:
    if inputs is None or arity is not None:
        raise StructureError("states of the leaves", "leaves=None", "leaves=..., or inputs= and a cell with arity None")


def _fits(state: State, rows: int, what: str, structure: Tree | Segments, advice: str) -> None:
    if num_rows(state) != rows:
        raise StructureError(f"{rows} {what}", f"{num_rows(state)}", advice)
    if device_of(state) != structure.device:
        got, device = f"the structure on {structure.device}", device_of(state)
        raise StructureError(f"rows and structure on one device, {device}", got, f".to('{device}') of the structure")


def _nothing(state: State | None) -> State:
    if state is None:
        raise StructureError("leaves or inputs", "neither", "leaves=torch.empty(0, D) for an empty tree")
    return state_map(lambda t: t[:0], state)


__all__ = ["Cell", "State", "Tensor", "fold_segments", "fold_tree", "pass_messages", "run_levels", "scan_segments",
           "unfold_tree"]  # fmt: skip
