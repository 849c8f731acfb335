"""What stands around every sequence encoder here: tokens in, classes out."""

from __future__ import annotations

from torch import Tensor, nn

from structnet.errors import StructureError
from structnet.structures import Segments, Tree


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


class TokenRows(nn.Sequential):
    """Token ids `[N]` -> `[N, D]`: embedding and dropout, for encoders that begin with a map of their own."""

    def __init__(self, num_tokens: int, width: int, dropout: float = 0.0):
        super().__init__(nn.Embedding(num_tokens, width), nn.Dropout(dropout))


class TokenClassifier(nn.Module):
    """Tokens `[N]`, segments with S members -> `leaves` -> `encoder(x, segments)` `[S, D]` -> logits `[S, classes]`. A
    tree is accepted and not looked at."""

    def __init__(self, leaves: nn.Module, encoder: nn.Module, width: int, num_classes: int, dropout: float):
        super().__init__()
        self.leaves, self.encoder = leaves, encoder
        self.head = ClassifierHead(width, num_classes, dropout)

    def forward(self, tokens: Tensor, segments: Segments, tree: Tree | None = None) -> Tensor:
        return self.head(self.encoder(self.leaves(tokens), segments))


def require_rows(segments: Segments) -> None:
    """Raises StructureError where a segment is empty, for encoders that have no value for nothing."""
    if segments.num_segments and int(segments.lengths.min()) == 0:
        place = int(segments.lengths.argmin())
        raise StructureError("at least one row per segment", f"segment {place} without rows", "to drop empty segments")
