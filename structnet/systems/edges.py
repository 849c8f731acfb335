"""Signs of edges, with the released settings of Pareja et al. 2020 where there are any."""

from structnet.models.link_predictor import LinkPredictor
from structnet.systems.links import WIDTH
from structnet.systems.system import System
from structnet.tasks.edge_classes import EdgeClasses
from structnet.training.settings import TrainSettings

RECIPE = TrainSettings(epochs=30, batch_size=1, bucket=1, lr=1e-3, weight_decay=0.0, schedule="constant", clip_norm=0.0)
# hidden, decoder
TUNED = {"evolvegcn-h-otc": (50, 100), "evolvegcn-o-otc": (32, 316), "evolvegcn-h-alpha": (100, 200),
         "evolvegcn-o-alpha": (122, 77), "gcn-gru-otc": (32, 100), "gcn-otc": (32, 100), "gcn-gru-alpha": (100, 100),
         "gcn-alpha": (100, 100)}  # fmt: skip


def _system(name: str) -> System:
    encoder, data = name.rsplit("-", 1)
    hidden, decoder = TUNED[name]
    model = {"in_channels": WIDTH[data], "hidden": hidden, "encoder": encoder, "decoder_hidden": decoder}
    return System(EdgeClasses, LinkPredictor, model, RECIPE, {"data": data})


SYSTEMS = {name: _system(name) for name in TUNED}
