"""The median by quickselect: does the order in which messages arrive help? (Xu and Velickovic, 2024)

    python examples/quickselect.py                      # three aggregators, 100 updates each: minutes on one core
    python examples/quickselect.py --steps 2 --runs 2   # to see that it runs

Nodes of an array have a natural order. A maximum over messages throws it away; a recurrent aggregator, and the affine
scan in logarithmic depth, see it. The paper reports 87 % at n = 64 after training to convergence; 100 updates only show
the machinery.
"""

import argparse

import torch

from structnet.systems.algorithms import Reasoner
from structnet.tasks.algorithms import Algorithms


def main(steps: int, width: int, runs: int) -> None:
    torch.set_num_threads(1)
    task = Algorithms("quickselect")
    train, validation = task.split("train"), task.split("validation").batch(torch.arange(runs))
    for aggregator in ("max", "lstm", "affine"):
        torch.manual_seed(0)
        model, generator = Reasoner("quickselect", width, aggregator), torch.Generator().manual_seed(0)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(steps):
            batch = train.batch(torch.randint(len(train), (8,), generator=generator), generator)
            loss = task.loss(model(*batch.inputs), batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        with torch.no_grad():
            scores = task.score(model.eval()(*validation.inputs), validation)
        share = 100 * task.summary(scores, {})["score"]
        print(f"{aggregator:>8}: loss {loss.item():.3f}, {share:.0f} % of medians right at n = 16")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--runs", type=int, default=32)
    main(**vars(parser.parse_args()))
