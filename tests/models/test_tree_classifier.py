import pytest
import torch
from torch import nn

from structnet.errors import StructureError
from structnet.models import SequenceClassifier, TreeClassifier
from structnet.structures import Segments, Tree

S = Segments.from_lengths(torch.tensor([3, 1, 4]))
TOKENS = torch.tensor([1, 2, 3, 4, 5, 6, 7, 8])


def literal(model: TreeClassifier, tokens: torch.Tensor, nested) -> torch.Tensor:
    """One sentence, one node at a time: `nested` holds token positions."""

    def value(node):
        if isinstance(node, int):
            return model.leaves.norm(model.leaves.linear(model.leaves.embedding(tokens[node])))[None]
        return model.cell(*map(value, node))

    hidden = nn.functional.gelu(model.head[1](value(nested)))
    return model.head[4](hidden)


@pytest.mark.parametrize(
    "builder, nested",
    [
        ("left", [((0, 1), 2), 3, (((4, 5), 6), 7)]),
        ("right", [(0, (1, 2)), 3, (4, (5, (6, 7)))]),
        ("balanced", [((0, 1), 2), 3, ((4, 5), (6, 7))]),
        ("gold", [(0, (1, 2)), 3, ((4, (5, 6)), 7)]),
    ],
)
def test_one_model_four_trees(builder, nested):
    model = TreeClassifier(width=6, builder=builder).double().eval()
    gold = Tree(torch.tensor([0, 0, 0, 0, 2, 4, 4, 4, 4, 4, 4, 6, 8, 10]),
                torch.tensor([1, 2, 0, 3, 7, 8, 6, 10, 11, 9]), torch.tensor([0, 5, 6, 13]))
    expected = torch.cat([literal(model, TOKENS, n) for n in nested])
    torch.testing.assert_close(model(TOKENS, S, gold), expected, rtol=0, atol=1e-12)
    every, tree = model.node_logits(TOKENS, S, gold)
    torch.testing.assert_close(every[tree.roots], expected, rtol=0, atol=1e-12)


def test_random_trees_are_fixed_in_evaluation_and_fresh_in_training():
    model = TreeClassifier(width=6, builder="random")
    s = Segments.from_lengths(torch.tensor([40]))
    assert not torch.equal(model.build(s).child_index, model.build(s).child_index)
    model.eval()
    assert torch.equal(model.build(s).child_index, model.build(s).child_index)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_baselines_do_not_see_their_neighbours(kind):
    model = SequenceClassifier(kind=kind, width=8, heads=2).double().eval()
    out = model(TOKENS, S)
    alone = [model(p, Segments(torch.tensor([0, len(p)]))) for p in TOKENS.split(S.lengths.tolist())]
    torch.testing.assert_close(out, torch.cat(alone), rtol=0, atol=1e-12)


def test_lstm_baseline_is_torch_lstm_on_each_sentence():
    model = SequenceClassifier(kind="lstm", width=8, layers=1).double().eval()
    _, (h, _) = model.encoder(model.embedding(TOKENS[4:]))
    torch.testing.assert_close(model(TOKENS, S)[2], model.head(torch.cat([h[0], h[1]])), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: TreeClassifier(builder="gould"), "gold, left, right, balanced, random"),
        (lambda: TreeClassifier(cell="gru"), "grc, tree_lstm, neural_tensor"),
        (lambda: TreeClassifier(builder="gold")(TOKENS, S), "the gold tree"),
        (lambda: TreeClassifier(builder="left")(TOKENS, Segments(torch.tensor([0, 0, 8]))), "an empty member"),
        (lambda: SequenceClassifier(kind="gru"), '"lstm" or "transformer"'),
    ],
)
def test_bad_settings_name_the_good_ones(call, words):
    with pytest.raises(StructureError) as error:
        call()
    assert words in str(error.value)
