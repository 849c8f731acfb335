"""GRU and LSTM over ragged sequences."""

from structnet.kernels.segment_rnn.op import segment_rnn as segment_rnn
