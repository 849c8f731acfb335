"""What an aggregator may be given, what it refuses, and what it keeps."""

import gc

import pytest
import torch

from structnet import aggr
from structnet.aggr import groups
from structnet.errors import StructureError
from tests.aggr.cases import CASES, WIDTH, build, sets

everyone = pytest.mark.parametrize("name", CASES)


@everyone
@pytest.mark.parametrize("ptr", [[0, 2, 9], [0, 2, 4], [0, 60_000, 5], [1, 2, 5]])
def test_a_pointer_that_does_not_fit_is_said(name, ptr):
    module, (x, index) = build(name), sets([2, 3])
    with pytest.raises(StructureError):
        module(x, ptr=torch.tensor(ptr))
    with pytest.raises(StructureError):
        module(x, index[:-1], dim_size=2)


@everyone
def test_narrow_indices(name):
    module, (x, index) = build(name), sets([2, 3])
    assert torch.equal(module(x, index.int(), dim_size=2), module(x, index, dim_size=2))
    assert torch.equal(module(x, ptr=torch.tensor([0, 2, 5], dtype=torch.int32)), module(x, index, dim_size=2))


@everyone
def test_nothing_is_kept_for_longer_than_its_index(name):
    module, (x, index) = build(name), sets([2, 3])
    gc.collect()
    before = len(groups._KEPT)
    for _ in range(3):
        module(x, ptr=torch.tensor([0, 2, 5]))
        module(x, index.clone(), dim_size=2)
    gc.collect()
    assert len(groups._KEPT) == before


@everyone
def test_training_after_inference_mode_on_the_same_index(name):
    module, (x, _) = build(name), sets([2, 3])
    index = torch.tensor([1, 0, 1, 0, 1])
    with torch.inference_mode():
        module(x, index, dim_size=2)
    module(x.requires_grad_(), index, dim_size=2).sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("top")])  # those take what they chose
def test_numbers_that_are_none_stay_visible_and_in_their_set(name):
    module, (x, index) = build(name), sets([2, 3])
    x[0] = torch.nan
    out = module(x, index, dim_size=3)
    assert out[0].isnan().all() and not out[1:].isnan().any()
    if name == "logsumexp":
        x[0] = torch.inf
        assert (module(x, index, dim_size=3)[0] == torch.inf).all()


@pytest.mark.parametrize(
    "module",
    [
        aggr.ModularAggregation(heads=2, modulus=3),
        aggr.PhaseAggregation(WIDTH, modulus=3),
        aggr.FiniteMonoidAggregation(heads=2, states=3, hard=True),
    ],
)
def test_rounding_hides_no_number_that_is_none(module):
    x, index = sets([2, 3])
    x[0, 0], x[3, 1] = torch.nan, torch.inf
    out, sound = (module.double().eval()(rows, index, dim_size=3) for rows in (x, x.nan_to_num(0.0, 0.0)))
    spoilt = out.isnan()
    assert spoilt[:2].any(1).all() and not spoilt[2].any() and not spoilt.all(0).any()
    assert torch.equal(out[~spoilt], sound[~spoilt])


@everyone
def test_under_autocast(name):
    module, (x, index) = build(name, torch.float32), sets([2, 3], dtype=torch.float32)
    x.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x, index, dim_size=3)
    out.float().sum().backward()
    assert x.grad.isfinite().all()
