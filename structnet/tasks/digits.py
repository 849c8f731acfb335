"""Moving digits: ten frames are read, the next ten asked, as patches on a grid graph (Seo et al. 2018, section 5.1)."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric.data import Data

from structnet.datasets.temporal.moving_digits import digit_images, moving_digits, patch_grid, to_patches
from structnet.errors import StructureError
from structnet.tasks.task import Batch

DRAWS = {"train": (0, 500), "validation": (1, 500), "test": (2, 500)}  # stream of the seed, digits of which block


class DigitSplit:
    """Sequences `[nodes, sequences, frames, pixels]` in 0 .. 1; nothing is stored twice."""

    def __init__(self, name: str, patches: Tensor, graph: Data, read: int):
        self.name, self.patches, self.graph, self.read = name, patches, graph, read
        self.sizes = torch.full((patches.shape[1],), patches.shape[0] * 4)

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        frames = self.patches[:, rows]
        given = Data(x=frames[:, :, : self.read], edge_index=self.graph.edge_index, edge_weight=self.graph.edge_weight)
        return Batch((given,), frames[:, :, self.read :].transpose(0, 1), len(rows))


class MovingDigits:
    """Frames of 64 x 64 pixels, two digits, patches of 4 x 4: 256 nodes of 16 values on a k-nearest-neighbour grid.

    Args:
        folder: with MNIST's test digits (`t10k-images-idx3-ubyte[.gz]`), or "" for STRUCTNET_DATA. The parts use
            disjoint thirds of them.
        sequences: of the training part; a fifth of it validates, three tenths test (10,000 / 2,000 / 3,000 as
            published).
        neighbours: k of the grid. rotate: the digits also turn. frames: read and asked, each.
        seed: of all draws.

    Scores: `gain`, 1 - CE / CE of the mean picture; `ce`, binary cross-entropy summed over the asked frames (the
    published figure). Floors: the mean picture, and the last frame (clamped to 0.01 .. 0.99). Rendered here: figures
    are not those of the published file.
    """

    name = "digits"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "test")
    in_range: frozenset[str] = frozenset()
    chance = 0.0

    def __init__(
        self,
        folder: str = "",
        sequences: int = 500,
        neighbours: int = 8,
        rotate: bool = False,
        frames: int = 10,
        seed: int = 0,
    ):
        folder = folder or os.environ.get("STRUCTNET_DATA", ".")
        self.args, self.frames, self.neighbours = (folder, sequences, rotate, 2 * frames, seed), frames, neighbours

    def split(self, name: str) -> DigitSplit:
        if name not in DRAWS:
            raise StructureError(f"one of {', '.join(DRAWS)}", repr(name), 'split("test")')
        return DigitSplit(name, _sequences(name, *self.args), _grid(self.neighbours), self.frames)

    def from_file(self, path: str | Path) -> DigitSplit:
        """The published `mnist_test_seq.npy`: uint8 `[20, sequences, 64, 64]`."""
        import numpy as np

        frames = torch.from_numpy(np.load(path)).float().transpose(0, 1) / 255
        return DigitSplit(str(path), to_patches(frames), _grid(self.neighbours), self.frames)

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return F.binary_cross_entropy_with_logits(output.transpose(0, 1), batch.target)

    def score(self, output: Tensor, batch: Batch) -> dict[str, Tensor]:
        ce = (
            F.binary_cross_entropy_with_logits(output.transpose(0, 1), batch.target, reduction="none").flatten(1).sum(1)
        )
        mean = self._mean().to(batch.target).expand_as(batch.target)
        base = F.binary_cross_entropy(mean, batch.target, reduction="none").flatten(1).sum(1)
        return {"gain": -ce, "ce": ce, "base": base}

    def summary(self, scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]:
        ce, base = (float(scores[name].double().mean()) for name in ("ce", "base"))
        return {"gain": 1 - ce / base, "ce": ce}

    def floors(self, split: str) -> dict[str, dict[str, float]]:
        part = self.split(split)
        batch = part.batch(torch.arange(len(part)))
        last = batch.inputs[0].x[:, :, -1:].clamp(0.01, 0.99).expand(-1, -1, self.frames, -1)
        mean = self._mean()[:, None].expand(-1, len(part), self.frames, -1)
        said = {"mean picture": mean.logit(), "last frame": last.logit()}
        return {name: self.summary(self.score(logits, batch), {}) for name, logits in said.items()}

    def _mean(self) -> Tensor:
        """`[nodes, 1, pixels]`, of the training part."""
        return _sequences("train", *self.args).mean((1, 2)).clamp(1e-3, 1 - 1e-3).unsqueeze(1)


@cache
def _grid(neighbours: int) -> Data:
    return patch_grid(16, neighbours)


@cache
def _sequences(name: str, folder: str, sequences: int, rotate: bool, frames: int, seed: int) -> Tensor:
    stream, block = DRAWS[name]
    images = digit_images(folder)
    part = images[stream * len(images) // 3 :][:block]  # the published data draw from a subset of 500 digits as well
    count = {"train": sequences, "validation": sequences // 5, "test": sequences * 3 // 10}[name]
    return to_patches(moving_digits(part, count, frames, rotate=rotate, seed=3 * seed + stream))
