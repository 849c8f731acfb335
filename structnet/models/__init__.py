"""Models, one file per paper."""

from structnet.models.sequence_classifier import SequenceClassifier as SequenceClassifier
from structnet.models.tree_classifier import TreeClassifier as TreeClassifier
