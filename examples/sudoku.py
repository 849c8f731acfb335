"""Sudoku without search: a relational network on (cell, digit) candidates whose weights know no board size.

    python examples/sudoku.py              # train on generated 4 x 4 boards, then look at 6 x 6: a minute on one core
    python examples/sudoku.py --steps 2    # to see that it runs

The same weights run on both sizes, though no 6 x 6 board is ever trained on. The shipped checkpoint `sudoku` is trained
on boards with 17 givens: `structnet solve "53..7...."`.
"""

import argparse

import torch
from torch.nn import functional as F

from structnet.datasets.sudoku import generate, reveal
from structnet.models.candidate_network import CandidateNetwork


def solved(model: CandidateNetwork, size: int, givens: int, boards: int = 100) -> float:
    puzzles, solutions = generate(boards, size, givens, torch.Generator().manual_seed(1))
    with torch.no_grad():
        answers = model.eval()(puzzles.long()).logits[-1].argmax(-1) + 1
    return 100 * float((answers == solutions).all(1).float().mean())


def main(steps: int, batch: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = CandidateNetwork(width=16, hidden=32, rounds=32, train_rounds=8, noise=0.1)
    generator = torch.Generator().manual_seed(0)
    puzzles, solutions = generate(2_000, 4, 4, generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(steps):
        rows = torch.randint(len(puzzles), (batch,), generator=generator)
        shown = reveal(puzzles[rows], solutions[rows], 4, generator).long()
        logits = model.train()(shown).logits  # [rounds, boards, cells, digits]: a loss at every round
        target = (solutions[rows].long() - 1).expand(len(logits), -1, -1)
        loss = F.cross_entropy(logits.flatten(0, 2), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 49:
            print(f"update {step + 1}: loss {loss.item():.3f}")
    small, large = solved(model, 4, 4), solved(model, 6, 14)
    print(f"4 x 4: {small:.0f} % of 100 unseen boards, 6 x 6 with the same weights: {large:.0f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64)
    main(**vars(parser.parse_args()))
