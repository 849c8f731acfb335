"""A series of graphs as a player: one layout for all snapshots, frozen on the union of their edges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import networkx as nx
import torch
from torch import Tensor
from torch_geometric.data import Data

from structnet.errors import StructureError
from structnet.report.charts import line_chart
from structnet.report.html import write_page

PLAYER = """<figure class="player"><canvas width="1640" height="1000" style="width:820px;height:500px"></canvas>
<div><button type="button">play</button>
<input type="range" min="0" value="0" style="width:520px;vertical-align:middle">
<span></span></div></figure>
<script>
{ const data = DATA, root = document.currentScript.previousElementSibling, canvas = root.querySelector("canvas");
const pen = canvas.getContext("2d"), slider = root.querySelector("input"), label = root.querySelector("span");
const W = canvas.width, H = canvas.height;
const x = n => 40 + data.at[n][0] * (W - 80), y = n => 40 + data.at[n][1] * (H - 80);
slider.max = data.edges.length - 1;
const key = e => e[0] + "-" + e[1];
function draw() {
  const t = +slider.value, now = data.edges[t], before = new Set(t ? data.edges[t - 1].map(key) : []), degree = {};
  pen.fillStyle = "#fff"; pen.fillRect(0, 0, W, H);
  for (const e of now) {
    const fresh = !before.has(key(e));
    pen.strokeStyle = fresh ? "rgba(217,130,43,.75)" : "rgba(37,99,176,.75)";
    pen.lineWidth = 1.5 + 2 * Math.log2(1 + e[2]); pen.beginPath(); pen.moveTo(x(e[0]), y(e[0]));
      pen.lineTo(x(e[1]), y(e[1])); pen.stroke();
    for (const n of [e[0], e[1]]) degree[n] = (degree[n] || 0) + 1;
  }
  for (let n = 0; n < data.at.length; n++) {
    pen.fillStyle = degree[n] ? "#1d2733" : "#c9d0d8"; pen.beginPath();
    pen.arc(x(n), y(n), degree[n] ? 5 + 2.5 * Math.sqrt(degree[n]) : 4, 0, 7); pen.fill();
    if (data.names.length && (degree[n] || data.at.length <= 40)) { pen.font = "22px system-ui, sans-serif";
      pen.fillText(data.names[n], x(n) + 10, y(n) - 9); }
  }
  const fresh = now.filter(e => !before.has(key(e))).length;
  label.textContent = `step ${data.first + t}: ${now.length} edges, ${fresh} new (orange)`;
}
let timer = null;
root.querySelector("button").onclick = () => {
  if (timer) { clearInterval(timer); timer = null; return; }
  if (+slider.value == +slider.max) slider.value = -1;
  timer = setInterval(() => { slider.value = +slider.value + 1; draw();
    if (+slider.value == +slider.max) { clearInterval(timer); timer = null; } }, 350);
};
slider.oninput = draw; draw(); }
</script>"""


def player(snapshots: Sequence[Data], most: int = 150, first: int = 0, names: Sequence[str] = ()) -> str:
    """An HTML fragment that plays the snapshots; no network, works from a file.

    Args:
        snapshots: graphs on the same nodes; both directions of an edge are drawn as one.
        most: only the nodes with the most edges (the rest would hide them).
        first: number of the first snapshot.
        names: of all nodes, or none.

    Node positions are computed once, by force, on the union of all edges.
    """
    if not snapshots:
        raise StructureError("at least one snapshot", "none", "a list of graphs")
    nodes = int(snapshots[0].num_nodes or 0)
    lists = [_pairs(graph) for graph in snapshots]
    activity = torch.zeros(nodes)
    for pairs, _ in lists:
        activity.index_add_(0, pairs.flatten(), torch.ones(pairs.numel()))
    kept = activity.argsort(descending=True, stable=True)[: min(most, nodes)].sort().values
    place = torch.full((nodes,), -1)
    place[kept] = torch.arange(len(kept))
    edges = []
    for pairs, weight in lists:
        inside = (place[pairs] >= 0).all(0)
        ends = place[pairs][:, inside].t().tolist()
        edges.append([[a, b, round(w, 2)] for (a, b), w in zip(ends, weight[inside].tolist())])
    union = nx.Graph()
    union.add_nodes_from(range(len(kept)))
    union.add_edges_from((a, b) for step in edges for a, b, _ in step)
    layout = nx.spring_layout(union, seed=0, k=1.6 / max(len(kept), 1) ** 0.5, iterations=80)
    position = torch.tensor([list(layout[n]) for n in range(len(kept))], dtype=torch.float32)
    low, high = position.quantile(torch.tensor([0.02, 0.98]), 0)  # what is not linked to the rest flies far off
    unit = ((position - low) / (high - low).clamp(min=1e-9)).clamp(-0.03, 1.03).tolist()
    data = {"at": [[round(a, 4), round(b, 4)] for a, b in unit], "edges": edges, "first": first,
            "names": [escape(str(names[n])) for n in kept.tolist()] if names else []}  # fmt: skip
    return PLAYER.replace("DATA", json.dumps(data).replace("</", "<\\/"))


def singular_values(weights: Tensor, count: int = 4) -> str:
    """The largest singular values of a weight at every step, `[T, F, D]`, as a chart."""
    values = torch.linalg.svdvals(weights.detach().float())[:, :count]
    lines = {f"singular value {k + 1}": list(enumerate(column)) for k, column in enumerate(values.t().tolist())}
    return line_chart(lines, "step")


def forecast_chart(truth: Tensor, said: Tensor) -> str:
    """Forecast against truth of one series, `[T]` each."""
    return line_chart({"truth": list(enumerate(truth.tolist())), "forecast": list(enumerate(said.tolist()))}, "step")


def write_player(path: Path, title: str, snapshots: Sequence[Data], weights: Tensor | None = None, **options) -> Path:
    """A page with the player and, below it, the singular values of an evolving weight `[T, F, D]`."""
    below = [] if weights is None else [("Singular values of the evolving weight", singular_values(weights))]
    subtitle = f"{len(snapshots)} snapshots of {snapshots[0].num_nodes} nodes; the layout is that of all edges together"
    return write_page(path, title, subtitle, [("Snapshots", player(snapshots, **options)), *below])


def _pairs(graph: Data) -> tuple[Tensor, Tensor]:
    """Undirected pairs `[2, E]`, lower node first, no loops, and their weights."""
    assert graph.edge_index is not None
    low, high = graph.edge_index.min(0).values, graph.edge_index.max(0).values
    keep = low != high
    key, place = (low * int(graph.num_nodes or 0) + high)[keep].unique(return_inverse=True)
    given = graph.edge_weight if "edge_weight" in graph else None
    weight = torch.ones(int(keep.sum())) if given is None else given[keep]
    strongest = torch.zeros(len(key)).scatter_reduce(0, place, weight.float(), "amax")
    return torch.stack([key // max(int(graph.num_nodes or 0), 1), key % max(int(graph.num_nodes or 0), 1)]), strongest
