"""Learned aggregators for PyG whose values do not depend on the batch."""

from structnet.aggr.affine import AffineScanAggregation as AffineScanAggregation
from structnet.aggr.base import SetAggregation as SetAggregation
from structnet.aggr.discrete import FiniteMonoidAggregation as FiniteMonoidAggregation
from structnet.aggr.discrete import ModularAggregation as ModularAggregation
from structnet.aggr.exact import AttentionAggregation as AttentionAggregation
from structnet.aggr.exact import LogSumExpAggregation as LogSumExpAggregation
from structnet.aggr.exact import TopKAggregation as TopKAggregation
from structnet.aggr.lcm import LCMAggregation as LCMAggregation
from structnet.aggr.losses import Losses as Losses
from structnet.aggr.losses import collect_losses as collect_losses
from structnet.aggr.phase import PhaseAggregation as PhaseAggregation
from structnet.aggr.recurrent import GRUAggregation as GRUAggregation
from structnet.aggr.recurrent import LSTMAggregation as LSTMAggregation
from structnet.aggr.recurrent import RecurrentAggregation as RecurrentAggregation
from structnet.aggr.recurrent import swap_loss as swap_loss
from structnet.aggr.registry import register_with_pyg as register_with_pyg
from structnet.aggr.top_rows import TopRowsAggregation as TopRowsAggregation
