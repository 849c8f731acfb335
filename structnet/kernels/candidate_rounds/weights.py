"""The weights of a round, by name and as one flat tensor."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from structnet.structures.constraints import UNIT_KINDS

INPUT_KINDS = 3  # the cell is empty, this digit is given, another digit is given


class CandidateWeights(NamedTuple):
    """Matrices are `[in, out]`; w = width, h = hidden. The order is that of cpu.cpp."""

    input: Tensor  # [3, h], by kind of input
    own: Tensor  # [w, h]
    gather: Tensor  # [4, w, w], by kind of unit
    gather_bias: Tensor  # [4, w]
    spread: Tensor  # [4, w, h]
    update: Tensor  # [h, 2 w]: gate, change
    update_bias: Tensor  # [2 w]
    scale: Tensor  # [w]
    shift: Tensor  # [w]
    readout: Tensor  # [w + 1], the bias last

    def flat(self) -> Tensor:
        return torch.cat([part.reshape(-1) for part in self])

    @staticmethod
    def shapes(width: int, hidden: int) -> tuple[tuple[int, ...], ...]:
        w, h, kinds = width, hidden, UNIT_KINDS
        messages = ((INPUT_KINDS, h), (w, h), (kinds, w, w), (kinds, w), (kinds, w, h))
        return (*messages, (h, 2 * w), (2 * w,), (w,), (w,), (w + 1,))
