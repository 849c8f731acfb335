"""Scan with any associative operator."""

from structnet.kernels.associative_scan.op import affine as affine
from structnet.kernels.associative_scan.op import associative_scan as associative_scan
from structnet.kernels.associative_scan.op import attention as attention
