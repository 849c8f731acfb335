"""Linear recurrences with small dense blocks."""

from structnet.kernels.block_scan.op import block_scan as block_scan
