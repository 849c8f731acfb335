"""Graphs and signals that change in time: loaders of the original files, and generators."""

from structnet.datasets.temporal.edges import autonomous_systems as autonomous_systems
from structnet.datasets.temporal.edges import bitcoin_alpha as bitcoin_alpha
from structnet.datasets.temporal.edges import bitcoin_otc as bitcoin_otc
from structnet.datasets.temporal.edges import college_messages as college_messages
from structnet.datasets.temporal.edges import elliptic as elliptic
from structnet.datasets.temporal.edges import enron10 as enron10
from structnet.datasets.temporal.moving_digits import digit_images as digit_images
from structnet.datasets.temporal.moving_digits import moving_digits as moving_digits
from structnet.datasets.temporal.moving_digits import patch_grid as patch_grid
from structnet.datasets.temporal.oscillators import oscillators as oscillators
from structnet.datasets.temporal.sbm import block_model as block_model
from structnet.datasets.temporal.signals import NodeSignal as NodeSignal
from structnet.datasets.temporal.signals import chickenpox as chickenpox
from structnet.datasets.temporal.signals import covid_by_country as covid_by_country
from structnet.datasets.temporal.signals import england_covid as england_covid
from structnet.datasets.temporal.signals import metr_la_week as metr_la_week
from structnet.datasets.temporal.signals import twitter_tennis as twitter_tennis
from structnet.datasets.temporal.words import Text as Text
from structnet.datasets.temporal.words import read_text as read_text
from structnet.datasets.temporal.words import word_graph as word_graph
