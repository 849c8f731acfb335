"""Recurrent relational networks: the factorised form beside PyG's `MessagePassing`, and what is kept for the way back.

python -m bench --only rrn        # forward + backward on Sudoku graphs, interleaved; ratio per puzzle and round
python -m bench.rrn --memory      # bytes kept for the gradient against rounds, whole and truncated gradient
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

from bench.registry import Case, measure
from structnet.models.candidate_network import CandidateNetwork
from structnet.models.recurrent_sudoku import RecurrentSudoku, sudoku_edges
from tests.models.relational_literal import Literal

BOARDS, ROUNDS = 8, 4
TESTS = "tests/models/test_recurrent_relational.py tests/kernels/test_edge_relu_sum.py"


def features(boards: int) -> Tensor:
    """What the encoder gets: embeddings of digit, row and column."""
    return torch.randn(81 * boards, 48, generator=torch.Generator().manual_seed(0))


def forms(layers: int, post: int, boards: int, rounds: int, gradient: int = 0) -> dict[str, Callable[[], Tensor]]:
    """Logits of all rounds, ours and PyG's way, of one network."""
    torch.manual_seed(0)
    model = RecurrentSudoku(message_layers=layers, update_layers=post, rounds=rounds, gradient=gradient).network
    literal, x, graph = Literal(model), features(boards), sudoku_edges(boards)
    edge_index, nothing = graph.edge_index, torch.zeros(graph.num_edges, 1)
    return {
        "factorised": lambda: model(x, graph, node_attr=x.new_zeros(len(x), 1)).logits,
        "PyG MessagePassing": lambda: literal(x, edge_index, nothing, rounds),
    }


def case(layers: int, post: int) -> Case:
    made = forms(layers, post, BOARDS, ROUNDS)
    puzzles = torch.randint(0, 10, (BOARDS, 81), generator=torch.Generator().manual_seed(0))
    other = CandidateNetwork(width=48, hidden=96, train_rounds=ROUNDS)  # the size of the shipped checkpoint

    def step(form: Callable[[], Tensor]) -> Callable[[], None]:
        return lambda: form().square().mean().backward()

    def check() -> None:
        torch.testing.assert_close(*(form() for form in made.values()), rtol=1e-3, atol=1e-4)

    timed = {name: step(form) for name, form in made.items()}
    timed["candidate network (another function)"] = step(lambda: other(puzzles).logits)
    note = f"{BOARDS} boards x {ROUNDS} rounds, width 96, {layers} message layers, {post} before the LSTM, fwd + bwd"
    return Case(timed, check, items=BOARDS * ROUNDS, note=note)


@measure("rrn/published", TESTS, repeats=5)
def published() -> Case:
    return case(4, 4)


@measure("rrn/two layers", TESTS, repeats=5)
def two_layers() -> Case:
    return case(2, 0)


def kept_bytes(form: Callable[[], Tensor]) -> int:
    """Bytes of the different tensors that autograd keeps for the way back."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = form()
    del out
    return sum(kept.values())


def memory() -> None:
    print(f"{'rounds':>8}" + "".join(f"{name:>26}" for name in ("PyG, published", "ours, published", "ours, two layers",
                                                              "ours, two, last 4 rounds")))  # fmt: skip
    for rounds in (4, 8, 16, 32, 64):
        literal = forms(4, 4, 1, rounds)["PyG MessagePassing"] if rounds <= 16 else None
        ours = [forms(4, 4, 1, rounds), forms(2, 0, 1, rounds), forms(2, 0, 1, rounds, gradient=4)]
        figures = [literal, *(made["factorised"] for made in ours)]
        texts = ["-" if form is None else f"{kept_bytes(form) / 2**20:.1f} MB" for form in figures]
        print(f"{rounds:>8}" + "".join(f"{text:>26}" for text in texts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true", required=True)
    parser.parse_args()
    memory()
