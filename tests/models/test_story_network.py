"""The bAbI network against the paper's description, written out story by story."""

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from structnet.models.story_network import StoryNetwork
from structnet.structures import Segments
from tests.models.relational_literal import Literal

WORDS, ROUNDS = 11, 3


def sentences(*lengths):
    return torch.randint(0, WORDS, (sum(lengths),)), Segments.from_lengths(torch.tensor(lengths))


def batch():
    """Two stories of three facts and one (the first story hears one sentence twice), and one without facts."""
    torch.manual_seed(0)
    facts, questions = sentences(4, 2, 3), sentences(3, 1)
    stories = Segments.from_lengths(torch.tensor([3, 1, 0]))
    return *facts, torch.tensor([2, 0, 2, 1]), stories, torch.tensor([7, 8, 9, 0]), *questions, torch.tensor([1, 0, 1])


def network(**arguments):
    torch.manual_seed(1)
    return StoryNetwork(WORDS, 6, 5, rounds=ROUNDS, **arguments).double()


def read(model, cell, words, segments, sentence):
    """The last state of a plain LSTM over one sentence, layer normalised with `norm`."""
    lstm = nn.LSTM(5, 5).double()
    lstm.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    state = lstm(model.embedding(words[segments.ptr[sentence] : segments.ptr[sentence + 1]]))[1][0][0]
    if not isinstance(model.norm, nn.LayerNorm):
        return state
    return (state - state.mean()) / (state.var(correction=0) + 1e-5).sqrt()


def told(model, inputs, story):
    """Logits of one story: complete graph with loops, the question on every edge, and with `order` who is later."""
    words, facts, which, stories, places, asked, questions, question = inputs
    nodes = range(int(stories.ptr[story]), int(stories.ptr[story + 1]))
    q = read(model, model.read_question, asked, questions, int(question[story]))
    heard = [read(model, model.read_fact, words, facts, int(which[n])) for n in nodes]
    x = [torch.cat([fact, one_hot(places[n], 40), q]) for fact, n in zip(heard, nodes)]
    pairs = [(i, j) for j in range(len(x)) for i in range(len(x))]
    later = [[float(places[nodes[i]] > places[nodes[j]])] for i, j in pairs]
    edges = q.expand(len(pairs), -1)
    edges = torch.cat([edges, torch.tensor(later).double()], 1) if model.order else edges
    owner = torch.zeros(len(x), dtype=torch.long)
    return Literal(model.network)(torch.stack(x), torch.tensor(pairs).t(), edges, ROUNDS, owner)[:, 0]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"norm": True},
        {"order": True, "message_layers": 2, "readout_layers": 2},
        {"norm": True, "order": True, "update_layers": 0, "encoder_layers": 2},
    ],
)
def test_a_batch_is_its_stories_one_by_one(arguments):
    model, inputs = network(**arguments), batch()
    logits = model(*inputs).logits
    assert logits.shape == (ROUNDS, 3, WORDS)
    for story in (0, 1):
        torch.testing.assert_close(logits[:, story], told(model, inputs, story), rtol=1e-9, atol=1e-9)
    nothing = model.network.readout(torch.zeros(6, dtype=torch.float64))  # a story without facts
    torch.testing.assert_close(logits[:, 2], nothing.expand(ROUNDS, -1))


def test_the_order_reaches_the_edges():
    model, inputs = network(order=True), batch()
    turned = (*inputs[:4], torch.tensor([8, 7, 9, 0]), *inputs[5:])
    model.network.encoder[0].weight.data[:, 5:45] = 0  # the one-hot places tell nothing
    assert (model(*inputs).logits - model(*turned).logits).abs()[:, 0].max() > 1e-6


def test_readers_start_with_open_forget_gates():
    for cell in (network().read_fact, network().read_question):
        assert cell.bias_ih.tolist() == [0.0] * 5 + [1.0] * 5 + [0.0] * 10 and not cell.bias_hh.any()
    assert network().embedding.weight.abs().max() < 1 < network(norm=True).embedding.weight.abs().max()
