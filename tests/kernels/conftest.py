"""Ragged edges for every kernel test, and fresh memory that is NaN."""

from __future__ import annotations

import pytest
import torch

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 4e-2}
LENGTHS = {
    "mixed": [0, 1, 2, 63, 64, 65, 130, 0],
    "first and last empty": [0, 3, 5, 0],
    "all empty": [0, 0, 0],
    "no segments": [],
    "one": [7],
    "ones": [1] * 9,
    "long": [1000, 1, 3],
}
WIDTHS = (1, 3, 32, 100, 128)


@pytest.fixture(autouse=True)
def fresh_memory_is_nan():
    """What an op forgets to write shows up."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


def pointer(lengths: list[int], dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(dtype)


def normal(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def agree(fast, slow, inputs, tolerance: float) -> None:
    """Outputs and every gradient, with a random cotangent."""
    torch.testing.assert_close(fast, slow, rtol=tolerance, atol=tolerance)
    wanted = [t for t in inputs if t.requires_grad]
    if not wanted or not slow.numel():
        return
    cotangent = normal(*slow.shape, dtype=slow.dtype, seed=5)
    # + 0 * sum: an input that nothing depends on has a gradient of zeros
    grads = [
        torch.autograd.grad((out + 0 * sum(w.sum() for w in wanted)), wanted, cotangent, retain_graph=True)
        for out in (fast, slow)
    ]
    torch.testing.assert_close(*grads, rtol=tolerance, atol=tolerance)
