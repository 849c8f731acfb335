"""What is reasoned over: ragged segments and batches of trees."""

from structnet.structures.segments import Segments as Segments
from structnet.structures.tree import Tree as Tree
