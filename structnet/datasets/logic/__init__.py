"""Propositional logical inference: how do two formulas relate?"""

from structnet.datasets.logic.pairs import Pairs as Pairs
from structnet.datasets.logic.pairs import generate as generate
from structnet.datasets.logic.pairs import read_pairs as read_pairs
from structnet.datasets.logic.semantics import RELATIONS as RELATIONS
from structnet.datasets.logic.semantics import VOCABULARY as VOCABULARY
from structnet.datasets.logic.semantics import relation as relation
from structnet.datasets.logic.semantics import truth_table as truth_table
