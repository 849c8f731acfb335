"""Encode the elements of a set, aggregate, decode the answer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import aggr as pyg

from structnet import aggr
from structnet.errors import StructureError
from structnet.structures import Segments

BITS = torch.arange(8)
# name -> (aggregator of width D and its number `size`, width in, width out)
AGGREGATORS = {
    "lcm": lambda width, size: (aggr.LCMAggregation(width, width, project=False), width, width),
    "lcm_random": lambda width, size: (
        aggr.LCMAggregation(width, width, project=False, random_trees=True), width, width),
    "gru": lambda width, size: (aggr.GRUAggregation(width, width), width, width),
    "lstm": lambda width, size: (aggr.LSTMAggregation(width, width), width, width),
    "affine": lambda width, size: (aggr.AffineScanAggregation(width, width), width, width),
    "top_k": lambda width, size: (aggr.TopKAggregation(width, size), width, size * width),
    "top_rows": lambda width, size: (aggr.TopRowsAggregation(width, size), width, size * width),
    "logsumexp": lambda width, size: (aggr.LogSumExpAggregation(width), width, width),
    "attention": lambda width, size: (aggr.AttentionAggregation(width, width, size), width, width),
    # as many heads as fit: eight for eight bits leave bits that no head has found (measured)
    "modular": lambda width, size: (
        aggr.ModularAggregation(width // size, size, sharpness=6.0), width // size * size, width // size * size),
    "phase": lambda width, size: (aggr.PhaseAggregation(width, size, scale=0.5), width, 2 * width),
    "finite": lambda width, size: (
        aggr.FiniteMonoidAggregation(width // size, size), width // size * size, width // size * size),
    "max": lambda width, size: (pyg.MaxAggregation(), width, width),
    "sum": lambda width, size: (pyg.SumAggregation(), width, width),
}  # fmt: skip

LOGITS = ("modular", "finite")  # their rows are logits, which a GELU would cut off
LINEAR = ("top_rows", "phase")  # an order, or an angle, that is linear in the bits holds for numbers not seen
BARE = ("phase",)  # read out by one linear map: a deeper one learns 256 answers by heart before it finds an angle


class SetOutput(NamedTuple):
    logits: Tensor  # [sets, 8], one per bit of the answer
    penalty: Tensor  # weighted auxiliary losses, 0 in evaluation


class SetModel(nn.Module):
    """The network of Ong and Velickovic, "Learnable Commutative Monoids for Graph Neural Networks", 2022, section 3.1:

        x_i = sum over bits of emb(bit, place);  e_i = GELU(W x_i);  logits = W_2 GELU(W_1 aggregate(e))

    Args:
        aggregator: a name in `AGGREGATORS`.
        width: D.
        size: the aggregator's own number: k of "top_k" and "top_rows", modulus of "modular" and "phase", elements of
            "finite", heads of "attention".
        associativity: weight of the associativity loss ("lcm", "lcm_random", "finite").

    Shapes: values in 0 .. 255 `[N]`, segments with S sets -> logits `[S, 8]` and the weighted auxiliary loss.

    Differs from the paper in one linear map before an aggregator whose rows are logits, in the GELU left out before one
    whose rows are keys or angles, and in angles read out by one linear map.
    """

    def __init__(self, aggregator: str = "lcm", width: int = 128, size: int = 2, associativity: float = 0.0):
        super().__init__()
        if aggregator not in AGGREGATORS:
            raise StructureError(f"an aggregator out of {', '.join(AGGREGATORS)}", repr(aggregator), 'aggregator="lcm"')
        self.associativity = associativity
        self.embedding = nn.Embedding(16, width)
        self.aggregator, wide_in, wide_out = AGGREGATORS[aggregator](width, size)
        to_rows = nn.Linear(width, wide_in) if aggregator in LOGITS else nn.Identity()
        bend = nn.Identity() if aggregator in LINEAR else nn.GELU()
        self.encoder = nn.Sequential(nn.Linear(width, width), bend, to_rows)
        deep = nn.Sequential(nn.Linear(wide_out, width), nn.GELU(), nn.Linear(width, 8))
        self.decoder = nn.Linear(wide_out, 8) if aggregator in BARE else deep

    def forward(self, values: Tensor, segments: Segments) -> SetOutput:
        bits = BITS.to(values.device)
        x = self.encoder(self.embedding(2 * bits + (values[:, None] >> bits & 1)).sum(1))
        if not (self.training and self.associativity):
            return SetOutput(self._decode(x, segments), x.new_zeros(()))
        with aggr.collect_losses() as losses:
            logits = self._decode(x, segments)
        return SetOutput(logits, losses.total(associativity=self.associativity))

    def _decode(self, x: Tensor, segments: Segments) -> Tensor:
        return self.decoder(self.aggregator(x, ptr=segments.ptr, dim_size=segments.num_segments))
