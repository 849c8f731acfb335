"""Tree-LSTMs: binary, N-ary and child-sum. A state is the pair (h, c), both `[nodes, D]`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.errors import StructureError
from structnet.structures import Segments

Pair = tuple[Tensor, Tensor]


class BinaryTreeLSTM(nn.Module):
    """Binary Tree-LSTM without node inputs (Tai et al. 2015, eq. 9-14 with N = 2 and x only at the leaves).

        i, f_l, f_r, o, u = U [h_l; h_r] + b
        c = sigmoid(i) * tanh(u) + sigmoid(f_l + forget_bias) * c_l + sigmoid(f_r + forget_bias) * c_r
        h = sigmoid(o) * tanh(c)

    Args:
        width: size D of h and of c.
        forget_bias: added to the forget gates, so that new cells remember.

    Shapes: two children `(h, c)` of `[nodes, D]` -> one. Cost: 20 D^2 flops a row.
    """

    arity = 2

    def __init__(self, width: int, forget_bias: float = 1.0):
        super().__init__()
        self.width, self.forget_bias = width, forget_bias
        self.gates = nn.Linear(2 * width, 5 * width)

    def forward(self, left: Pair, right: Pair) -> Pair:
        gates = self.gates(torch.cat([left[0], right[0]], -1))
        return _compose(gates, torch.stack([left[1], right[1]], 1), self.forget_bias)

    def leaf(self, x: Tensor) -> Pair:
        """A leaf that remembers x: (tanh x, x)."""
        return x.tanh(), x

    def extra_repr(self) -> str:
        return f"width={self.width}, forget_bias={self.forget_bias}"


class NaryTreeLSTM(nn.Module):
    """N-ary Tree-LSTM (Tai et al. 2015, eq. 9-14): ordered children, each slot with matrices of its own.

        [i, o, u] = W x + sum_k U_k h_k + b          f_k = sigmoid(W_f x + sum_l U_kl h_l + b_f)
        c = sigmoid(i) * tanh(u) + sum_k f_k * c_k   h = sigmoid(o) * tanh(c)

    Args:
        width: size D of h and of c.
        arity_max: N, the most children a node may have; fewer leave their slots empty (zero, as in the paper).
        input_width: size of the input at every node, 0 for none.

    Shapes: children `(h, c)` `[E, D]` grouped by `segments`, x `[nodes, input_width]` -> `(h, c)` `[nodes, D]`. A leaf
    is a node without children. Cost: 2 D (3 + N) (N D + input_width) flops a row.
    """

    arity = None

    def __init__(self, width: int, arity_max: int = 2, input_width: int = 0, forget_bias: float = 1.0):
        super().__init__()
        self.width, self.arity_max, self.forget_bias = width, arity_max, forget_bias
        self.gates = nn.Linear(arity_max * width + input_width, (3 + arity_max) * width)

    def forward(self, children: Pair | None, segments: Segments, x: Tensor | None = None) -> Pair:
        nodes = segments.num_segments
        like = self.gates.weight if children is None else children[0]
        slots = like.new_zeros(2, nodes * self.arity_max, self.width)
        if children is not None and segments.num_rows:
            slot = torch.arange(segments.num_rows, device=segments.device) - segments.ptr[segments.index]
            place = segments.index * self.arity_max + self._in_range(slot)
            slots = slots.index_copy(1, place, torch.stack(children))
        h, c = slots.view(2, nodes, self.arity_max, self.width)
        given = h.flatten(1) if x is None else torch.cat([h.flatten(1), x], -1)
        return _compose(self.gates(given), c, self.forget_bias)

    def _in_range(self, slot: Tensor) -> Tensor:
        if int(slot.max()) >= self.arity_max:
            raise StructureError(f"at most {self.arity_max} children", f"{int(slot.max()) + 1}", "a larger arity_max")
        return slot

    def extra_repr(self) -> str:
        return f"width={self.width}, arity_max={self.arity_max}"


class ChildSumTreeLSTM(nn.Module):
    """Child-sum Tree-LSTM (Tai et al. 2015, eq. 2-8): any number of children, their order ignored.

        h~ = sum_k h_k      [i, o, u] = W x + U h~ + b      f_k = sigmoid(W_f x + U_f h_k + b_f)
        c = sigmoid(i) * tanh(u) + sum_k f_k * c_k          h = sigmoid(o) * tanh(c)

    Args:
        width: size D of h and of c.
        input_width: size of the input at every node, 0 for none.

    Shapes: as `NaryTreeLSTM`. A node without children has h~ = 0 and no forget gate, so leaves come from their input
    (`fold_tree(cell, None, tree, inputs=x)`). Cost: 6 D (D + input_width) flops a node and 2 D^2 a child.
    """

    arity = None

    def __init__(self, width: int, input_width: int = 0, forget_bias: float = 1.0):
        super().__init__()
        self.width, self.forget_bias = width, forget_bias
        self.gates = nn.Linear(width + input_width, 3 * width)
        self.forget = nn.Linear(width, width)
        self.forget_input = nn.Linear(input_width, width, bias=False) if input_width else None

    def forward(self, children: Pair | None, segments: Segments, x: Tensor | None = None) -> Pair:
        nodes = segments.num_segments
        total = self.gates.weight.new_zeros(nodes, self.width)
        kept = total
        if children is not None and segments.num_rows:
            h, c = children
            total = total.to(h.dtype).index_add(0, segments.index, h)
            forget = self.forget(h)
            if self.forget_input is not None and x is not None:
                forget = forget + self.forget_input(x).index_select(0, segments.index)
            remembered = (forget + self.forget_bias).sigmoid() * c
            kept = kept.to(remembered.dtype).index_add(0, segments.index, remembered)
        i, o, u = self.gates(total if x is None else torch.cat([total, x], -1)).chunk(3, -1)
        c = i.sigmoid() * u.tanh() + kept
        return o.sigmoid() * c.tanh(), c

    def extra_repr(self) -> str:
        return f"width={self.width}"


def _compose(gates: Tensor, c: Tensor, forget_bias: float) -> Pair:
    """Gates `[nodes, (3 + A) D]` in the order i, o, u, f_1 .. f_A, children `c` `[nodes, A, D]` -> (h, c)."""
    width = c.shape[-1]
    io, u, f = gates.split([2 * width, width, gates.shape[-1] - 3 * width], -1)
    i, o = io.sigmoid().chunk(2, -1)
    forget = (f + forget_bias).sigmoid().unflatten(-1, c.shape[1:])
    c = i * u.tanh() + (forget * c).sum(1)
    return o * c.tanh(), c
