"""Nonlinear recursions by Newton's method: all nodes at once instead of level after level."""

from structnet.newton.solver import Newton as Newton
from structnet.newton.system import NewtonReport as NewtonReport
