"""Rounds of the candidate network on 9 x 9 boards, at the size of the shipped checkpoint: compiled beside torch.

python -m bench --only candidate
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.registry import Case, measure
from structnet.kernels.candidate_rounds import candidate_rounds, torch_form
from structnet.models.candidate_network import CandidateNetwork

BOARDS, ROUNDS = 8, 8
TESTS = "tests/kernels/test_candidate_rounds.py tests/models/test_candidate_network.py"


def case(gradient: bool) -> Case:
    model = CandidateNetwork(width=48, hidden=96).requires_grad_(gradient)
    puzzles = torch.randint(0, 10, (BOARDS, 81), generator=torch.Generator().manual_seed(0))
    given = (model.weights(), model.first_state(puzzles), puzzles, ROUNDS, ROUNDS if gradient else 1)
    forms = {"compiled": candidate_rounds, "torch": torch_form.candidate_rounds}

    def step(form: Callable) -> Callable[[], None]:
        def run() -> None:
            logits = form(*given)[0]
            if gradient:
                logits.square().mean().backward(retain_graph=True)

        return run

    def check() -> None:
        torch.testing.assert_close(*(form(*given)[0] for form in forms.values()), rtol=1e-3, atol=1e-3)

    note = f"{BOARDS} boards x {ROUNDS} rounds, width 48, hidden 96, forward" + (" + backward" if gradient else "")
    timed = {name: step(form) for name, form in forms.items()}
    return Case(timed, check, items=BOARDS * ROUNDS, note=note)


@measure("candidate/forward", TESTS, repeats=7)
def forward() -> Case:
    return case(gradient=False)


@measure("candidate/both", TESTS, repeats=7)
def both() -> Case:
    return case(gradient=True)
