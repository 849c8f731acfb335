"""Baselines without structure: torch's own LSTM and Transformer encoders."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from structnet.errors import StructureError
from structnet.models.shell import ClassifierHead
from structnet.schedules import step_schedule
from structnet.structures import Segments, Tree


class SequenceClassifier(nn.Module):
    """Tokens -> `torch.nn.LSTM` (last states of both directions) or `torch.nn.TransformerEncoder` (mean) -> classes.

    Args:
        num_tokens, num_classes: sizes of the vocabulary and of the answer.
        kind: "lstm" (bidirectional, width / 2 per direction) or "transformer" (sinusoidal positions, pre-norm).
        width: size D of a state.
        layers, heads: depth, and attention heads of the Transformer.

    Shapes: tokens `[N]`, segments with S members -> logits `[S, classes]`. A tree is accepted and not looked at. The
    Transformer is the one place where members are padded (torch's own layer wants it); padding is masked.
    """

    def __init__(
        self,
        num_tokens: int = 15,
        num_classes: int = 10,
        kind: str = "lstm",
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(num_tokens, width)
        if kind == "lstm":
            between = dropout if layers > 1 else 0.0
            self.encoder = nn.LSTM(width, width // 2, layers, dropout=between, bidirectional=True)
        elif kind == "transformer":
            layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        else:
            raise StructureError('kind "lstm" or "transformer"', repr(kind), 'kind="lstm"')
        self.head = ClassifierHead(width, num_classes, dropout)

    def forward(self, tokens: Tensor, segments: Segments, tree: Tree | None = None) -> Tensor:
        x = self.embedding(tokens)
        return self.head(self._lstm(x, segments) if isinstance(self.encoder, nn.LSTM) else self._attend(x, segments))

    def _lstm(self, x: Tensor, segments: Segments) -> Tensor:
        # packed straight from the flat rows: no padded copy
        plan = step_schedule(segments)
        packed = PackedSequence(x[plan.rows], torch.tensor(plan.sizes), plan.segment_order, plan.segment_rank)
        _, (last, _) = self.encoder(packed)
        return torch.cat([last[-2], last[-1]], -1)

    def _attend(self, x: Tensor, segments: Segments) -> Tensor:
        length, index = segments.max_length, segments.index
        step = torch.arange(len(x), device=x.device) - segments.ptr[index]
        padded = x.new_zeros(len(segments), length, self.width)
        padded = padded.index_put((index, step), x * math.sqrt(self.width) + self._positions(step, x))
        mask = torch.arange(length, device=x.device) >= segments.lengths[:, None]
        out = self.encoder(padded, src_key_padding_mask=mask)[index, step]
        total = x.new_zeros(len(segments), self.width).to(out.dtype).index_add(0, index, out)
        return total / segments.lengths[:, None]

    def _positions(self, step: Tensor, like: Tensor) -> Tensor:
        frequency = torch.exp(torch.arange(0, self.width, 2, device=step.device) * (-math.log(10_000.0) / self.width))
        angle = step[:, None] * frequency
        return torch.stack([angle.sin(), angle.cos()], -1).flatten(1).to(like.dtype)
