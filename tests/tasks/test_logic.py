"""Logical inference: truth tables by hand, the original files, what is trained on and what is not."""

import re

import pytest
import torch

from structnet.datasets.logic import RELATIONS, VOCABULARY, generate, read_pairs, relation, truth_table
from structnet.errors import StructureError
from structnet.models import PairClassifier
from structnet.structures import Segments
from structnet.tasks.logic import Logic
from structnet.tasks.task import Split

BY_HAND = {
    ("a", "a"): "=",
    ("a", "b"): "#",
    ("( a ( and b ) )", "a"): "<",
    ("( a ( or b ) )", "b"): ">",
    ("a", "( not a )"): "^",
    ("( a ( and b ) )", "( not b )"): "|",
    ("( a ( or b ) )", "( not a )"): "v",
    ("( not ( a ( and b ) ) )", "( ( not a ) ( or ( not b ) ) )"): "=",  # De Morgan
}


@pytest.mark.parametrize("pair, expected", BY_HAND.items())
def test_relations_by_hand(pair, expected):
    assert relation(*(truth_table(side.split()) for side in pair)) == expected


def test_truth_table_against_python():
    text = "( ( not ( a ( or f ) ) ) ( and ( b ( or ( not c ) ) ) ) )"
    python = "(not (a or f)) and (b or (not c))"
    for row in range(64):
        names = {name: bool(row >> at & 1) for at, name in enumerate("abcdef")}
        assert truth_table(text.split()) >> row & 1 == eval(python, {}, names)


@pytest.mark.parametrize("text", ["( a and b )", "( a ( and b )", "a b", "( not )", "g", ""])
def test_what_is_not_a_formula(text):
    with pytest.raises(StructureError, match="a formula such as"):
        truth_table(text.split())


def test_drawn_pairs():
    splits = generate(3000)
    rows = [splits[name].text(row) for name in splits for row in range(len(splits[name]))]
    assert len(set(rows)) == len(rows) and 0.1 < len(splits["test"]) / len(rows) < 0.2
    pairs = splits["train"]
    for row in range(200):
        sides = [side.split() for side in pairs.text(row).split("\t")]
        assert RELATIONS[pairs.labels[row]] == relation(*map(truth_table, sides))
        assert pairs.operators[row] == min(12, max(sum(w in ("and", "or", "not") for w in side) for side in sides))
        assert len({w for side in sides for w in side if w in "abcdef"}) <= 4
    assert (generate(3000)["train"].tokens == pairs.tokens).all()


def test_training_sees_at_most_six_operators_and_tests_are_others():
    task = Logic(count=3000)
    train = task.split("train").pairs
    assert train.operators.max() == 6
    known, held = len(task.split("train")), len(task.split("validation"))
    assert held == (known + held + 9) // 10  # every tenth row
    first, whole = (task.split("validation").operators[:n].double().mean() for n in (60, None))
    assert (first - whole).abs() < 1  # in no order of length
    seen = {train.text(row) for row in range(len(train))}
    for name in task.splits:
        pairs = task.split(name).pairs
        assert not seen & {pairs.text(row) for row in range(len(pairs))}
        assert name == "validation" or set(pairs.operators.tolist()) == {int(name)}


@pytest.mark.parametrize("held_out, pattern", [("A", r"\( and \( not a \) \)"), ("C", r"\( (and|or) \( not .* \) \)")])
def test_held_out_patterns_are_not_trained(held_out, pattern):
    task = Logic(held_out=held_out, count=3000)
    counts = {n: (len(s), sum(bool(re.search(pattern, s.pairs.text(r))) for r in range(len(s))))
              for n in ("train", "validation", "held_out") for s in [task.split(n)]}  # fmt: skip
    assert counts["train"][1] == counts["validation"][1] == 0
    assert counts["held_out"][0] == counts["held_out"][1] > 0


def test_batches_are_the_rows(tmp_path):
    path = tmp_path / "file"
    path.write_text("<\t( a ( and b ) )\ta\n=\tc\tc\n#\td\t( not e )\n")
    split = Logic().from_file(path)
    assert isinstance(split, Split) and split.sizes.tolist() == [8, 2, 5]
    batch = split.batch(torch.tensor([2, 0]))
    assert batch.inputs[1].lengths.tolist() == [1, 4, 7, 1]
    assert [RELATIONS[t] for t in batch.target.tolist()] == ["#", "<"]
    assert batch.keys["operators"].tolist() == [1, 1]
    torch.manual_seed(0)
    model = PairClassifier(width=8).eval()
    both, alone = model(*batch.inputs), model(*split.batch(torch.tensor([0])).inputs)
    torch.testing.assert_close(both[1], alone[0])
    scores = Logic().score(both, batch)
    assert list(scores) == ["accuracy", "loss"] and torch.isfinite(Logic().loss(both, batch))


def test_augmented_rows_are_other_true_rows():
    split = Logic(count=3000, augment=True).split("train")
    rows = torch.arange(0, len(split), 5)
    plain, drawn = split.batch(rows), split.batch(rows, torch.Generator().manual_seed(1))
    tokens, segments = drawn.inputs
    sides = [[VOCABULARY[t] for t in part.tolist()] for part in tokens.split(segments.lengths.tolist())]
    for left, right, label in zip(sides[::2], sides[1::2], drawn.target.tolist()):
        assert relation(truth_table(left), truth_table(right)) == RELATIONS[label]
    swapped = (drawn.inputs[1].lengths != plain.inputs[1].lengths).view(-1, 2).any(1)
    assert 0.3 < swapped.float().mean() < 0.6 and (tokens < 6).sum() == (plain.inputs[0] < 6).sum()
    assert tokens.tolist() == split.batch(rows, torch.Generator().manual_seed(1)).inputs[0].tolist()
    assert tokens.tolist() != split.batch(rows, torch.Generator().manual_seed(2)).inputs[0].tolist()


@pytest.mark.parametrize("line", ["<\ta", "x\ta\tb", "<\t( a\tb"])
def test_bad_files_are_named(tmp_path, line):
    path = tmp_path / "file"
    path.write_text(line + "\n")
    with pytest.raises(StructureError):
        read_pairs(path)


def test_original_files(shared_data):
    folder = shared_data / "logic"
    for operators in (0, 1, 2, 10):
        pairs = read_pairs(folder / f"train{operators}")
        assert set(pairs.operators.tolist()) == {operators}
        for row in range(0, len(pairs), 7):
            sides = [truth_table(side.split()) for side in pairs.text(row).split("\t")]
            assert RELATIONS[pairs.labels[row]] == relation(*sides)


@pytest.mark.slow
@pytest.mark.parametrize("held_out, sizes", [("A", (116_073, 12_896, 6_560)), ("B", (79_154, 8_794, 47_581)),
                                             ("C", (46_707, 5_189, 83_633)), ("", (121_977, 13_552))])  # fmt: skip
def test_published_split_sizes(shared_data, held_out, sizes):
    task = Logic(str(shared_data / "logic"), held_out)
    assert abs(len(task.split("train")) - sizes[0]) <= 1 and abs(len(task.split("validation")) - sizes[1]) <= 1
    assert not held_out or len(task.split("held_out")) == sizes[2]


def test_pair_features_are_those_of_the_paper():
    torch.manual_seed(0)
    model, seen = PairClassifier(width=4).eval(), []
    model.head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    tokens, segments = torch.tensor([0, 1, 2, 3, 4]), Segments.from_lengths(torch.tensor([2, 3]))
    model(tokens, segments)
    u, v = model.encoder(model.leaves(tokens), segments)
    torch.testing.assert_close(seen[0][0], torch.cat([u, v, u * v, (u - v).abs()]))


def test_odd_members_are_named():
    with pytest.raises(StructureError, match="two members per sample"):
        PairClassifier(width=4)(torch.zeros(3, dtype=torch.int64), Segments.from_lengths(torch.tensor([1, 1, 1])))
