"""bAbI: the twenty question answering tasks of Weston et al. (2015)."""

from structnet.datasets.babi.files import Stories as Stories
from structnet.datasets.babi.files import read_folder as read_folder
from structnet.datasets.babi.files import read_stories as read_stories
from structnet.datasets.babi.files import vocabulary as vocabulary
from structnet.datasets.babi.three_facts import three_facts as three_facts
