"""Dynamic graphs from their original files, as streams of edges."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

from structnet.datasets.temporal.files import content, locate, read_table
from structnet.errors import StructureError
from structnet.structures.snapshots import EdgeStream, Snapshots

OTC = "76bd9d8f1d3ff9a1813d9fc8e6902a0ee4d0a2f8c1003842dbc9ec79149ab60c"
ALPHA = "1b2a970f327d0ceba0c57bd5919670257cbe4cc0704e2ddac09abc4b08e2ca4d"
MESSAGES = "e00ba2415373dee52c00616065bcceaa4750e78de60d1855c76470600f10740f"
ENRON = "8640f7b79717a6c57b0d009f445769e7fde470f63a3f00dce33693b8d15809dc"


def bitcoin_otc(folder: str | Path = "", check: bool = True) -> EdgeStream:
    """Who trusts whom, -10 .. 10 (Kumar et al. 2016): 5,881 members, 35,592 ratings, seconds."""
    return _rated(locate(folder, "soc-sign-bitcoinotc.csv"), OTC if check else None)


def bitcoin_alpha(folder: str | Path = "", check: bool = True) -> EdgeStream:
    """As `bitcoin_otc`, of another market: 3,783 members, 24,186 ratings. The file is not in the order of time."""
    return _rated(locate(folder, "soc-sign-bitcoinalpha.csv"), ALPHA if check else None)


def college_messages(folder: str | Path = "", check: bool = True) -> EdgeStream:
    """UCI messages (Panzarasa et al. 2009), SNAP's CollegeMsg: 1,899 students, 59,835 messages, seconds."""
    table = read_table(locate(folder, "CollegeMsg.txt"), 3, sha256=MESSAGES if check else None)
    return _stream(table[:, 0], table[:, 1], table[:, 2])


def enron10(folder: str | Path = "", check: bool = True) -> EdgeStream:
    """Mails between 184 people in 11 snapshots (`t,src,dst`); the time is the number of the snapshot."""
    table = read_table(locate(folder, "enron10_snapshots.csv"), 3, ",", True, ENRON if check else None)
    return _stream(table[:, 1], table[:, 2], table[:, 0])


def autonomous_systems(folder: str | Path, days: int = 100) -> EdgeStream:
    """AS-733 (Leskovec et al. 2005), its first `days` daily graphs; the time is the number of the day.

    Args:
        folder: with SNAP's `as-733.tar.gz`, or with the unpacked `as19971108.txt`, ...
    """
    archive = Path(folder) / "as-733.tar.gz"
    if archive.exists():
        with tarfile.open(archive) as tar:
            names = sorted(member.name for member in tar.getmembers() if member.name.endswith(".txt"))[:days]
            tables = [np.loadtxt(tar.extractfile(name), ndmin=2) for name in names]  # type: ignore[arg-type]
    else:
        tables = [read_table(path, 2) for path in sorted(Path(folder).glob("as*.txt"))[:days]]
    if not tables:
        raise StructureError("as-733.tar.gz or as*.txt", f"neither in {folder}", "SNAP's as-733.tar.gz")
    day = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    both = np.concatenate(tables)
    return _stream(both[:, 0], both[:, 1], day)


def elliptic(folder: str | Path) -> Snapshots:
    """Bitcoin transactions (Weber et al. 2019): 49 graphs without common nodes, x `[N_t, 166]`, y `[N_t]`: 1 illicit,
    0 licit, -1 not known.

    Args:
        folder: with the release's `elliptic_txs_features.csv`, `elliptic_txs_classes.csv`, `elliptic_txs_edgelist.csv`.
    """
    features = read_table(locate(folder, "elliptic_txs_features.csv"), 167, ",")
    labels = _labels(locate(folder, "elliptic_txs_classes.csv"))
    edges = read_table(locate(folder, "elliptic_txs_edgelist.csv"), 2, ",", header=True).astype(np.int64)
    ids, step = features[:, 0].astype(np.int64), features[:, 1].astype(np.int64) - 1
    order = np.argsort(ids)
    place = order[np.searchsorted(ids[order], edges).clip(max=len(ids) - 1)]
    if (ids[place] != edges).any():
        raise StructureError("edges between known transactions", f"{edges[ids[place] != edges][0]}", "whole files")
    y = np.array([labels.get(int(i), -1) for i in ids])
    graphs = []
    for t in range(step.max() + 1):
        rows = np.flatnonzero(step == t)
        local = np.full(len(ids), -1)
        local[rows] = np.arange(len(rows))
        inside = local[place[step[place[:, 0]] == t]]
        x, edge_index = torch.from_numpy(features[rows, 1:]).float(), torch.from_numpy(inside.T.copy())
        graphs.append(Data(x=x, edge_index=edge_index, y=torch.from_numpy(y[rows]), num_nodes=len(rows)))
    return Snapshots(graphs)


def _labels(path: Path) -> dict[int, int]:
    known = {"1": 1, "2": 0, "unknown": -1}
    found = {}
    for number, line in enumerate(content(path).decode().splitlines()[1:], 2):
        cells = line.split(",")
        if len(cells) != 2 or cells[1] not in known:
            raise StructureError(
                "transaction,1|2|unknown", f"{line[:40]!r} in line {number} of {path}", "the whole file"
            )
        found[int(cells[0])] = known[cells[1]]
    return found


def _rated(path: Path, sha256: str | None) -> EdgeStream:
    table = read_table(path, 4, ",", sha256=sha256)
    return _stream(table[:, 0], table[:, 1], table[:, 3], table[:, 2])


def _stream(source: np.ndarray, target: np.ndarray, time: np.ndarray, weight: np.ndarray | None = None) -> EdgeStream:
    """Ids renumbered 0 .. N - 1 in their order, edges put in the order of time (ties as in the file)."""
    ids, place = np.unique(np.concatenate([source, target]), return_inverse=True)
    source, target = np.split(place, 2)
    whole = bool((time == np.floor(time)).all())
    times = torch.from_numpy(time.astype(np.int64) if whole else time)
    weights = None if weight is None else torch.from_numpy(weight)
    return EdgeStream.of(torch.from_numpy(source), torch.from_numpy(target), times, len(ids), weights, sort=True)
