"""One classifier over given trees: the tree builder and the cell are arguments."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from structnet.cells import BinaryTreeLSTM, GatedRecursiveCell, NeuralTensorCell
from structnet.errors import StructureError
from structnet.models.shell import ClassifierHead, TokenLeaves
from structnet.recursion import fold_tree
from structnet.states import State
from structnet.structures import Segments, Tree

CELLS = {"grc": GatedRecursiveCell, "tree_lstm": BinaryTreeLSTM, "neural_tensor": NeuralTensorCell}
BUILDERS = ("gold", "left", "right", "balanced", "random")


class TreeClassifier(nn.Module):
    """Tokens -> leaves -> `fold_tree` over a binary tree -> classes.

    The builder decides what the model is: "gold" (the given tree: GoldTree), "left" (left-branching: Recurrent),
    "balanced" (BalancedTree), "random" (RandomTree). Leaves and head as in Ray Chowdhury and Caragea, "Beam Tree
    Recursive Cells", 2023, section 5.

    Args:
        num_tokens, num_classes: sizes of the vocabulary and of the answer.
        width: size D of a state.
        builder: one of "gold", "left", "right", "balanced", "random".
        cell: "grc", "tree_lstm" or "neural_tensor".
        dropout: on embeddings, in the cell (GRC) and in the head.

    Shapes: tokens `[N]`, segments with S members, tree with those N tokens as leaves -> logits `[S, classes]`.

    Raises:
        StructureError: unknown builder or cell, an empty member, or "gold" without a tree.

    Random trees: a new draw per call in training; in evaluation one fixed tree per length, so that a sample gives the
    same output alone and in any batch.
    """

    def __init__(
        self,
        num_tokens: int = 15,
        num_classes: int = 10,
        width: int = 128,
        builder: str = "gold",
        cell: str = "grc",
        dropout: float = 0.1,
    ):
        super().__init__()
        _known("builder", builder, BUILDERS)
        _known("cell", cell, tuple(CELLS))
        self.builder = builder
        self.leaves = TokenLeaves(num_tokens, width, dropout)
        self.cell = CELLS[cell](width, **({"dropout": dropout} if cell == "grc" else {}))
        self.head = ClassifierHead(width, num_classes, dropout)
        self._random: dict[int, Tree] = {}

    def forward(self, tokens: Tensor, segments: Segments, tree: Tree | None = None) -> Tensor:
        return self.head(_value(self._fold(tokens, self.build(segments, tree), return_all=False)))

    def node_logits(self, tokens: Tensor, segments: Segments, tree: Tree | None = None) -> tuple[Tensor, Tree]:
        """What the head says at every node, `[tree.num_nodes, classes]`, and the tree it speaks of."""
        built = self.build(segments, tree)
        return self.head(_value(self._fold(tokens, built, return_all=True))), built

    def build(self, segments: Segments, tree: Tree | None = None) -> Tree:
        """The tree this model composes along."""
        if segments.num_segments and int(segments.lengths.min()) == 0:
            raise StructureError("at least one token per member", "an empty member", "to drop empty rows")
        if self.builder == "gold":
            if tree is None:
                raise StructureError("the gold tree", "tree=None", 'another builder, e.g. "balanced"')
            return tree
        if self.builder == "random":
            return Tree.random(segments) if self.training else self._fixed(segments)
        build = {"left": Tree.left_branching, "right": Tree.right_branching, "balanced": Tree.balanced}
        return build[self.builder](segments)

    def _fold(self, tokens: Tensor, tree: Tree, return_all: bool) -> State:
        x = self.leaves(tokens)
        state = self.cell.leaf(x) if isinstance(self.cell, BinaryTreeLSTM) else x
        return fold_tree(self.cell, state, tree, return_all=return_all)

    def _fixed(self, segments: Segments) -> Tree:
        trees = []
        for length in segments.lengths.tolist():
            if length not in self._random:
                generator = torch.Generator().manual_seed(length)
                self._random[length] = Tree.random(Segments.from_lengths(torch.tensor([length])), generator)
            trees.append(self._random[length])
        return Tree.batch(trees).to(segments.device)


def _value(state: State) -> Tensor:
    return state[0] if isinstance(state, tuple) else state


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise StructureError(f"a {what} out of {', '.join(names)}", repr(name), f'{what}="{names[0]}"')
