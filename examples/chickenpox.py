"""Does the graph help, does recurrence help? Weekly chickenpox in 20 Hungarian counties (Rozemberczki et al., 2021).

    python examples/chickenpox.py --folder DATA --seeds 5     # a minute on one core
    python examples/chickenpox.py --folder DATA --epochs 1 --seeds 1

A few weeks are read, the next one asked. GCRN (graph convolutions inside the gates), the same cell without a graph, and
a graph network without recurrence, beside what needs no training. Expected: docs/temporal.md.
"""

import argparse
import json
import statistics

import torch

from structnet.models.forecaster import Forecaster
from structnet.tasks.forecast import Forecast
from structnet.training import evaluate


def train(task: Forecast, encoder: str, seed: int, epochs: int, width: int, order: int, decay: float) -> dict:
    """The epoch that is best on the validation weeks, marked on the test weeks."""
    torch.manual_seed(seed)
    model = Forecaster(lags=task.lags, hidden=width, encoder=encoder, order=order)
    split = task.split("train")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=decay)
    best, found = float("inf"), {}
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(split)).split(32):
            batch = split.batch(rows)
            optimizer.zero_grad()
            task.loss(model(*batch.inputs), batch).backward()
            optimizer.step()
        error = evaluate(model, task, task.split("validation"))["mse"]
        if error < best:
            best, found = error, evaluate(model, task, task.split("test"))
    return {name: value for name, value in found.items() if name != "by"}


def main(folder: str, seeds: int, lags: int, encoders: list[str], **recipe) -> None:
    torch.set_num_threads(1)
    task = Forecast("chickenpox", folder, lags)
    for name, figures in task.floors("test").items():
        print(f"{name:16} test MSE {figures['mse']:.3f}  MAE {figures['mae']:.3f}  RMSE {figures['rmse']:.3f}")
    for encoder in encoders:
        runs = [train(task, encoder, seed, **recipe) for seed in range(seeds)]
        errors = [run["mse"] for run in runs]
        spread = statistics.stdev(errors) if seeds > 1 else 0.0
        mae = statistics.mean(run["mae"] for run in runs)
        print(f"{encoder:16} test MSE {statistics.mean(errors):.3f} +- {spread:.3f}  MAE {mae:.3f}  ({seeds} seeds)")
        print(json.dumps({"encoder": encoder, "mse": errors, "lags": lags, **recipe}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default="", help="with chickenpox.json; or set STRUCTNET_DATA")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--lags", type=int, default=8, help="weeks that are read")
    parser.add_argument("--order", type=int, default=3, help="K of the graph filters")
    parser.add_argument("--decay", type=float, default=1e-3, help="weight decay")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--encoders", nargs="+", default=["gcrn-lstm", "gcrn-gru", "lstm", "gcn"])
    main(**vars(parser.parse_args()))
