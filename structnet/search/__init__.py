"""Latent trees: beam search over merges, then the same again with gradients."""

from structnet.search.beams import Found as Found
from structnet.search.beams import Options as Options
from structnet.search.beams import Starts as Starts
from structnet.search.driver import search_trees as search_trees
from structnet.search.replay import logsumexp as logsumexp
from structnet.search.replay import replay as replay
from structnet.search.soft import soft_value as soft_value
from structnet.search.trees import beam_trees as beam_trees
