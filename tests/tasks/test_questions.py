"""The tasks that recurrent relational networks were made for: what a batch holds, how it is marked, what learns it."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch

from structnet.datasets import age, pretty_clevr, sort_of_clevr
from structnet.datasets.babi import read_stories, vocabulary
from structnet.errors import StructureError
from structnet.models.recurrent_relational import Predictions
from structnet.systems import names
from structnet.tasks import age as age_task
from structnet.tasks import pretty_clevr as pretty_task
from structnet.tasks import sort_of_clevr as sort_task
from structnet.tasks.babi import Babi, StorySplit
from structnet.tasks.questions import Questions
from structnet.tasks.task import Batch

STORY = "".join(
    f"{2 * i + 1} {who} went to the {place}.\n{2 * i + 2} Where is {who}?\t{place}\t{2 * i + 1}\n"
    for i, (who, place) in enumerate(zip(["Mary", "John", "Daniel"] * 10, ["kitchen", "garden"] * 15))
)


@pytest.fixture
def stories(tmp_path):
    (tmp_path / "qa1_train.txt").write_text(STORY)
    return StorySplit("train", read_stories(tmp_path / "qa1_train.txt"))


def splits(stories=None):
    """A small split of each task."""
    made = {
        "pretty-clevr": pretty_task.SceneSplit("train", pretty_clevr.generate(2)),
        "sort-of-clevr": sort_task.SceneSplit("train", *sort_of_clevr.generate(10)),
        "age": age_task.FactSplit("train", age.draw(np.arange(64), np.random.default_rng(0))),
    }
    return made if stories is None else {**made, "babi": stories}


def test_the_loss_is_the_mean_over_rounds_and_the_last_round_is_marked():
    logits = torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[2.0, 0.0], [3.0, 0.0]]])
    batch, task = Batch((), torch.tensor([0, 1]), 2), Questions()
    first = torch.log(torch.tensor(2.0))
    second = (torch.log1p(torch.exp(torch.tensor(-2.0))) + torch.log1p(torch.exp(torch.tensor(3.0)))) / 2
    torch.testing.assert_close(task.loss(Predictions(logits, ()), batch), (first + second) / 2)
    torch.testing.assert_close(task.loss(logits[1], batch), second)
    assert task.score(Predictions(logits, ()), batch)["accuracy"].tolist() == [1, 0]


@pytest.mark.parametrize("task", ["babi", "pretty-clevr", "sort-of-clevr", "age"])
def test_every_named_system_gives_a_sample_alone_what_it_gives_in_a_batch(task, stories):
    split, rows = splits(stories)[task], torch.tensor([3, 0, 5, 29])
    for system in names(task).values():
        torch.manual_seed(0)
        model = system.build().double().eval()
        whole = split.batch(rows)
        task_class = system.task  # type: ignore[assignment]
        marks = task_class.score(task_class, model(*doubled(whole)), whole)["loss"]  # type: ignore[arg-type]
        for at in (0, 3):
            alone = split.batch(rows[at : at + 1])
            one = task_class.score(task_class, model(*doubled(alone)), alone)["loss"]  # type: ignore[arg-type]
            torch.testing.assert_close(one, marks[at : at + 1], rtol=0, atol=1e-6)
            assert alone.target == whole.target[at]


def doubled(batch):
    return [t.double() if isinstance(t, torch.Tensor) and t.is_floating_point() else t for t in batch.inputs]


@pytest.mark.parametrize("task", ["babi", "pretty-clevr", "sort-of-clevr", "age"])
def test_the_first_system_fits_a_handful_of_questions(task, stories):
    split, rows, system = splits(stories)[task], torch.arange(8), next(iter(names(task).values()))
    narrow = {"hidden" if "hidden" in system.model_args else "width": 32}
    model, marker = replace(system, model_args={**system.model_args, **narrow}).build(), Questions()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(160):
        batch = split.batch(rows)
        optimizer.zero_grad()
        marker.loss(model(*batch.inputs), batch).backward()
        optimizer.step()
    model.eval()
    assert marker.score(model(*batch.inputs), batch)["accuracy"].mean() > 0.8


def test_pretty_clevr_nodes():
    split = splits()["pretty-clevr"]
    batch = split.batch(torch.arange(128, 256))
    x, graph, distance, owner = batch.inputs
    assert x.shape == (128 * 8, pretty_task.CHANNELS) and graph.num_edges == 128 * 56 == len(distance)
    assert torch.equal(x[:, 2:10].sum(0), torch.full((8,), 128.0)) and (x[:, 18:].sum(1) == 2).all()
    i, j = graph.sender[9], graph.target[9]
    torch.testing.assert_close(distance[9, 0], (x[i, :2] - x[j, :2]).norm())
    scaled = pretty_task.SceneSplit("train", split.scenes, scaled=True).batch(torch.arange(128, 256)).inputs[2]
    torch.testing.assert_close(scaled, 6 * (distance - 0.5))
    assert torch.bincount(batch.keys["jumps"]).tolist() == [16] * 8 and torch.bincount(owner).tolist() == [8] * 128


def test_a_curriculum_of_jumps_is_for_training_alone():
    task = pretty_task.PrettyClevr(scenes=3, jumps=2)
    train, marked = task.split("train"), task.split("validation")
    assert len(train) == len(train.sizes) == 3 * 16 * 3 and len(marked) == 200 * 128
    assert torch.bincount(train.batch(torch.arange(len(train))).keys["jumps"]).tolist() == [48] * 3
    assert pretty_task.PrettyClevr(scenes=3, scaled=True).split("test").batch(torch.arange(9)).inputs[2].min() < 0
    for wrong in (-1, 8):
        with pytest.raises(StructureError, match="jumps"):
            pretty_task.PrettyClevr(jumps=wrong)


def test_sort_of_clevr_nodes():
    split = splits()["sort-of-clevr"]
    batch = split.batch(torch.arange(20))
    x = batch.inputs[0].view(20, 6, -1)
    assert x.shape[2] == sort_task.CHANNELS and (x[:, :, 10:].sum(2) == 3).all()
    assert torch.equal(x[0, :, 4:10], torch.eye(6))
    assert batch.keys["relational"].tolist() == [0] * 10 + [1] * 10 and int(batch.keys["kind"].max()) <= 5
    assert batch.inputs[1].num_edges == 20 * 36


def test_training_trees_get_new_ages_and_the_same_generator_the_same():
    split = age_task.Age().split("train")
    assert len(split) == 235_929 and not set(split.trees.tolist()) & set(held_out_trees())
    draws = [split.batch(torch.arange(50), torch.Generator().manual_seed(s)).target for s in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert age_task.Age().split("validation").batch(torch.arange(3)).inputs[0].shape == (24, age_task.CHANNELS)


def held_out_trees():
    return np.random.default_rng(0).permutation(age.TREES)[age.TREES * 9 // 10 :]


def test_babi_sees_the_last_twenty_facts_and_moves_their_places(stories):
    batch = stories.batch(torch.arange(30))
    lengths = batch.inputs[3].lengths
    assert lengths.tolist() == [min(n + 1, 20) for n in range(30)]  # 30 facts before the last question
    assert int(batch.inputs[4].max()) == 19 and torch.equal(batch.inputs[4][:1], torch.tensor([0]))
    assert int(batch.inputs[0].max()) < len(vocabulary()) and len(batch.inputs[1]) < len(batch.inputs[2])
    moved = stories.batch(torch.arange(30), torch.Generator().manual_seed(0)).inputs[4] - batch.inputs[4]
    ptr = batch.inputs[3].ptr
    assert all(len(set(moved[a:b].tolist())) == 1 for a, b in zip(ptr, ptr[1:])) and 0 < moved.max() < 20


def test_tasks_solved_below_five_percent_error():
    keys = {"task": torch.tensor([1] * 100 + [2] * 100 + [7] * 2)}
    right = torch.cat([torch.ones(96), torch.zeros(4), torch.ones(95), torch.zeros(5), torch.ones(2)])
    assert Babi.summary({"accuracy": right}, keys)["solved"] == 2


@pytest.mark.parametrize("task", ["babi", "pretty-clevr", "sort-of-clevr", "age"])
def test_unknown_splits_are_named(task):
    made = next(iter(names(task).values())).task()
    with pytest.raises(StructureError, match="validation"):
        made.split("exam")
    assert "train" not in made.splits and set(made.in_range) >= set(made.splits)


def test_babi_asks_for_its_files():
    with pytest.raises(StructureError, match="task_args"):
        Babi().split("train")


@pytest.mark.parametrize("task", ["babi", "pretty-clevr", "sort-of-clevr", "age"])
def test_systems_name_arguments_that_exist(task):
    for system in names(task).values():
        assert set(system.model_args) <= set(inspect.signature(system.model).parameters)
