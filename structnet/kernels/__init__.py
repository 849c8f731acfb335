"""Ops on ragged rows, one folder each: the maths, a loop as specification, and compiled, torch and Triton forms."""

from structnet.kernels.associative_scan import associative_scan as associative_scan
from structnet.kernels.block_scan import block_scan as block_scan
from structnet.kernels.edge_relu_sum import edge_relu_sum as edge_relu_sum
from structnet.kernels.segment_reduce import index_reduce as index_reduce
from structnet.kernels.segment_reduce import segment_gather as segment_gather
from structnet.kernels.segment_reduce import segment_reduce as segment_reduce
from structnet.kernels.segment_rnn import segment_rnn as segment_rnn
from structnet.kernels.segment_scan import log_scan as log_scan
from structnet.kernels.segment_scan import segment_scan as segment_scan
from structnet.kernels.tree_scan import tree_scan as tree_scan
