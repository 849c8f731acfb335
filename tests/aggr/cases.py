"""Every aggregator once, with its literal re-statement: a new one joins all tests by joining this list."""

import torch

from structnet import aggr
from tests.aggr import literal
from tests.aggr.literal import WIDTH

CASES = {
    "lcm": (lambda: aggr.LCMAggregation(WIDTH, WIDTH), literal.lcm),
    "gru": (lambda: aggr.GRUAggregation(WIDTH, WIDTH), literal.gru_last),
    "lstm": (lambda: aggr.LSTMAggregation(WIDTH, WIDTH), literal.lstm_last),
    "affine": (lambda: aggr.AffineScanAggregation(WIDTH, WIDTH), literal.affine),
    "affine-unsigned": (lambda: aggr.AffineScanAggregation(WIDTH, WIDTH, signed=False), literal.affine),
    "top-k": (lambda: aggr.TopKAggregation(WIDTH, k=1), literal.top_k),
    "top-k-largest": (lambda: aggr.TopKAggregation(WIDTH, k=3, largest=True), literal.top_k),
    "top-rows": (lambda: aggr.TopRowsAggregation(WIDTH, k=3, sharpness=2.0), literal.top_rows),
    "logsumexp": (lambda: aggr.LogSumExpAggregation(WIDTH, temperature=2.0), literal.log_sum_exp),
    "attention": (lambda: aggr.AttentionAggregation(WIDTH, WIDTH, heads=2), literal.attention),
    "modular": (lambda: aggr.ModularAggregation(heads=2, modulus=3, sharpness=2.0, hard=False), literal.modular),
    "phase": (lambda: aggr.PhaseAggregation(WIDTH, scale=0.7), literal.phase),
    "finite": (lambda: aggr.FiniteMonoidAggregation(heads=2, states=3), literal.finite),
}
COMMUTATIVE = ("lcm", "top-k", "top-k-largest", "top-rows", "logsumexp", "attention", "modular", "phase", "finite")


def build(name: str, dtype=torch.float64):
    """The aggregator with weights drawn from seed 0; what starts at zero (identities) is drawn too."""
    torch.manual_seed(0)
    module = CASES[name][0]().to(dtype)
    for parameter in module.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter)
    return module


def sets(lengths, width=WIDTH, seed=0, dtype=torch.float64):
    """Rows `[N, width]` and their sorted index for sets of these sizes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(sum(lengths), width, generator=generator, dtype=dtype)
    return x, torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths, dtype=torch.long))
