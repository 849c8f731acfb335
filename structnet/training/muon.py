"""Muon: the momentum of a matrix is made orthogonal before it is added."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

LEAST = 16  # rows and columns of what counts as a map between features
MOMENTUM = 0.95
POLYNOMIAL, STEPS = (3.4445, -4.7750, 2.0315), 5  # takes singular values in (0, 1] to about 0.7 .. 1.2


class Muon(torch.optim.AdamW):
    """Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024, for the matrices of a model, and
    AdamW for everything else. With g the gradient of a matrix `[..., rows, columns]`:

        b <- 0.95 b + g
        W <- (1 - lr weight_decay) W - 0.2 sqrt(max(rows, columns)) lr orthogonal(g + 0.95 b)

    where `orthogonal` sets all singular values to about one, so that rare directions move as far as common ones. The
    factor gives a step of the size of AdamW's (Liu et al., "Muon is scalable for LLM training", 2025): one `lr` is for
    both. Leading dimensions are matrices side by side.

    Args:
        model: its parameters, but not its buffers, are trained.
        lr, weight_decay: of both.

    A matrix is a parameter whose last two dimensions are 16 at least, and which is no embedding table. Parameters
    without a gradient stay as they are. Cost of a step beyond AdamW: 15 products of a matrix's smaller side. The
    gradients of the matrices are gone after a step.

    Not `torch.optim.Muon`, which takes no stacked matrices, leaves the rest to a second optimiser, and is missing from
    torch 2.8.
    """

    def __init__(self, model: nn.Module, lr: float = 1e-3, weight_decay: float = 1e-2):
        super().__init__(model.parameters(), lr, weight_decay=weight_decay)
        tables = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
        others = [p for p in model.parameters() if id(p) not in tables]
        self.matrices = [p for p in others if p.dim() >= 2 and min(p.shape[-2:]) >= LEAST]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        lr, decay = self.param_groups[0]["lr"], self.param_groups[0]["weight_decay"]
        for matrix in self.matrices:
            gradient, matrix.grad = matrix.grad, None  # AdamW passes over what has no gradient
            if gradient is None:
                continue
            state = self.state[matrix]
            if not state:
                state["momentum"] = torch.zeros_like(matrix)
                state["step"] = torch.zeros(())  # AdamW looks for it when states are loaded
            momentum = state["momentum"].mul_(MOMENTUM).add_(gradient)
            size = 0.2 * max(matrix.shape[-2:]) ** 0.5
            matrix.mul_(1 - lr * decay).sub_(orthogonal(gradient + MOMENTUM * momentum), alpha=size * lr)
        super().step()
        return loss


def orthogonal(x: Tensor) -> Tensor:
    """U p(S) V^T of x = U S V^T, with p(s) about one, by five Newton-Schulz steps: products alone, no decomposition.
    Shape `[..., rows, columns]`; zeros stay zeros."""
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    a, b, c = POLYNOMIAL
    for _ in range(STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
