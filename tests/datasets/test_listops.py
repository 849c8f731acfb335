from pathlib import Path

import numpy as np
import pytest
import torch

from structnet import cli, native
from structnet.datasets.cache import cached, checksum
from structnet.datasets.listops import Grammar, decode, draw_unique, encode, read_file, rows_of, sampler, splits
from structnet.datasets.listops.gold import argument_edges, binary_tree, brackets, row_keys, values
from structnet.errors import StructureError
from structnet.tasks.listops import ListOps


def parse(words: list[str]):
    """Independent of the library: nested lists from words."""
    stack: list = [[]]
    for word in words:
        if word.startswith("["):
            stack.append([word[1:]])
        elif word == "]":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(int(word))
    (only,) = stack[0]
    return only


def evaluate(node) -> int:
    if isinstance(node, int):
        return node
    args = sorted(evaluate(a) for a in node[1:])
    low, high = args[(len(args) - 1) // 2], args[len(args) // 2]
    return {"MIN": args[0], "MAX": args[-1], "MED": int((low + high) / 2), "SM": sum(args) % 10}[node[0]]


def binary(node, leaves):
    """`((([OP a) b) ])` over token positions, by recursion."""
    if isinstance(node, int):
        return next(leaves)
    tree = next(leaves)
    for child in node[1:]:
        tree = (tree, binary(child, leaves))
    return (tree, next(leaves))


SMALL = Grammar(max_depth=6, max_args=5, low=1, high=80)


@pytest.fixture(scope="module")
def drawn():
    return draw_unique(SMALL, 400, seed=3)


def rows(tokens, ptr):
    return [tokens[a:b] for a, b in zip(ptr, ptr[1:])]


def test_values_against_an_independent_evaluator(drawn):
    tokens, ptr = drawn
    got = values(tokens, brackets(tokens))[ptr[:-1]]
    assert got.tolist() == [evaluate(parse(decode(row).split())) for row in rows(tokens, ptr)]


def test_median_is_the_floor_of_the_middle():
    for text, value in (
        ("[MED 1 4 ]", 2),
        ("[MED 9 1 4 ]", 4),
        ("[SM 9 9 5 ]", 3),
        ("[MIN 3 [MAX 1 2 ] ]", 2),
        ("7", 7),
    ):
        tokens = encode(text)
        assert values(tokens, brackets(tokens))[0] == value


def test_binary_gold_trees_against_recursion(drawn):
    tokens, ptr = drawn
    children = binary_tree(tokens, ptr, brackets(tokens))
    at = 0
    for row in rows(tokens, ptr):
        n = len(row)
        nodes: list = list(range(n))
        for left, right in children[at : at + n - 1].tolist():
            nodes.append((nodes[left], nodes[right]))
        at += n - 1
        assert nodes[-1] == binary(parse(decode(row).split()), iter(range(n)))


def test_argument_trees_and_keys_by_hand():
    tokens = np.concatenate([encode("[MAX 2 [SM 1 1 4 ] 0 ]"), encode("5")])
    ptr = np.array([0, 9, 10])
    shape = brackets(tokens)
    labels, node_ptr, parent = argument_edges(tokens, ptr, shape)
    assert labels.tolist() == [11, 2, 13, 1, 1, 4, 0, 5] and node_ptr.tolist() == [0, 7, 8]
    assert parent.tolist() == [0, 0, 0, 2, 2, 2, 0, 0]
    keys = {name: key.tolist() for name, key in row_keys(tokens, ptr, shape).items()}
    assert keys == {"length": [9, 1], "depth": [2, 0], "arguments": [3, 0], "operator": [1, -1]}


@pytest.mark.parametrize(
    "grammar",
    [Grammar(), SMALL, Grammar(0.3, 7, 9, 10, 60, 2, 4), Grammar(max_args=15, max_depth=9, low=100, high=400)],
)
def test_numpy_and_compiled_sampler_give_the_same_bits(grammar):
    library = native.library()
    if library is None:
        pytest.skip("no compiled library here")
    for wanted in (10**6, 7):
        a = sampler._native(library, grammar, 5, 1000, 3000, wanted)
        b = sampler._numpy(grammar, 5, 1000, 3000, wanted)
        assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) and a[2] == b[2]


def test_every_filter_holds_and_rows_are_unique():
    grammar = Grammar(0.3, 5, 7, 20, 60, 3, 4)
    tokens, ptr = draw_unique(grammar, 200, seed=1)
    keys = row_keys(tokens, ptr, brackets(tokens))
    assert (keys["length"] >= 20).all() and (keys["length"] <= 60).all()
    assert set(keys["depth"]) <= {3, 4} and keys["arguments"].max() <= 5
    assert len({row.tobytes() for row in rows(tokens, ptr)}) == 200
    again, _ = draw_unique(grammar, 200, seed=1)
    other, _ = draw_unique(grammar, 200, seed=2)
    assert np.array_equal(tokens, again) and not np.array_equal(tokens, other)


def test_a_shorter_request_is_a_prefix_of_a_longer_one():
    long, long_ptr = draw_unique(SMALL, 300, seed=4)
    short, short_ptr = draw_unique(SMALL, 100, seed=4)
    assert np.array_equal(long[: short_ptr[-1]], short) and np.array_equal(long_ptr[:101], short_ptr)


def test_the_published_distribution():
    """100,000 different trees: the figures of the original data, within sampling error."""
    tokens, ptr = draw_unique(Grammar(), 100_000, seed=0)
    keys = row_keys(tokens, ptr, brackets(tokens))
    lengths = keys["length"]
    assert abs((keys["depth"] == 1).mean() - 0.207) < 0.004
    assert abs(lengths.mean() - 42.8) < 1.0
    assert np.abs(np.quantile(lengths, [0.05, 0.25, 0.5, 0.75, 0.95]) - [6, 8, 16, 40, 187]).max() <= 4
    assert abs((lengths <= 100).mean() - 0.892) < 0.004
    inner = tokens >= 10
    operators = np.bincount(tokens[inner & (tokens < 14)])[10:]
    assert np.abs(operators / operators.sum() - 0.25).max() < 0.005


def test_arity_is_uniform_and_independent_of_the_operator():
    tokens, lengths, _ = sampler.draw_range(Grammar(p_op=0.99, max_depth=2), 0, 0, 40_000, 40_000)
    ptr = np.concatenate([[0], np.cumsum(lengths)])
    keys = row_keys(tokens, ptr, brackets(tokens))
    table = np.zeros((4, 4))
    is_list = keys["operator"] >= 0
    np.add.at(table, (keys["operator"][is_list], keys["arguments"][is_list] - 2), 1)
    expected = is_list.sum() / 16
    assert ((table - expected) ** 2 / expected).sum() < 37.7  # chi square, 15 degrees of freedom, 0.1 %


def test_original_parts_do_not_overlap_and_train_is_short(monkeypatch, tmp_path):
    monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path))
    monkeypatch.setattr(splits, "UNIQUE", 1000)
    monkeypatch.setattr(splits, "TRAIN_ROWS", 900)
    monkeypatch.setattr(splits, "DEV_ROWS", 100)
    monkeypatch.setattr(splits, "CHECKSUMS", {})
    parts = {name: rows_of(name, 7) for name in ("train", "validation", "near_iid")}
    texts = {name: {row.tobytes() for row in rows(a["tokens"], a["ptr"])} for name, a in parts.items()}
    assert len(texts["validation"]) == 100 and len(texts["near_iid"]) == 100
    assert not texts["train"] & texts["near_iid"] and not texts["validation"] & texts["near_iid"]
    assert np.diff(parts["train"]["ptr"]).max() <= 100
    assert np.diff(parts["near_iid"]["ptr"]).max() > 100
    more = splits.further_rows(3000, 7)
    further = {row.tobytes() for row in rows(more["tokens"], more["ptr"])}
    assert len(further) == 3000 and np.diff(more["ptr"]).max() <= 100
    assert not further & (texts["train"] | texts["validation"] | texts["near_iid"])
    fewer = splits.further_rows(2000, 7)
    assert np.array_equal(fewer["ptr"], more["ptr"][:2001])


def test_a_damaged_cache_is_named_and_rebuilt(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path))
    built = []

    def build():
        built.append(1)
        return {"a": np.arange(1000)}

    cached("x", build)
    assert cached("x", build)["a"].sum() == 499_500 and len(built) == 1
    (path,) = tmp_path.glob("x-*.npz")
    good = path.read_bytes()
    for damage in (good[:700], good[:600] + b"\x00\x01" + good[602:], b""):
        path.write_bytes(damage)
        assert cached("x", build)["a"].sum() == 499_500
        assert "is damaged" in capsys.readouterr().err
    assert len(built) == 4 and not list(tmp_path.glob("*.part"))
    with pytest.raises(RuntimeError, match="expected sha256"):
        cached("x", build, expected="0" * 64)


def test_a_cache_of_another_release_is_rebuilt_and_a_wrong_build_is_not_kept(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path))
    old, new = {"a": np.arange(3)}, {"a": np.arange(4)}
    cached("x", lambda: old)
    assert len(cached("x", lambda: new, expected=checksum(new))["a"]) == 4
    assert "of another release" in capsys.readouterr().err
    assert len(cached("x", lambda: old)["a"]) == 4  # kept
    assert len(cached("x", lambda: old, rebuild=True)["a"]) == 3
    with pytest.raises(RuntimeError, match="expected sha256"):
        cached("y", lambda: old, expected=checksum(new))
    assert not list(tmp_path.glob("y-*"))


def test_the_command_lists_rows_and_checks_sums(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("STRUCTNET_CACHE", str(tmp_path))
    for flags in ([], ["--rebuild"]):
        assert cli.main(["data", "listops", "--splits", "iid_args,dg2_test", *flags]) == 0
        lines = capsys.readouterr().out.splitlines()[1:]
        assert [line.split()[:2] for line in lines] == [["iid_args", "2000"], ["dg2_test", "2000"]]
        assert all(splits.CHECKSUMS[line.split()[0]] in line and line.endswith("known") for line in lines)
    assert cli.main(["data", "listopps"]) == 2
    assert "out of listops" in capsys.readouterr().err


def test_the_sample_beside_the_card_is_the_split():
    tokens, ptr, labels = read_file(Path(__file__).parents[2] / "datasets" / "listops" / "sample.tsv")
    split = rows_of("near_iid")
    assert np.array_equal(tokens, split["tokens"][: ptr[-1]]) and np.array_equal(ptr, split["ptr"][: len(ptr)])
    assert np.array_equal(labels, values(tokens, brackets(tokens))[ptr[:-1]])


def test_a_grammar_with_too_few_expressions_is_given_up(monkeypatch):
    monkeypatch.setattr(sampler, "PATIENCE", 1 << 12)
    with pytest.raises(StructureError, match="11 different expressions; got 10, and no new one"):
        draw_unique(Grammar(max_depth=1), 11, seed=0)


def test_every_published_split_of_the_depth_comparison_is_disjoint_in_depth():
    for name in ("dg1", "dg2"):
        for part, allowed in (("train", {1, 2, 3, 4, 5}), ("validation", {6}), ("test", {7, 8})):
            grammar = splits.SPLITS[f"{name}_{part}"].grammar
            tokens, ptr = draw_unique(grammar, 500, seed=2)
            keys = row_keys(tokens, ptr, brackets(tokens))
            assert set(keys["depth"]) <= allowed and keys["depth"].max() == max(allowed)
            assert set(keys["length"]) <= ({50} if name == "dg1" else set(range(20, 101)))


def test_checksum_sees_names_types_and_bytes():
    base = {"a": np.arange(3)}
    assert checksum(base) == checksum({"a": np.arange(3)})
    for other in ({"b": np.arange(3)}, {"a": np.arange(3, dtype=np.int32)}, {"a": np.array([0, 1, 3])}):
        assert checksum(base) != checksum(other)


@pytest.mark.parametrize("name", ["validation", "near_iid", "200-300", "10_args", "dg_test", "dg2_test"])
def test_default_splits_are_the_recorded_bits(name):
    assert name in splits.CHECKSUMS
    rows_of(name)  # raises if the bits differ


def test_an_unknown_split_and_a_grammar_without_arguments():
    with pytest.raises(StructureError, match="near_iid"):
        rows_of("near-iid")
    with pytest.raises(StructureError, match="max_args >= 2"):
        draw_unique(Grammar(max_args=1), 1, 0)
    with pytest.raises(StructureError, match="rows >= 0"):
        ListOps(rows=-1)


def test_without_the_compiled_library_the_same_rows(monkeypatch):
    expected = draw_unique(SMALL, 50, seed=9)[0]
    monkeypatch.setattr(sampler, "library", lambda: None)
    assert np.array_equal(draw_unique(SMALL, 50, seed=9)[0], expected)
    assert torch.from_numpy(expected.copy()).dtype == torch.uint8
