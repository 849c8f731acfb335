"""Which edges will the next snapshot have? An encoder of snapshots, and a decoder that scores pairs in row blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from structnet.errors import StructureError
from structnet.models.evolvegcn import EvolveGCN
from structnet.models.gcn_gru import GCNGRU
from structnet.structures.pair_history import NODE, PAIR, PairHistory

ENCODERS = {
    "evolvegcn-h": lambda i, h: EvolveGCN.authors(i, h, "H"),
    "evolvegcn-o": lambda i, h: EvolveGCN.authors(i, h, "O"),
    "evolvegcn-o-lstm": lambda i, h: EvolveGCN(i, h, "O", activation="rrelu", last_activation="rrelu"),
    "gcn-gru": lambda i, h: GCNGRU(i, h),
    "gcn": lambda i, h: GCNGRU(i, h, cell="none"),
}
ELEMENTS = 1 << 22  # of one block of hidden units of pairs


class LinkPredictor(nn.Module):
    """Embeddings of the last snapshot of a window, then score(u, v) = w . relu(U h_u + V h_v + b) + c (Pareja et al.
    2020, section 4.1 and released code: a two-layer decoder on the two embeddings, here split per node, which is
    exact).

    Args:
        in_channels, hidden: of the encoder.
        encoder: a name in `ENCODERS`.
        decoder_hidden: width of the decoder.
        history: also look at what is known without a graph network: h_u gains the facts of `PairHistory.node`, and
            every pair seen before a learned bonus from its facts and its two nodes'. Not in the paper; the
            training-free floors use parts of this.

    Call it with a list of snapshots (and a `PairHistory` if `history`); it returns `LinkScores`.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int = 100,
        encoder: str = "evolvegcn-o",
        decoder_hidden: int = 100,
        history: bool = False,
    ):
        super().__init__()
        if encoder not in ENCODERS:
            raise StructureError(f"an encoder out of {', '.join(ENCODERS)}", repr(encoder), 'encoder="evolvegcn-o"')
        self.encoder = ENCODERS[encoder](in_channels, hidden)
        width = hidden + NODE * history
        self.source = nn.Linear(width, decoder_hidden, bias=False)
        self.target = nn.Linear(width, decoder_hidden)
        self.out = nn.Linear(decoder_hidden, 1)
        facts = PAIR + 2 * NODE
        self.bonus = nn.Sequential(nn.Linear(facts, 48), nn.ReLU(), nn.Linear(48, 1)) if history else None

    def forward(self, snapshots: Sequence[Data], history: PairHistory | None = None) -> LinkScores:
        h = self.encoder.series(snapshots, only_last=True)[0][-1]
        if self.bonus is None:
            return LinkScores(self, h, None, None)
        if history is None:
            raise StructureError("a PairHistory", "None", "history=False, or PairHistory.at(...)")
        node = history.node.to(h)
        ends = node[history.key // history.num_nodes], node[history.key % history.num_nodes]
        bonus = self.bonus(torch.cat([history.pair.to(h), *ends], 1)).squeeze(1)
        return LinkScores(self, torch.cat([h, node], 1), history, bonus)


class LinkScores:
    """The scores of one step: `rows(source)` `[R, N]` and `pairs(source, target)` `[P]`, differentiable."""

    def __init__(self, model: LinkPredictor, h: Tensor, history: PairHistory | None, bonus: Tensor | None):
        self.place: Tensor | None = None
        if not torch.is_grad_enabled():  # nodes alike, such as those without an edge, are scored once, and tie exactly
            h, self.place = h.unique(dim=0, return_inverse=True)
        self.out, self.source, self.target = model.out, model.source(h), model.target(h)
        self.history, self.bonus = history, bonus

    def rows(self, source: Tensor) -> Tensor:
        kinds, back = (source, None) if self.place is None else self.place[source].unique(return_inverse=True)
        size = max(1, ELEMENTS // max(self.target.numel(), 1))
        blocks = [self._decode(self.source[part, None] + self.target) for part in kinds.split(size)]
        scores = torch.cat(blocks) if blocks else self.target.new_zeros(0, len(self.target))
        if self.place is not None:
            scores = scores[back].index_select(1, self.place)
        if self.history is None or self.bonus is None:
            return scores
        row, column, place = self.history.rows(source)
        return scores.index_put((row, column), self.bonus[place], accumulate=True)

    def pairs(self, source: Tensor, target: Tensor) -> Tensor:
        ends = (source, target) if self.place is None else (self.place[source], self.place[target])
        scores = self._decode(self.source[ends[0]] + self.target[ends[1]])
        if self.history is None or self.bonus is None:
            return scores
        given, place = self.history.find(source, target)
        return scores.index_add(0, given, self.bonus[place])

    def _decode(self, hidden: Tensor) -> Tensor:
        return self.out(hidden.relu()).squeeze(-1)
