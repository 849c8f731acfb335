"""Linear recurrences over ragged sequences."""

from structnet.kernels.segment_scan.op import log_scan as log_scan
from structnet.kernels.segment_scan.op import segment_scan as segment_scan
