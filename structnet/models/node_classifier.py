"""A number per node of the last snapshot of a window."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch_geometric.data import Data

from structnet.errors import StructureError
from structnet.models.link_predictor import ENCODERS


class NodeClassifier(nn.Module):
    """Linear -> relu -> linear on the last embeddings of an encoder (Pareja et al. 2020, released code).

    Args:
        in_channels, hidden: of the encoder.
        encoder: "evolvegcn-h", "evolvegcn-o", "evolvegcn-o-lstm" or "gcn": node sets may change completely.
        decoder_hidden: width of the decoder.

    A list of snapshots -> logits `[N]` of the last one.
    """

    def __init__(
        self, in_channels: int = 166, hidden: int = 100, encoder: str = "evolvegcn-o", decoder_hidden: int = 100
    ):
        super().__init__()
        known = [name for name in ENCODERS if name != "gcn-gru"]  # its state belongs to fixed nodes
        if encoder not in known:
            raise StructureError(f"an encoder out of {', '.join(known)}", repr(encoder), 'encoder="evolvegcn-o"')
        self.encoder = ENCODERS[encoder](in_channels, hidden)
        self.decoder = nn.Sequential(nn.Linear(hidden, decoder_hidden), nn.ReLU(), nn.Linear(decoder_hidden, 1))

    def forward(self, snapshots: Sequence[Data]) -> Tensor:
        return self.decoder(self.encoder.series(snapshots)[0][-1]).squeeze(-1)
