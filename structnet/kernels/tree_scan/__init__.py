"""Linear recursion up and down forests."""

from structnet.kernels.tree_scan.op import tree_scan as tree_scan
