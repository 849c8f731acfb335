"""Carried states: who stays, who goes, and that a resumed run gives the same bits."""

from types import SimpleNamespace

import torch
from torch import nn

from structnet.datasets.sudoku import generate
from structnet.models.candidate_network import CandidateNetwork
from structnet.tasks.sudoku import Sudoku, SudokuSplit
from structnet.tasks.task import Batch
from structnet.training import Trainer, TrainSettings
from structnet.training.carry import Carry


class Toy(nn.Module):
    def first_state(self, x):
        return torch.zeros(len(x))


def batch(*values: int) -> Batch:
    x = torch.tensor(values)
    return Batch((x,), x * 10, len(values))


def output(state: torch.Tensor, solved: list[int]):
    return SimpleNamespace(state=state, solved=torch.tensor(solved).float())


TASK = SimpleNamespace(score=lambda out, batch: {"accuracy": out.solved})


def test_unsolved_samples_stay_with_their_state_and_leave_after_most_updates():
    carry = Carry(Toy(), TASK, most=3)  # type: ignore[arg-type]
    first = carry.mix(0, batch(1, 2))
    assert first.inputs[1].tolist() == [0, 0]
    carry.keep(0, first, output(torch.tensor([5.0, 6.0]), [0, 0]))
    carry.places[0] |= {"age": torch.tensor([1, 2]), "stays": torch.tensor([True, True])}  # whatever ages were drawn
    second = carry.mix(0, batch(3, 4))
    assert second.inputs[0].tolist() == [1, 2] and second.inputs[1].tolist() == [5, 6]
    assert second.target.tolist() == [10, 20]
    carry.keep(0, second, output(torch.tensor([7.0, 8.0]), [0, 0]))
    third = carry.mix(0, batch(3, 4))  # the second place was held for three updates
    assert third.inputs[0].tolist() == [1, 4] and third.inputs[1].tolist() == [7, 0]
    assert third.target.tolist() == [10, 40]


def test_a_short_last_batch_fills_all_free_places():
    carry = Carry(Toy(), TASK, most=1)  # type: ignore[arg-type]
    carry.keep(0, carry.mix(0, batch(1, 2, 3)), output(torch.zeros(3), [0, 0, 0]))
    assert carry.mix(0, batch(7)).inputs[0].tolist() == [7, 7, 7]


def test_about_half_of_the_solved_samples_leave():
    torch.manual_seed(0)
    carry = Carry(Toy(), TASK, most=10**6)  # type: ignore[arg-type]
    carry.keep(0, carry.mix(0, batch(*range(2000))), output(torch.zeros(2000), [1, 0] * 1000))
    stays = carry.places[0]["stays"]
    assert bool(stays[1::2].all()) and 400 < int(stays[::2].sum()) < 600


class Boards(Sudoku):
    def split(self, name):
        pair = generate(24, 4, 6, torch.Generator().manual_seed(len(name)))
        return SudokuSplit(name, *pair, reveals=3 if name == "train" else 0)


def test_interrupted_and_resumed_gives_the_same_bits_and_the_starts_differ_from_the_first_state(tmp_path):
    def trainer(folder: str, steps: int) -> Trainer:
        torch.manual_seed(0)
        model = CandidateNetwork(width=16, hidden=16, rounds=4, train_rounds=2, noise=0.1)
        settings = TrainSettings(steps=steps, batch_size=8, bucket=1, carry=4, evaluate_every=3, schedule="constant")
        (tmp_path / folder).mkdir(exist_ok=True)
        return Trainer(model, Boards(), settings, tmp_path / folder, quiet=True)

    whole = trainer("whole", 6)
    whole.fit()
    trainer("parts", 3).fit()
    parts = trainer("parts", 6)
    parts.fit()
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), parts.model.parameters()))
    held = whole.carry.places[0]  # type: ignore[union-attr]
    assert held["age"].max() > 1 and not torch.allclose(held["state"], whole.model.first_state(held["0"]), atol=0.5)
