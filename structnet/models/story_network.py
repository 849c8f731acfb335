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
        message_layers, update_layers, rounds, gradient, l2: see `RecurrentRelationalNetwork`; the paper: 4, 4, 5, 0,
        1e-4.

    Shapes: facts and questions each as words `[W]` and their sentences (`Segments`), the sentence of each fact
    `[N]`, the stories they make (`Segments`, at most 20 facts each), the place of each fact `[N]` in 0 .. 39, the
    sentence of each question `[S]` -> `Predictions` `[rounds kept, S, words]`. Sentences that occur several times
    are read once.

    Differs from the paper in nothing but the arithmetic (see `RecurrentRelationalNetwork`).
    """

    def __init__(
        self,
        words: int = 177,
        width: int = 128,
        embedding: int = 32,
        message_layers: int = 4,
        update_layers: int = 4,
        rounds: int = 5,
        gradient: int = 0,
        l2: float = 1e-4,
    ):
        super().__init__()
        self.embedding = nn.Embedding(words, embedding)
        nn.init.xavier_uniform_(self.embedding.weight)
        self.read_fact, self.read_question = nn.LSTMCell(embedding, embedding), nn.LSTMCell(embedding, embedding)
        self.network = RecurrentRelationalNetwork(
            2 * embedding + 2 * FACTS, words, width, embedding, message_layers, update_layers=update_layers,
            readout_layers=3, graph_level=True, rounds=rounds, gradient=gradient, l2=l2,
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
        return self.network(x, graph, node_attr=question, batch=owner, batch_size=len(stories))

    def auxiliary(self, output: Predictions) -> dict[str, Tensor]:
        return self.network.auxiliary(output)

    def _read(self, cell: nn.LSTMCell, words: Tensor, sentences: Segments) -> Tensor:
        start = self.embedding.weight.new_zeros(len(sentences), cell.hidden_size)
        return scan_segments(cell, self.embedding(words), sentences, (start, start))[1][0]
