"""The equations of a recursion as one system, Newton's step on it, and the linear system of the backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from structnet.errors import StructureError


@dataclass(frozen=True)
class NewtonReport:
    """What a solve did.

    Attributes:
        part: "states", or "gradients" for the linear system of the backward pass.
        residuals: largest |F(h) - h| at each evaluation of all nodes; there is one step less than evaluations.
        converged: whether the last is within the tolerance. If not, the result is that of the plain driver.
    """

    part: str
    residuals: list[float]
    converged: bool

    @property
    def iterations(self) -> int:
        return len(self.residuals) - 1


@dataclass(frozen=True)
class Settings:
    tolerance: float
    max_iterations: int
    block: int
    coupling: int
    report: Callable[[NewtonReport], None] | None


@dataclass(eq=False)
class System:
    """`h = F(h)` over N rows of D channels.

    Attributes:
        known: states of the rows that need no other, with their graph.
        call: the states of all other rows from the states that arrive at their edges, `[E, D] -> [A, D]`.
        place: place of each row in `cat([known, others])`; `rows`: the others.
        index: the row whose state arrives at each edge; `edges`: the row that carries the weight of each edge.
        linear: `linear(w, b)` solves `h = w h + b` over the same edges.
    """

    settings: Settings
    known: Tensor
    call: Callable[[Tensor], Tensor]
    place: Tensor
    rows: Tensor
    index: Tensor
    edges: Tensor
    linear: Callable[[Tensor, Tensor], Tensor]

    def solve(self) -> Tensor | None:
        """The states, with the graph of the last evaluation; None if the tolerance was not reached."""
        known, residuals = self.known.detach(), []
        h = torch.cat([known, known.new_zeros(len(self.rows), known.shape[1])])[self.place]
        while True:
            self.arrived = h[self.index].requires_grad_()
            with torch.enable_grad():
                self.out = self.call(self.arrived)
            new = torch.cat([known, self.out.detach()])[self.place]
            done = self._judge("states", new - h, max(1.0, float(new.abs().amax())), residuals)
            if done is not None:
                break
            h = h + self._step(self.weights(), new - h)
        if not done:
            return None
        return torch.cat([self.known, self.out])[self.place] if torch.is_grad_enabled() else new

    def adjoint(self, grad: Tensor, noisy: Callable[[Tensor], Tensor]) -> Tensor:
        """`g` of h -> the gradient that reaches F: the solution of `u = g + J^T u`, J the whole Jacobian at h.

        `noisy`: the plain driver with a term added at every row, whose gradient is u too; for when this fails.
        """
        if torch.is_grad_enabled():
            raise StructureError("first derivatives of a Newton solve", "create_graph=True", "solver=None")
        weights, residuals = self.weights(), []
        u = self._step(weights, grad, transposed=True)
        while True:
            arrived = torch.zeros_like(u).index_add(0, self.index, self._pull(u[self.rows]))
            rest = grad + arrived - u
            done = self._judge("gradients", rest, float(u.abs().amax()), residuals)
            if done is not None:
                break
            u = u + self._step(weights, rest, transposed=True)
        if done:
            return u
        with torch.enable_grad():
            noise = torch.zeros_like(grad).requires_grad_()
            return torch.autograd.grad(noisy(noise), noise, grad)[0]

    def weights(self) -> Tensor:
        """The kept blocks of the Jacobian, at the row of each edge: `[N, D]`, or `[N, H, d, d]` for blocks of d."""
        (edges, width), size, block = self.arrived.shape, self.settings.coupling, self.settings.block
        kept = self.arrived.new_zeros(edges, width // size, size // block, block, block)
        comb = torch.arange(width, device=kept.device) % size
        for k in range(size):  # the k-th channel of every group of coupled channels at once
            seed = (comb == k).to(kept.dtype).expand_as(self.out)
            grad = self._pull(seed).view(edges, width // size, size // block, block)
            kept[:, :, k // block, k % block] = grad[:, :, k // block]
        kept = kept.view(edges, width) if block == 1 else kept.view(edges, width // block, block, block)
        return kept.new_zeros(len(self.place), *kept.shape[1:]).index_copy(0, self.edges, kept)

    def _pull(self, cotangent: Tensor) -> Tensor:
        """Vector-Jacobian product of the last evaluation, for each edge."""
        if not self.out.requires_grad:  # a cell that looks at nothing
            return torch.zeros_like(self.arrived)
        return torch.autograd.grad(self.out, self.arrived, cotangent, retain_graph=True, materialize_grads=True)[0]

    def _step(self, w: Tensor, b: Tensor, transposed: bool = False) -> Tensor:
        shaped = b if w.dim() == 2 else b.unflatten(1, w.shape[1:3])
        if not transposed:
            return self.linear(w, shaped).flatten(1)
        with torch.enable_grad():  # linear in b: its backward is the transposed solve
            probe = torch.zeros_like(shaped).requires_grad_()
            return torch.autograd.grad(self.linear(w, probe), probe, shaped)[0].flatten(1)

    def _judge(self, part: str, rest: Tensor, scale: float, residuals: list[float]) -> bool | None:
        """Whether the residual is within the tolerance; None: go on."""
        residuals.append(float(rest.abs().amax()))
        done = residuals[-1] <= self.settings.tolerance * scale
        if not done and math.isfinite(residuals[-1]) and len(residuals) <= self.settings.max_iterations:
            return None
        if self.settings.report is not None:
            self.settings.report(NewtonReport(part, residuals, done))
        return done
