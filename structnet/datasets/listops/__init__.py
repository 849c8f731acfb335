"""ListOps (Nangia and Bowman 2018): nested operations on lists of digits, with all splits of the literature."""

from structnet.datasets.listops.files import decode as decode
from structnet.datasets.listops.files import encode as encode
from structnet.datasets.listops.files import read_file as read_file
from structnet.datasets.listops.sampler import VOCABULARY as VOCABULARY
from structnet.datasets.listops.sampler import Grammar as Grammar
from structnet.datasets.listops.sampler import draw_unique as draw_unique
from structnet.datasets.listops.splits import SPLITS as SPLITS
from structnet.datasets.listops.splits import further_rows as further_rows
from structnet.datasets.listops.splits import rows_of as rows_of
