"""BT-GRC learns ListOps from the answers alone (Ray Chowdhury and Caragea, "Beam Tree Recursive Cells", 2023).

    [MAX 2 9 [MIN 4 7 ] 0 ]  ->  9          nobody says which tokens belong together

Command: `python examples/latent_trees.py`. Expressions of at most 20 tokens, width 48, 1,000 updates, a few
minutes on one core. Prints accuracy on expressions of 6 to 20 tokens it has not seen, and the trees it finds for one.
"""

from __future__ import annotations

import argparse
import time

import torch

from structnet.datasets.listops import encode
from structnet.models import BeamTreeClassifier
from structnet.structures import Segments
from structnet.tasks.listops import ListOps


def bracketed(tree, words: list[str]) -> str:
    """A binary tree as text: leaves are the first rows, the root is the last."""
    children = dict(zip(range(len(words), tree.num_nodes), tree.child_index.view(-1, 2).tolist()))

    def text(node: int) -> str:
        return words[node] if node < len(words) else "(" + " ".join(map(text, children[node])) + ")"

    return text(tree.num_nodes - 1)


def accuracy(model: BeamTreeClassifier, split, rows: torch.Tensor) -> float:
    batch = split.batch(rows)
    with torch.no_grad():
        return float((model.eval()(*batch.inputs).argmax(-1) == batch.target).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--longest", type=int, default=20, help="tokens of the longest training expression")
    options = parser.parse_args()

    torch.manual_seed(0)
    task = ListOps()
    train, test = task.split("train"), task.split("near_iid")
    short = (train.sizes <= options.longest).nonzero().flatten()
    fresh = ((test.sizes <= options.longest) & (test.sizes > 5)).nonzero().flatten()[:500]
    # every length equally often: nesting is rare among short expressions
    weight = 1.0 / torch.bincount(train.sizes[short])[train.sizes[short]]

    model = BeamTreeClassifier(width=48, dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    start = time.time()
    for step in range(1, options.steps + 1):
        batch = train.batch(short[torch.multinomial(weight, 64, replacement=True)])
        optimizer.zero_grad()
        loss = task.loss(model.train()(*batch.inputs), batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == options.steps:
            right = accuracy(model, test, fresh)
            print(f"step {step}: loss {loss.item():.3f}, unseen {right:.3f}, {time.time() - start:.0f} s", flush=True)

    words = ["[MAX", "2", "[MIN", "4", "7", "]", "1", "]"]

    tokens = torch.from_numpy(encode(" ".join(words)).astype("int64"))
    parse = model.parse(tokens, Segments.from_lengths(torch.tensor([len(words)])))
    for tree, score in zip(parse.trees.unbatch(), parse.scores.tolist()):
        print(f"log p {score:6.2f}  {bracketed(tree, words)}")


if __name__ == "__main__":
    main()
