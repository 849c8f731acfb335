"""Messages of one hidden layer, summed at their targets, without a row per edge."""

from structnet.kernels.edge_relu_sum.op import edge_relu_sum as edge_relu_sum
