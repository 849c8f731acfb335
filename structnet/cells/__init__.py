"""Operators: plain modules with explicit state."""

from structnet.cells.grc import GatedRecursiveCell as GatedRecursiveCell
from structnet.cells.grc import KeptRows as KeptRows
from structnet.cells.neural_tensor import NeuralTensorCell as NeuralTensorCell
from structnet.cells.tree_lstm import BinaryTreeLSTM as BinaryTreeLSTM
from structnet.cells.tree_lstm import ChildSumTreeLSTM as ChildSumTreeLSTM
from structnet.cells.tree_lstm import NaryTreeLSTM as NaryTreeLSTM
