"""Child-sum Tree-LSTM on trees that ride in PyG's DataLoader (Tai, Socher and Manning, 2015, section 3.1).

    [MAX 2 9 [MIN 4 7 ] 0 ]          MAX            a node per operator and digit, an edge from child to parent;
                                    / | \\ \\         the state of a node comes from its symbol and its children,
                                   2  9 MIN 0       the answer is read off the root
                                        / \\
                                       4   7

    python examples/tree_lstm.py              # about 2 minutes on one core
    python examples/tree_lstm.py --steps 2    # to see that it runs

Prints the loss, and the accuracy on 1,000 expressions of `near_iid` that were not seen; chance is 10 %.
"""

import argparse
import tempfile

import torch
from torch_geometric.loader import DataLoader

from structnet.cells import ChildSumTreeLSTM
from structnet.datasets.listops.graphs import ListOpsGraphs
from structnet.recursion import fold_tree


class TreeLSTM(torch.nn.Module):
    """PyG batch of trees -> logits `[trees, 10]`."""

    def __init__(self, width: int):
        super().__init__()
        self.embedding = torch.nn.Embedding(14, width)  # 10 digits, 4 operators
        self.cell = ChildSumTreeLSTM(width, input_width=width)
        self.head = torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.GELU(), torch.nn.Linear(width, 10))

    def forward(self, batch) -> torch.Tensor:
        # no leaf states: every node, leaves too, is made from its own input and what its children say
        hidden, _ = fold_tree(self.cell, None, batch.tree, inputs=self.embedding(batch.x))
        return self.head(hidden)


def main(steps: int, width: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        graphs = ListOpsGraphs(root, split="near_iid")
    train, test = graphs[:9000], graphs[9000:]
    model = TreeLSTM(width)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    step = 0
    while step < steps:
        for batch in DataLoader(train, batch_size=64, shuffle=True):
            loss = torch.nn.functional.cross_entropy(model(batch), batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 100 == 0:
                print(f"update {step:5}  loss {loss.item():.3f}")
            step += 1
            if step == steps:
                break
    with torch.no_grad():
        right = sum(int((model(batch).argmax(-1) == batch.y).sum()) for batch in DataLoader(test, batch_size=100))
    print(f"{100 * right / len(test):.1f} % of {len(test):,} expressions that were not seen")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--width", type=int, default=96)
    options = parser.parse_args()
    main(options.steps, options.width)
