"""Weights of PyTorch Geometric Temporal's cells, for comparison."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from structnet.errors import StructureError
from structnet.models.gcrn import GCRN


def from_pyg_temporal(state_dict: Mapping[str, Tensor]) -> GCRN:
    """A `GCRN` (model 2) that computes what their `GConvLSTM` or `GConvGRU` with this state dict does.

    Their cells hold one `ChebConv` per gate and side: `lins[k].weight` transposed is row block k of our gate's columns,
    and the two or three biases of a gate add up to ours. Holds for their default normalisation, "sym" (lambda_max 2).

    Raises:
        StructureError: another state dict.
    """
    lstm = "conv_x_i.lins.0.weight" in state_dict
    if not lstm and "conv_x_z.lins.0.weight" not in state_dict:
        raise StructureError("a state dict of GConvLSTM or GConvGRU", f"{sorted(state_dict)[:3]}", "cell.state_dict()")
    gates = "ifco" if lstm else "zrh"
    hidden, in_channels = state_dict[f"conv_x_{gates[0]}.lins.0.weight"].shape
    order = sum(key.startswith(f"conv_x_{gates[0]}.lins.") for key in state_dict)
    weights = {
        f"weight_{side}": torch.cat([_columns(state_dict, f"conv_{side}_{gate}", order) for gate in gates], 1)
        for side in "xh"
    }
    weights["bias"] = torch.cat([_bias(state_dict, gate) for gate in gates])
    if lstm:
        weights["peephole"] = torch.cat([state_dict[f"w_c_{gate}"] for gate in "ifo"])
    model = GCRN(in_channels, hidden, cell="lstm" if lstm else "gru", order=order).to(weights["bias"].dtype)
    model.cells[0].load_state_dict(weights)
    return model


def _columns(state_dict: Mapping[str, Tensor], name: str, order: int) -> Tensor:
    return torch.cat([state_dict[f"{name}.lins.{k}.weight"].t() for k in range(order)])


def _bias(state_dict: Mapping[str, Tensor], gate: str) -> Tensor:
    parts = (state_dict.get(key) for key in (f"conv_x_{gate}.bias", f"conv_h_{gate}.bias", f"b_{gate}"))
    return torch.stack([part.flatten() for part in parts if part is not None]).sum(0)
