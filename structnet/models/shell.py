"""What stands around every sequence encoder here: tokens in, classes out."""

from __future__ import annotations

from torch import Tensor, nn


class TokenLeaves(nn.Module):
    """Token ids `[N]` -> leaf states `[N, D]`: embedding, dropout, linear map, layer norm."""

    def __init__(self, num_tokens: int, width: int, dropout: float = 0.0):
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, width)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(self.linear(self.dropout(self.embedding(tokens))))


class ClassifierHead(nn.Sequential):
    """State `[S, inputs]` -> logits `[S, classes]`: dropout, linear, GELU, dropout, linear."""

    def __init__(self, inputs: int, num_classes: int, dropout: float = 0.0, hidden: int | None = None):
        hidden = hidden or inputs
        super().__init__(
            nn.Dropout(dropout),
            nn.Linear(inputs, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
