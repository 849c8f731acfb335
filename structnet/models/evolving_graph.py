"""The graph between series, inferred while they are read, and free to change."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from structnet.errors import StructureError


class GraphState(NamedTuple):
    """`moments` `[..., N, N + 1, N + 1]` and `products` `[..., N, N + 1]` of the regression of every node, the last
    values `[..., N, C]` and the messages `[..., N, N + 1, C]` they sent."""

    moments: Tensor
    products: Tensor
    last: Tensor
    messages: Tensor


class EvolvingGraph(nn.Module):
    """An adjacency that evolves with the series it explains, after the graph evolution of Spadon et al. 2022 ("Pay
    Attention to Evolution: Time Series Forecasting with Deep Graph-Evolution Learning", TPAMI 44(9)).

        x_{t+1} = x_t + sum over j of A_t[i, j] m(x_i, x_j) + b_i v(x_i),    m(x_i, x_j) = M(x_i) x_j
        m(x_i, x_i) = u(x_i)
        A_t[i] = argmin sum over s <= t of f^(t - s) |x_s - x_{s-1} - sum_j a_j m(x_i, x_j)|^2 + r |a|^2

    The functions M (a matrix), u and v (vectors) and the forgetting f are learned by the error of the next value; the
    graph itself is not a parameter but a state: a series with another graph, or one whose graph changes, needs no
    training.

    Args:
        channels: C.
        hidden: width of the networks M and u, v.
        forget: f at the start, 1 to forget nothing (and learn nothing about it).
        ridge: r.

    Call `out, state = model(x, state)` with x `[..., N, C]` of one time; out is the forecast of the next one. It runs
    on `unroll_snapshots`; `graph(state)` is A_t `[..., N, N]`, row i what reaches i. Everything is equivariant to the
    order of nodes, and leading dimensions are series with graphs of their own.

    Cost of a step: N regressions of N unknowns, O(N^4), and N^2 messages.

    Differs from the paper in how the graph moves (there: a linear map of the adjacency and the cosine similarity of its
    rows, twice, around a transformer and a recurrent network); shares the idea and none of the code.
    """

    def __init__(self, channels: int, hidden: int = 32, forget: float = 0.99, ridge: float = 1e-2):
        super().__init__()
        if not 0 < forget <= 1:
            raise StructureError("0 < forget <= 1", f"{forget}", "forget=0.99")
        self.ridge = ridge
        self.memory = nn.Parameter(torch.tensor(forget).logit(1e-4), requires_grad=forget < 1)
        self.pair = nn.Sequential(nn.Linear(channels, hidden), nn.SiLU(), nn.Linear(hidden, channels**2))
        self.alone = nn.Sequential(nn.Linear(channels, hidden), nn.SiLU(), nn.Linear(hidden, 2 * channels))

    def forward(self, x: Tensor, state: GraphState | None = None) -> tuple[Tensor, GraphState]:
        messages = self.messages(x)
        if state is None:
            terms = x.shape[-2] + 1
            state = GraphState(x.new_zeros(*x.shape[:-1], terms, terms), x.new_zeros(*x.shape[:-1], terms), x, messages)
        else:
            if state.last.shape != x.shape:
                raise StructureError(f"values of shape {tuple(state.last.shape)}", str(tuple(x.shape)), "state=None")
            past, keep = state.messages, self.memory.sigmoid() if self.memory.requires_grad else 1.0
            moments = keep * state.moments + past @ past.transpose(-1, -2)
            products = keep * state.products + (past @ (x - state.last).unsqueeze(-1)).squeeze(-1)
            state = GraphState(moments, products, x, messages)
        out = x + (self._weights(state).unsqueeze(-1) * messages).sum(-2)
        return out, state

    def fit(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """One graph for a whole series `[..., T, N, C]`: A `[..., N, N]` and the mean squared error of what it
        explains.

        To learn M, u and v, minimise the *logarithm* of the error (the error itself falls by orders of magnitude, and
        Adam stops half-way). Without forgetting A is what the steps arrive at; all sums over time are one product
        each.
        """
        messages, change = self.messages(x[..., :-1, :, :]), x.diff(dim=-3)
        flat = messages.movedim(-4, -2).flatten(-2)  # [..., N, N + 1, T * C]
        moments = flat @ flat.transpose(-1, -2)
        wanted = change.movedim(-3, -2).flatten(-2).unsqueeze(-1)
        weights = self._solve(moments, (flat @ wanted).squeeze(-1))
        said = (weights.unsqueeze(-2) @ flat).squeeze(-2)
        return weights[..., :-1], (said - wanted.squeeze(-1)).square().mean()

    def messages(self, x: Tensor) -> Tensor:
        """m(x_i, x_j), `[..., N, N + 1, C]`; on the diagonal and in the last column u(x_i) and v(x_i)."""
        nodes = x.shape[-2]
        view = self.pair(x).unflatten(-1, (x.shape[-1], x.shape[-1]))  # M(x_i), `[..., N, C, C]`
        among = x.unsqueeze(-3) @ view.transpose(-1, -2)
        self_loop = torch.eye(nodes, dtype=torch.bool, device=x.device).unsqueeze(-1)
        own, second = self.alone(x).unsqueeze(-2).chunk(2, -1)
        return torch.cat([torch.where(self_loop, own, among), second], -2)

    def graph(self, state: GraphState) -> Tensor:
        """A_t `[..., N, N]`, row i what reaches i; the diagonal says nothing of edges."""
        return self._weights(state)[..., :-1]

    def _weights(self, state: GraphState) -> Tensor:
        return self._solve(state.moments, state.products)

    def _solve(self, moments: Tensor, products: Tensor) -> Tensor:
        eye = torch.eye(products.shape[-1], dtype=products.dtype, device=products.device)
        return torch.linalg.solve(moments + self.ridge * eye, products)
