"""Questions about stories: sentences are nodes, and a recurrent relational network reasons over them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.models.recurrent_relational import Predictions, RecurrentRelationalNetwork
from structnet.recursion import scan_segments
from structnet.structures import Segments
from structnet.structures.neighbours import Neighbours

FACTS = 20  # of a story that are seen, the last ones


class StoryNetwork(nn.Module):
    """Palm, Paquet and Winther, "Recurrent Relational Networks", 2018, section 3.1 (bAbI), as in the authors' code: one
    LSTM reads each fact, another the question; a fact is its LSTM's last state and a one-hot place; node input is
    [fact, question]; the graph of a story is complete, with loops, its edge feature the question; the answer is read
    out from the sum of the nodes, in every round.

    Args:
        words: of the vocabulary, answers included.
        width: of the relational network.
        embedding: of a word; the LSTMs are as wide.
        message_layers, update_layers, encoder_layers, readout_layers, rounds, gradient, l2: see
            `RecurrentRelationalNetwork`; the paper: 4, 4, 4, 3, 5, 0, 1e-4.
        norm: layer norm on what the LSTMs read, and word embeddings of unit variance. An LSTM's last state holds its
            first words faintly, and that a question asks about the person of a fact is learned from the product of
            both: without the norm that is not found in minutes.
        order: edges also tell whether the sender is the later fact; the paper leaves it to the one-hot places.

    Shapes: facts and questions each as words `[W]` and their sentences (`Segments`), the sentence of each fact
    `[N]`, the stories they make (`Segments`, at most 20 facts each), the place of each fact `[N]` in 0 .. 39, the
    sentence of each question `[S]` -> `Predictions` `[rounds kept, S, words]`. Sentences that occur several times
    are read once.

    Differs from the paper, unless `norm` or `order` are set, in nothing but the arithmetic (see
    `RecurrentRelationalNetwork`).
    """

    def __init__(
        self,
        words: int = 177,
        width: int = 128,
        embedding: int = 32,
        message_layers: int = 4,
        update_layers: int = 4,
        encoder_layers: int = 4,
        readout_layers: int = 3,
        rounds: int = 5,
        gradient: int = 0,
        l2: float = 1e-4,
        norm: bool = False,
        order: bool = False,
    ):
        super().__init__()
        self.embedding = nn.Embedding(words, embedding)
        if not norm:
            nn.init.xavier_uniform_(self.embedding.weight)
        self.read_fact, self.read_question = _reader(embedding), _reader(embedding)
        self.norm = nn.LayerNorm(embedding, elementwise_affine=False) if norm else nn.Identity()
        self.order = order
        self.network = RecurrentRelationalNetwork(
            2 * embedding + 2 * FACTS, words, width, embedding + order, message_layers, update_layers=update_layers,
            encoder_layers=encoder_layers, readout_layers=readout_layers, graph_level=True, rounds=rounds,
            gradient=gradient, l2=l2,
        )  # fmt: skip

    @property
    def rounds(self) -> int:
        return self.network.rounds

    def forward(
        self,
        fact_words: Tensor,
        fact_sentences: Segments,
        facts: Tensor,
        stories: Segments,
        places: Tensor,
        question_words: Tensor,
        question_sentences: Segments,
        questions: Tensor,
    ) -> Predictions:
        fact = self._read(self.read_fact, fact_words, fact_sentences)[facts]
        question = self._read(self.read_question, question_words, question_sentences)[questions][stories.index]
        where = nn.functional.one_hot(places, 2 * FACTS).to(fact.dtype)
        graph = Neighbours.complete(stories, loops=True)
        x, owner = torch.cat([fact, where, question], 1), stories.index
        later = (places[graph.sender] > places[graph.target]).to(x.dtype)[:, None] if self.order else None
        return self.network(x, graph, later, node_attr=question, batch=owner, batch_size=len(stories))

    def auxiliary(self, output: Predictions) -> dict[str, Tensor]:
        return self.network.auxiliary(output)

    def _read(self, cell: nn.LSTMCell, words: Tensor, sentences: Segments) -> Tensor:
        start = self.embedding.weight.new_zeros(len(sentences), cell.hidden_size)
        return self.norm(scan_segments(cell, self.embedding(words), sentences, (start, start))[1][0])


def _reader(width: int) -> nn.LSTMCell:
    """An LSTM that starts as the authors' do: Glorot, zero biases, but 1 for the forget gate."""
    cell = nn.LSTMCell(width, width)
    for name, part in cell.named_parameters():
        nn.init.zeros_(part) if name.startswith("bias") else nn.init.xavier_uniform_(part)
    nn.init.ones_(cell.bias_ih.data[width : 2 * width])  # gates are in, forget, new, out
    return cell
