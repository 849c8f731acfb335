"""Two sentences in, their relation out: one encoder for both sides."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from structnet.errors import StructureError
from structnet.models.beam_tree import BeamTreeEncoder
from structnet.models.shell import ClassifierHead, TokenLeaves
from structnet.structures import Segments


class PairClassifier(nn.Module):
    """Tokens of both sides -> leaves -> `BeamTreeEncoder` -> classes of `[u; v; u * v; |u - v|]`.

    Head as in Ray Chowdhury and Caragea, "Beam Tree Recursive Cells", 2023, section 5 (after Mou et al., 2016).
    `encoder`: further arguments of `BeamTreeEncoder`.

    Shapes: tokens `[N]`, segments with 2 S members (left 0, right 0, left 1, ...) -> logits `[S, classes]`.

    Raises:
        StructureError: an odd number of members.
    """

    def __init__(
        self,
        num_tokens: int = 11,
        num_classes: int = 7,
        width: int = 128,
        dropout: float = 0.1,
        **encoder: Any,
    ):
        super().__init__()
        self.leaves = TokenLeaves(num_tokens, width, dropout)
        self.encoder = BeamTreeEncoder(width, dropout=dropout, **encoder)
        self.head = ClassifierHead(4 * width, num_classes, dropout, hidden=width)

    def forward(self, tokens: Tensor, segments: Segments) -> Tensor:
        if segments.num_segments % 2:
            raise StructureError("two members per sample", f"{segments.num_segments} members", "left and right in turn")
        left, right = self.encoder(self.leaves(tokens), segments).unflatten(0, (-1, 2)).unbind(1)
        return self.head(torch.cat([left, right, left * right, (left - right).abs()], -1))
