"""Rounds of the candidate network on regular boards."""

from structnet.kernels.candidate_rounds.op import candidate_rounds as candidate_rounds
from structnet.kernels.candidate_rounds.weights import CandidateWeights as CandidateWeights
