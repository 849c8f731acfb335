"""The reasoner alone and in a batch, against its equations node by node, and how it is marked."""

import numpy as np
import pytest
import torch

from structnet.datasets.algorithms import ALGORITHMS
from structnet.errors import StructureError
from structnet.models.algorithmic_reasoner import ReasonerOutput, triples
from structnet.systems.algorithms import AGGREGATORS, Reasoner
from structnet.tasks.algorithms import Algorithms, collate
from structnet.tasks.task import Batch

WIDTH = 5


def runs(name, sizes, seed=0):
    return [ALGORITHMS[name].sample(np.random.default_rng([seed, i]), n) for i, n in enumerate(sizes)]


def build(name, aggregator="max", triplets=False):
    torch.manual_seed(0)
    model = Reasoner(name, WIDTH, aggregator, triplets=triplets).double()
    torch.nn.init.zeros_(model.processor.gate.bias)  # let the state move
    return model


@pytest.mark.parametrize("name", ["quickselect", "bridges", "lcs_length", "graham_scan"])
@pytest.mark.parametrize("aggregator", AGGREGATORS)
def test_alone_as_in_a_batch(name, aggregator):
    model, several = build(name, aggregator, triplets=aggregator == "max"), runs(name, [5, 9, 4])
    together = model(collate(ALGORITHMS[name], several))
    whole = collate(ALGORITHMS[name], several)
    for i, run in enumerate(several):
        alone, kinds = model(collate(ALGORITHMS[name], [run])), model.probes
        for key, value in alone.outputs.items():
            rows = whole.graph == i
            if kinds[key][1] == "edge" or kinds[key][2] == "pointer":
                rows = rows[whole.edge_index[1]]
            assert (together.outputs[key][rows] - value).abs().max() <= 1e-12


def literal(model, run, steps):
    """Equations of the Processor, Triplets and decoders, one node, edge and triple at a time (bfs: 2 hints, pi)."""
    p, n = model.processor, len(run.inputs["pos"])
    code, tri = model.encoders, model.triplets
    f = lambda value: torch.tensor([float(value)], dtype=torch.float64)  # noqa: E731
    reach = [f(v) for v in run.hints["reach_h"][0]]
    point = [[f(run.hints["pi_h"][0][i] == j) for j in range(n)] for i in range(n)]
    h = [torch.zeros(WIDTH, dtype=torch.float64) for _ in range(n)]
    g = torch.zeros(WIDTH, dtype=torch.float64)
    for _ in range(steps):
        x = [
            code["pos"](f(run.inputs["pos"][i])) + code["s"](f(run.inputs["s"][i])) + code["reach_h"](reach[i])
            for i in range(n)
        ]
        e = [[code["A"](f(run.inputs["A"][i, j])) + code["adj"](f(run.inputs["adj"][i, j])) + code["pi_h"](point[i][j])
              for j in range(n)] for i in range(n)]  # fmt: skip
        z, new, gates = [torch.cat([a, b]) for a, b in zip(x, h)], [], []
        for i in range(n):
            m = [p.mlp(p.senders(z[j]) + p.receivers(z[i]) + p.edges(e[i][j]) + p.graphs(g)) for j in range(n)]
            m = torch.stack(m).max(0).values
            new.append(p.norm(torch.relu(p.own(z[i]) + p.message_in(m))))
            gates.append(torch.sigmoid(p.gate(torch.relu(p.gate_own(z[i]) + p.gate_in(m)))))
        state = [gate * b + (1 - gate) * a for gate, a, b in zip(gates, h, new)]
        nodes = [torch.cat([a, b, c]) for a, b, c in zip(x, h, state)]
        of = [tri.nodes(v).chunk(3) for v in z]
        edge = [[tri.edges(e[i][j]).chunk(3) for j in range(n)] for i in range(n)]

        def more(j, k, e=e, of=of, edge=edge):
            sums = [
                of[i][0] + of[j][1] + of[k][2] + edge[j][i][0] + edge[k][i][1] + edge[j][k][2] + tri.graphs(g)
                for i in range(n)
            ]
            return torch.relu(tri.out(torch.stack(sums).max(0).values))

        def score(d, j, k, e=e, more=more, nodes=nodes):
            wide = torch.cat([e[j][k], more(j, k)])
            return d.out(torch.maximum(d.target(nodes[j]), d.source(nodes[k]) + d.edges(wide)))

        logits = {key: torch.stack([torch.cat([score(model.decoders[key], j, k) for k in range(n)]) for j in range(n)])
                  for key in ("pi", "pi_h")}  # fmt: skip
        point = [[v[None] for v in row.softmax(0)] for row in logits["pi_h"]]
        reach_logits = [model.decoders["reach_h"].nodes(v) for v in nodes]
        reach, h = [torch.sigmoid(v) for v in reach_logits], state
    return logits["pi"], torch.cat(reach_logits)


def test_equations_and_all_gradients():
    model, (run,) = build("bfs", triplets=True), runs("bfs", [4], seed=8)
    assert run.length == 4
    out = model(collate(ALGORITHMS["bfs"], [run]))
    pi, reach = literal(model, run, run.length - 1)
    assert (out.outputs["pi"].view(4, 4) - pi).abs().max() <= 1e-12
    assert (out.hints["reach_h"][-1] - reach).abs().max() <= 1e-12
    weights, cotangent = list(model.parameters()), torch.randn(4, 4, dtype=torch.float64)
    mine = torch.autograd.grad(
        (out.outputs["pi"].view(4, 4) * cotangent).sum() + out.hints["reach_h"][-1].sum(), weights
    )
    theirs = torch.autograd.grad((pi * cotangent).sum() + reach.sum(), weights)
    for a, b in zip(mine, theirs):
        assert (a - b).abs().max() <= 1e-10


def test_triples_by_hand():
    data = collate(ALGORITHMS["bfs"], runs("bfs", [2, 3]))
    found = {tuple(t) for t in torch.stack(triples(data), 1).tolist()}
    wanted = set()
    number = {(int(k), int(j)): e for e, (k, j) in enumerate(data.edge_index.T.tolist())}
    for (k, j), e in number.items():
        for i in range(5):
            if data.graph[i] == data.graph[j]:
                wanted.add((i, e, number[i, j], number[i, k]))
    assert found == wanted and len(found) == 8 + 27


def perfect(data, kinds, stage):
    """Logits that say what is true."""
    out = {}
    for name, value in stage.items():
        if kinds[name][2] == "pointer":
            value = torch.zeros(*value.shape[:-1], data.num_edges).scatter(-1, value, 1.0)
        out[name] = 40 * value.float() - (20 if kinds[name][2] == "mask" else 0)
    return out


@pytest.mark.parametrize("name", ALGORITHMS)
def test_truth_scores_one_and_loses_nothing(name):
    task, data = Algorithms(name), collate(ALGORITHMS[name], runs(name, [5, 8, 5]))
    hints = perfect(data, task.probes, data.hints)
    output = ReasonerOutput(perfect(data, task.probes, data.outputs), {
        key: (data.hints[key] if task.probes[key].kind == "scalar" else value)[1:]
        for key, value in hints.items()})  # fmt: skip
    batch = Batch((data,), data, 3)
    assert task.loss(output, batch) < 1e-3
    scores = task.score(output, batch)
    assert (scores["score"] == 1).all() and task.summary(scores, {})["score"] == 1
    wrong = output._replace(outputs={key: -value for key, value in output.outputs.items()})
    assert task.summary(task.score(wrong, batch), {})["score"] < 0.3


@pytest.mark.parametrize("name", ["quickselect", "bfs", "heapsort", "graham_scan", "bridges"])
def test_the_loss_run_by_run_and_step_by_step(name):
    """Hints only as long as a run lasts, and of one run at a time."""
    several = runs(name, [4, 6, 5], seed=3)
    model, task, data = build(name), Algorithms(name), collate(ALGORITHMS[name], several)
    output, alone = model(data), [collate(ALGORITHMS[name], [run]) for run in several]
    said = [model(single) for single in alone]
    steps = sum(run.length - 1 for run in several)
    total = sum(one(task, single, key, out.outputs[key], single.outputs[key]) / 3
                for single, out in zip(alone, said) for key in output.outputs)  # fmt: skip
    for single, out, run in zip(alone, said, several):
        for key, logits in out.hints.items():
            for t in range(run.length - 1):
                total += one(task, single, key, logits[t], single.hints[key][t + 1]) / steps / len(out.hints)
    assert task.loss(output, Batch((data,), data, 3)).item() == pytest.approx(total.item(), rel=1e-6)


def one(task, data, key, logits, target):
    """The loss of one probe of one run."""
    kind, n = task.probes[key].kind, len(data.graph)
    if kind == "mask_one":
        return -(logits.log_softmax(0) * target).sum()
    if kind == "pointer":
        return -logits.view(n, n).log_softmax(1).flatten()[target].mean()
    if kind == "categorical":
        return -(logits.log_softmax(-1) * target).sum(-1).mean()
    if kind == "mask":
        return -(target * logits.sigmoid().log() + (1 - target) * (-logits).sigmoid().log()).mean()
    return (logits - target).square().mean()


def test_masks_are_pooled_before_f1():
    scores = {
        "score": torch.ones(2),
        "m.tp": torch.tensor([3.0, 0.0]),
        "m.fp": torch.tensor([1.0, 0.0]),
        "m.fn": torch.tensor([0.0, 2.0]),
    }
    assert np.isclose(Algorithms("bridges").summary(scores, {})["score"], 6 / 9)


def test_training_batches_are_fresh_and_repeat_with_their_seed():
    split, rows = Algorithms("bfs").split("train"), torch.arange(5)
    first, again, other = (split.batch(rows, torch.Generator().manual_seed(s)).inputs[0] for s in (1, 1, 2))
    assert torch.equal(first.inputs["A"], again.inputs["A"]) and not torch.equal(first.inputs["A"], other.inputs["A"])
    assert first.num_nodes_of.tolist() == [4, 7, 11, 13, 16]
    fixed = Algorithms("bfs").split("test").batch(torch.arange(1)).inputs[0]
    assert fixed.num_nodes == 64


def test_names_are_checked():
    with pytest.raises(StructureError, match="an algorithm out of"):
        Algorithms("bogosort")
    with pytest.raises(StructureError, match="an aggregator out of"):
        Reasoner("bfs", aggregator="mean of means")
