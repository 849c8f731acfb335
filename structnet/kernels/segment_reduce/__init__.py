"""Reductions over ragged groups of rows."""

from structnet.kernels.segment_reduce.op import index_reduce as index_reduce
from structnet.kernels.segment_reduce.op import segment_gather as segment_gather
from structnet.kernels.segment_reduce.op import segment_reduce as segment_reduce
