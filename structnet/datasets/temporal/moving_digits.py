"""Moving MNIST: two digits that bounce inside a square, as patches on a k-nearest-neighbour grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from structnet.datasets.temporal.files import content
from structnet.errors import StructureError

SIZE, DIGIT = 64, 28
IMAGES = "t10k-images-idx3-ubyte"


def digit_images(folder: str | Path) -> np.ndarray:
    """MNIST digits from an idx file (the test set's, plain or .gz, also in a folder moving_mnist), float32 `[n, 28,
    28]` in 0 .. 1. Raises StructureError for a file that is not whole."""
    names = [Path(folder) / sub / f"{IMAGES}{end}" for sub in (".", "moving_mnist") for end in ("", ".gz")]
    path = next((name for name in names if name.exists()), None)
    if path is None:
        raise StructureError(f"{IMAGES}[.gz]", f"none in {folder}", "the files of MNIST, and --task_args.folder")
    data = content(path)
    magic, count, rows, columns = np.frombuffer(data[:16], ">i4")
    if magic != 2051 or len(data) != 16 + count * rows * columns:
        raise StructureError(
            f"{count} images of {rows} x {columns}", f"{len(data):,} bytes in {path}", "the whole file"
        )
    return np.frombuffer(data, np.uint8, offset=16).reshape(count, rows, columns).astype(np.float32) / 255


def moving_digits(
    images: np.ndarray, sequences: int, frames: int = 20, digits: int = 2, rotate: bool = False, seed: int = 0
) -> Tensor:
    """Frames float `[sequences, frames, 64, 64]` in 0 .. 1, a pure function of the arguments.

    As Srivastava et al. 2015: random digits, start and direction, a speed of 3 to 5 pixels a frame, reflected at the
    border, the brighter one where they overlap. With `rotate` every digit also turns, by up to 12 degrees a frame.
    """
    rng = np.random.default_rng(seed)
    room = SIZE - DIGIT
    shape = (sequences, digits)
    chosen = images[rng.integers(0, len(images), shape)]
    angle, speed = rng.uniform(0, 2 * np.pi, shape), rng.uniform(3, 5, shape)
    start = rng.uniform(0, room, (*shape, 2))
    step = speed[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    turn = rng.uniform(-12, 12, shape)
    out = np.zeros((sequences, frames, SIZE, SIZE), np.float32)
    for t in range(frames):
        place = np.abs((start + t * step + room) % (2 * room) - room)  # a triangle wave: reflection
        for s in range(sequences):
            for d in range(digits):
                image = _turned(chosen[s, d], turn[s, d] * t) if rotate else chosen[s, d]
                y, x = np.rint(place[s, d]).astype(int)
                window = out[s, t, y : y + DIGIT, x : x + DIGIT]
                np.maximum(window, image, out=window)
    return torch.from_numpy(out)


def _turned(image: np.ndarray, degrees: float) -> np.ndarray:
    """Rotated about the middle, nearest pixel."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    y, x = np.mgrid[:DIGIT, :DIGIT] - (DIGIT - 1) / 2
    row, column = (np.rint(a + (DIGIT - 1) / 2).astype(int) for a in (c * y - s * x, s * y + c * x))
    inside = (row >= 0) & (row < DIGIT) & (column >= 0) & (column < DIGIT)
    return np.where(inside, image[row.clip(0, DIGIT - 1), column.clip(0, DIGIT - 1)], 0)


def to_patches(frames: Tensor, patch: int = 4) -> Tensor:
    """`[..., 64, 64]` -> nodes `[256, ..., 16]` for patches of 4 x 4 pixels, rows of the picture first."""
    side = SIZE // patch
    split = frames.unflatten(-2, (side, patch)).unflatten(-1, (side, patch))  # [..., rows, p, columns, p]
    return split.transpose(-3, -2).flatten(-2).flatten(-3, -2).movedim(-2, 0)


def from_patches(nodes: Tensor, patch: int = 4) -> Tensor:
    """The inverse of `to_patches`."""
    side = SIZE // patch
    split = nodes.movedim(0, -2).unflatten(-2, (side, side)).unflatten(-1, (patch, patch))
    return split.transpose(-3, -2).flatten(-2).flatten(-3, -2)


def patch_grid(side: int = 16, neighbours: int = 8) -> Data:
    """The graph of Seo et al. 2018 (their release): k nearest neighbours on the grid, weights exp(-d^2 / sigma^2) with
    sigma the mean distance to the k-th neighbour, made symmetric by the maximum, no self-loops. Ties: lowest node."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    position = torch.stack([row.flatten(), column.flatten()], 1).double()
    distance = torch.cdist(position, position)
    order = distance.argsort(dim=1, stable=True)[:, 1 : neighbours + 1]
    near = distance.gather(1, order)
    sigma = near[:, -1].mean()
    weight = torch.zeros_like(distance).scatter(1, order, (-(near**2) / sigma**2).exp())
    weight = torch.maximum(weight, weight.t())
    edge_index = weight.nonzero().t().contiguous()
    return Data(edge_index=edge_index, edge_weight=weight[edge_index[0], edge_index[1]].float(), num_nodes=side * side)
