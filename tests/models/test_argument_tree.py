"""Compositions of whole argument lists: literal equations, order, batching, and what they learn from short lists."""

import json
from functools import reduce

import pytest
import torch
from torch.nn import functional as F

from structnet import cli
from structnet.errors import StructureError
from structnet.models.argument_tree import ArgumentCell, ArgumentTreeClassifier, FiniteMonoids, SignedVotes
from structnet.structures import Segments
from structnet.tasks.listops import ListOps

LENGTHS, SYMBOLS = torch.tensor([3, 1, 5, 2]), torch.tensor([1, 0, 1, 2])


def lists(values: int = 4):
    torch.manual_seed(3)
    return torch.randn(int(LENGTHS.sum()), values, dtype=torch.float64).softmax(-1), Segments.from_lengths(LENGTHS)


def halving(op, rows):
    while len(rows) > 1:
        rows = [op(*rows[i : i + 2]) if i + 1 < len(rows) else rows[i] for i in range(0, len(rows), 2)]
    return rows[0]


def test_finite_monoids_are_the_equation_folded():
    part, (p, segments) = FiniteMonoids(3, 4).double(), lists()
    table = (4 * (part.logits + part.logits.transpose(1, 2))).softmax(-1)
    expected = [halving(lambda a, b, s=s: torch.einsum("i,j,ijk->k", a, b, table[s]), list(rows))
                for rows, s in zip(p.split(LENGTHS.tolist()), SYMBOLS)]  # fmt: skip
    torch.testing.assert_close(part(p, segments, SYMBOLS).exp() - 1e-6, torch.stack(expected), rtol=0, atol=1e-12)


def test_a_certain_table_is_right_on_any_number_of_arguments():
    part, values = FiniteMonoids(1, 10), torch.randint(0, 10, (40,))
    largest = torch.maximum(torch.arange(10)[:, None], torch.arange(10))
    part.logits.data[0] = 10.0 * F.one_hot(largest, 10)
    out = part(F.one_hot(values, 10).float(), Segments(torch.tensor([0, 40])), torch.tensor([0]))
    assert out.argmax(-1).tolist() == [int(values.max())]


@pytest.mark.parametrize("calls", [0, 1000, 4000, 9000])
def test_signed_votes_are_the_equation_in_any_order(calls):
    part, (p, segments) = SignedVotes(3, 4, 2, 5, 6, 4000).double(), lists()
    part.calls.fill_(calls)
    code_gain, sign_gain = (a * (b / a) ** min(1.0, calls / 4000) for a, b in ((2, 8), (0.5, 4)))
    expected = []
    for rows, s in zip(p.split(LENGTHS.tolist()), SYMBOLS):
        code = torch.tanh(code_gain * (part.features[s] @ part.weight[s] + part.bias[s]))
        total = reduce(torch.add, [row @ code for row in rows.flip(0)])
        hidden = F.gelu(part.inner.weight @ torch.tanh(sign_gain * total) + part.inner.bias + part.shift.weight[s])
        expected.append((part.outer.weight @ hidden + part.outer.bias).log_softmax(-1))
    torch.testing.assert_close(part(p, segments, SYMBOLS), torch.stack(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_lists_do_not_see_their_neighbours(training):
    cell, (p, segments) = ArgumentCell(3, 4, hidden=8).double().train(training), lists()
    cell.gate.data = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, -1.0]], dtype=torch.float64)
    out = cell(p, segments, SYMBOLS)
    alone = [cell(rows, Segments(torch.tensor([0, len(rows)])), s[None])
             for rows, s in zip(p.split(LENGTHS.tolist()), SYMBOLS)]  # fmt: skip
    torch.testing.assert_close(out, torch.cat(alone), rtol=0, atol=1e-12)


def test_evaluation_takes_the_likelier_part_and_a_certain_value():
    cell, (p, segments) = ArgumentCell(3, 4, hidden=8).double(), lists()
    cell.gate.data = torch.tensor([[0.1, 0.2], [0.3, 0.2], [0.0, 9.0]], dtype=torch.float64)
    monoids, votes = (part(p, segments, SYMBOLS).argmax(-1) for part in cell.parts)
    expected = torch.where(torch.tensor([True, False, True, False]), monoids, votes)  # gates of symbols 1, 0, 1, 2
    assert torch.equal(cell.eval()(p, segments, SYMBOLS), F.one_hot(expected, 4).double())
    mixed = sum(w * part(p, segments, SYMBOLS).exp() for w, part in zip(cell.gate[SYMBOLS].softmax(-1).T[..., None],
                                                                        cell.parts))  # fmt: skip
    torch.testing.assert_close(cell.train()(p, segments, SYMBOLS), mixed, rtol=0, atol=1e-12)


def test_classifier_on_nary_trees(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_text("9\t[MAX 2 9 [MIN 4 7 ] 0 ]\n5\t5\n8\t[SM 3 [MED 1 2 3 4 ] 3 ]\n")
    rows, model = ListOps(nary=True).from_file(path), ArgumentTreeClassifier(hidden=8).double().eval()
    tokens, segments, tree = rows.batch(torch.arange(3)).inputs
    out = model(tokens, segments, tree)
    for row in range(3):
        alone = model(*rows.batch(torch.tensor([row])).inputs)
        torch.testing.assert_close(out[row : row + 1], alone, rtol=0, atol=1e-12)
    out.sum().backward()
    assert model.leaves.grad is not None and model.cell.parts[1].calls == 0
    model.train()(tokens, segments, tree)
    assert model.cell.parts[1].calls == 1
    with pytest.raises(StructureError, match="n-ary gold tree"):
        model(tokens, segments)


@pytest.mark.slow
def test_trained_on_at_most_five_arguments_right_on_fifteen():
    """One operator over random digits; MIN, MAX, MED, SM are known by their answers alone."""

    def draw(rows: int, arguments: int):
        x, op = torch.randint(0, 10, (rows, arguments)), torch.randint(0, 4, (rows,))
        s = x.sort(1).values
        middle = (s[:, (arguments - 1) // 2] + s[:, arguments // 2]) // 2
        answers = torch.stack([s[:, 0], s[:, -1], middle, x.sum(1) % 10], 1)
        segments = Segments.from_lengths(torch.full((rows,), arguments))
        return F.one_hot(x, 10).float().flatten(0, 1), segments, op, answers.gather(1, op[:, None])[:, 0]

    torch.manual_seed(0)
    cell, steps = ArgumentCell(4, 10, anneal=2000), 3000
    optimizer = torch.optim.AdamW(cell.parameters(), 3e-3)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, 2 * (1 - step / steps))
        *given, target = draw(256, 2 + step % 4)
        cell.parts[1].count()  # pyright: ignore
        optimizer.zero_grad()
        F.nll_loss((cell(*given) + 1e-6).log(), target).backward()
        optimizer.step()
    cell.eval()
    for arguments in (10, 15):
        *given, target = draw(2000, arguments)
        assert (cell(*given).argmax(-1) == target).float().mean() > 0.95


def test_the_shipped_checkpoint_takes_more_arguments_than_it_was_trained_on(tmp_path, capsys):
    path = tmp_path / "rows.tsv"
    rows = "7\t[MED 9 9 9 9 9 9 6 6 5 4 3 2 ]", "2\t[SM 9 9 9 9 9 [MAX 1 7 ] 0 0 0 0 0 0 0 0 0 ]", "1\t[MIN 8 9 1 3 ]"
    path.write_text("\n".join(rows))
    assert cli.main(["evaluate", "argument-tree-listops", "--data", str(path), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["splits"].values()
    assert result["count"] == 3 and result["accuracy"] == 1.0
