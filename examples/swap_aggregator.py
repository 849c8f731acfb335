"""One argument swapped in a `SAGEConv`: PyG's LCM aggregator for ours.

    python examples/swap_aggregator.py    # seconds; Zachary's karate club, which comes with PyG

The same two members are classified alone with their neighbours and inside the whole club. With PyG's aggregator the
answer moves, because padding is run through the operator; with ours it does not (measured: 5.9e-2 and 1.5e-8).
"""

import torch
from torch_geometric.datasets import KarateClub
from torch_geometric.nn import SAGEConv
from torch_geometric.nn.aggr import LCMAggregation as PaddedLCM
from torch_geometric.utils import k_hop_subgraph, sort_edge_index

from structnet.aggr import LCMAggregation


def main() -> None:
    data = KarateClub()[0]
    edge_index = sort_edge_index(data.edge_index, sort_by_row=False)  # PyG's wants sorted edges, ours does not care
    for aggregator in (PaddedLCM, LCMAggregation):
        torch.manual_seed(0)
        conv = SAGEConv(data.num_features, 4, aggr=aggregator(data.num_features, data.num_features))
        whole = conv(data.x, edge_index)
        nodes, edges, places, _ = k_hop_subgraph([11, 12], 1, edge_index, relabel_nodes=True)
        edges = sort_edge_index(edges[:, torch.isin(edges[1], places)], sort_by_row=False)
        alone = conv(data.x[nodes], edges)
        difference = (whole[[11, 12]] - alone[places]).abs().max().item()
        print(f"{aggregator.__module__.split('.')[0]:>16}.{aggregator.__name__}: moved by {difference:.1e}")


if __name__ == "__main__":
    main()
