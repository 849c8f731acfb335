"""Level-parallel trees: the definition word by word, batches, rounds, work."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from structnet.models.parallel_tree import ParallelTreeEncoder
from structnet.structures import Segments

WIDTH = 6


def build(**settings) -> ParallelTreeEncoder:
    torch.manual_seed(0)
    model = ParallelTreeEncoder(WIDTH, slice=4, **settings).double().eval()
    model.scorer[2].weight.data *= 5
    return model


def batch(lengths):
    segments = Segments.from_lengths(torch.tensor(lengths))
    generator = torch.Generator().manual_seed(sum(lengths))
    return torch.randn(segments.num_rows, WIDTH, generator=generator, dtype=torch.float64, requires_grad=True), segments


def literal(model, nodes, noise=None):
    """Root and log p of one sample, on lists; `noise(round, place)` is added to a pair's score for the choice."""
    nodes, score, rounds = list(nodes), 0.0, 0
    while len(nodes) > 1:
        scores = [model.scorer(a[None], b[None])[0] for a, b in zip(nodes, nodes[1:])]
        keys = [s.item() + (noise(rounds, j) if noise else 0.0) for j, s in enumerate(scores)]
        out, j = [], 0
        while j < len(nodes):
            near = range(max(j - 1, 0), min(j + 2, len(scores)))
            wins = j < len(scores) and all(keys[j] > keys[i] if i < j else keys[j] >= keys[i] for i in near)
            if wins:
                score = score + scores[j] - torch.stack([scores[i] for i in near]).logsumexp(0)
                out.append(model.cell(nodes[j][None], nodes[j + 1][None])[0])
            else:
                out.append(nodes[j])
            j += 2 if wins else 1
        nodes, rounds = out, rounds + 1
    return nodes[0], score, rounds


def test_equals_the_definition():
    model, (x, segments) = build(), batch((1, 2, 3, 9, 1, 20))
    theirs = torch.stack([literal(model, part)[0] for part in x.split(segments.lengths.tolist())])
    ours = model(x, segments)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    wanted = [x, *model.cell.parameters()]
    for a, b in zip(*(torch.autograd.grad(v.square().sum(), wanted) for v in (ours, theirs))):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_training_mixes_hypotheses_by_their_log_p(monkeypatch):
    """Three hypotheses of one sample, their noise replayed; value and all gradients, those of the scorer too."""
    model, (x, segments) = build(beam=3).train(), batch((8,))
    drawn: list[torch.Tensor] = []
    exponential = torch.Tensor.exponential_

    def noted(self):
        drawn.append(exponential(self).clone())
        return self.copy_(drawn[-1])

    monkeypatch.setattr(torch.Tensor, "exponential_", noted)
    ours = model(x, segments)
    lengths, ends = [8, 8, 8], []
    starts = []  # first pair of each hypothesis among all pairs of a round
    for _ in drawn:
        starts.append([sum(max(n - 1, 0) for n in lengths[:b]) for b in range(3)])
        lengths = [count_after(model, x, b, len(starts), drawn, starts) for b in range(3)]
    for b in range(3):
        ends.append(literal(model, x, None if b == 0 else noise_of(b, drawn, starts))[:2])
    weights = torch.stack([score for _, score in ends]).softmax(0)
    theirs = sum(w * root for w, (root, _) in zip(weights, ends))
    torch.testing.assert_close(ours[0], theirs, rtol=1e-10, atol=1e-10)
    wanted = [x, *model.parameters()]
    for a, b in zip(*(torch.autograd.grad(v.square().sum(), wanted) for v in (ours, theirs))):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def noise_of(b, drawn, starts):
    return lambda round_, place: -drawn[round_][starts[round_][b] + place].log().item()


def count_after(model, x, b, rounds, drawn, starts):
    """Nodes that hypothesis b has left after so many rounds."""
    left, noise = len(x), None if b == 0 else noise_of(b, drawn, starts)
    nodes, calls = x.detach(), []

    class Stop(Exception):
        pass

    def counted(round_, place):
        if round_ == rounds:
            raise Stop
        return noise(round_, place) if noise else 0.0

    hook = model.cell.register_forward_pre_hook(lambda _, args: calls.append(1))
    try:
        literal(model, nodes, counted)
    except Stop:
        pass
    finally:
        hook.remove()
    return left - len(calls)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_batching_law(lengths):
    model, (x, segments) = build(), batch(lengths)
    alone = [model(part, Segments.from_lengths(torch.tensor([len(part)]))) for part in x.split(lengths)]
    torch.testing.assert_close(model(x, segments), torch.cat(alone), rtol=1e-12, atol=1e-12)


def test_work_law_and_rounds():
    model, (x, segments) = build(), batch((200, 40))
    rows = []
    model.cell.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    model(x, segments)
    assert sum(rows) == 199 + 39
    assert len(rows) == max(literal(model, part)[2] for part in x.detach().split([200, 40])) < 60
    rows.clear()
    model.train()(x, segments)
    assert sum(rows) == model.beam * (199 + 39)


def test_scores_that_only_rise_take_one_merge_a_round():
    model = build()
    model.scorer.forward = lambda left, right: left[:, 0] * 0 + right[:, 0]
    model.cell.forward = lambda left, right: right
    x = torch.arange(5.0).double()[:, None].expand(5, WIDTH)
    calls = []
    model.cell.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    assert model(x, Segments.from_lengths(torch.tensor([5])))[0, 0] == 4
    assert calls == [1, 1, 1, 1]
