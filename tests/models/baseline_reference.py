"""Ordered Memory and CRvNN word by word, one sample at a time: matrices, masks, every slot and every row composed.

Shen et al., "Ordered Memory", 2019; Ray Chowdhury and Caragea, "Modeling Hierarchical Structures with Continuous
Recursive Neural Networks", 2021; in the order of work of the authors' code. No dropout.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def ordered_memory(model, tokens: Tensor) -> Tensor:
    """`tokens` `[n, D]` -> `[D]`."""
    slots, width = model.slots, tokens.shape[1]
    memory, output, p = torch.zeros(slots, width).to(tokens), torch.zeros(slots, width).to(tokens), None
    for x in model.cell.norm(model.project(tokens)):
        if p is None:
            p = torch.zeros(slots).to(x)
            above, below = p, torch.ones(slots).to(x)
        else:
            beta = torch.stack([model.score(model.query(x) + model.key(c))[0] for c in output]) / width**0.5
            opened = p.cumsum(0)[1:]
            opened = torch.where(opened < 1e-5, torch.zeros_like(opened), opened)
            weight = (beta - beta.max()).exp() * torch.cat([opened, torch.ones(1).to(x)])
            p = weight / weight.sum()
            above, below = p.cumsum(0), p.flip(0).cumsum(0).flip(0)
        memory = memory * (1 - below)[:, None] + output * below[:, None]
        h, outputs = x, []
        for i in range(slots):
            h = x * (1 - above[i]) + model.cell(h[None], memory[i][None])[0] * above[i]
            outputs.append(h)
        output = torch.stack(outputs)
    return output[-1]


def neighbour_matrix(exist: Tensor) -> Tensor:
    """Right neighbours: of the rows after i, as much as exists until a total of 1."""
    later = exist.expand(len(exist), -1).triu(1)
    total = later.cumsum(1)
    left_over = F.pad(1 - total[:, :-1], (1, 0), value=1.0).clamp(min=0)
    return torch.where(total > 1, left_over, later).triu(1)


def crvnn(model, tokens: Tensor, halt: bool = True) -> Tensor:
    """`tokens` `[n, D]` -> `[D]`."""
    n = len(tokens)
    x = model.norm(model.project(torch.cat([model.frame[:1], tokens, model.frame[1:]])))
    exist, can = torch.ones(n + 2).to(x), torch.zeros(n + 2).to(x)
    can[1:n] = 1  # neither the frame nor the last token
    for _ in range(n):
        right, left = neighbour_matrix(exist), neighbour_matrix(exist.flip(0)).flip(0, 1)
        window = torch.cat([left @ left @ x, left @ x, x, right @ x, right @ right @ x], 1)
        scores = model.score(F.gelu(model.window(window)))[:, 0]
        high = scores.max().clamp(min=0)
        weight, nothing = (scores - high).exp() * can, (-high).exp()
        compose = weight / (weight + nothing + left @ weight + right @ weight)
        share = (left @ compose)[:, None]
        x = share * model.cell(left @ x, x) + (1 - share) * x
        exist = exist * (1 - compose)
        if halt and (exist > model.threshold).sum() - 2 <= 1:
            break
    return x[n]
