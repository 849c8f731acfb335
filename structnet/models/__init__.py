"""Models, one file per paper."""

from structnet.models.beam_tree import BeamTreeClassifier as BeamTreeClassifier
from structnet.models.beam_tree import BeamTreeEncoder as BeamTreeEncoder
from structnet.models.continuous_rvnn import ContinuousRvNN as ContinuousRvNN
from structnet.models.continuous_rvnn import ContinuousRvNNClassifier as ContinuousRvNNClassifier
from structnet.models.ordered_memory import OrderedMemory as OrderedMemory
from structnet.models.ordered_memory import OrderedMemoryClassifier as OrderedMemoryClassifier
from structnet.models.pair_classifier import PairClassifier as PairClassifier
from structnet.models.parallel_tree import ParallelTreeClassifier as ParallelTreeClassifier
from structnet.models.parallel_tree import ParallelTreeEncoder as ParallelTreeEncoder
from structnet.models.recursion_in_recursion import RecursionInRecursion as RecursionInRecursion
from structnet.models.recursion_in_recursion import RecursionInRecursionClassifier as RecursionInRecursionClassifier
from structnet.models.sequence_classifier import SequenceClassifier as SequenceClassifier
from structnet.models.tree_classifier import TreeClassifier as TreeClassifier
