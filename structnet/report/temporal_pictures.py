"""Pictures of the reports of dynamic graphs: the snapshots, the evolving weight, forecast against truth."""

from __future__ import annotations

from typing import Any

import torch

from structnet.report.snapshots_html import forecast_chart, player, singular_values
from structnet.tasks.forecast import ForecastSplit, by_window
from structnet.tasks.links import LinkSplit


def link_pictures(model: Any, split: LinkSplit) -> list[tuple[str, str]]:
    """The snapshots of the split and, for an encoder whose weights evolve, their singular values."""
    steps, end = split.steps, split.first + len(split)
    start = max(0, end - 30)
    pictures = [
        ("Snapshots up to the end of the split, most active nodes", player(steps.snapshots[start:end], first=start))
    ]
    if hasattr(model.encoder, "trajectory"):
        window = steps.window(end - 1, min(end - 1, 30), model.encoder.layers[0].weight.shape[0])
        with torch.no_grad():
            for layer, weights in enumerate(model.encoder.trajectory(window), 1):
                pictures.append((f"Singular values of the weight of layer {layer}", singular_values(weights[:, 0])))
    return pictures


def forecast_pictures(model: Any, split: ForecastSplit) -> list[tuple[str, str]]:
    """One step ahead, of the four nodes that vary most over the split."""
    batch = split.batch(torch.arange(len(split)))
    with torch.no_grad():
        said = by_window(model(*batch.inputs), batch.target)[:, :, 0, 0]
    truth = batch.target[:, :, 0, 0]
    names = split.series.signal.names
    nodes = truth.std(0).argsort(descending=True)[:4].tolist()
    return [
        (f"{names[n] if names else f'node {n}'}, one step ahead", forecast_chart(truth[:, n], said[:, n]))
        for n in nodes
    ]
