"""The elementwise part of an LSTM step, with peepholes."""

from structnet.kernels.lstm_gates.op import lstm_gates as lstm_gates
