"""Scenes of equally many objects as a batch of complete graphs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from structnet.structures import Segments
from structnet.structures.neighbours import Neighbours


@lru_cache(maxsize=8)
def complete(scenes: int, objects: int, loops: bool = False) -> tuple[Neighbours, Tensor]:
    """The complete graph on the objects of each scene, and the scene of each object."""
    groups = Segments.from_lengths(torch.full((scenes,), objects))
    return Neighbours.complete(groups, loops), groups.index


def one_hot(values: np.ndarray, classes: int) -> Tensor:
    return F.one_hot(torch.from_numpy(values), classes).float()
