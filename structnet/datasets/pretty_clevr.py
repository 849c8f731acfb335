"""Pretty-CLEVR: jump from object to nearest object, and say what stands at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from structnet.errors import StructureError

OBJECTS, APART = 8, 0.1
COLOURS = ("blue", "green", "red", "cyan", "magenta", "yellow", "black", "gray")
MARKERS = ("o", "v", "^", "<", ">", "s", "P", "X")
QUESTIONS = 2 * OBJECTS * OBJECTS  # of a scene: each start, by colour or by marker, and 0 .. 7 jumps


@dataclass(frozen=True)
class Scenes:
    """Positions `[S, 8, 2]`; numbers of colour and marker of each object `[S, 8]`; `paths[s, i, k]`, the object reached
    from object i in k jumps, `[S, 8, 8]`."""

    positions: np.ndarray
    colours: np.ndarray
    markers: np.ndarray
    paths: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)


def generate(count: int, seed: int = 0) -> Scenes:
    """Scenes as the authors of "Recurrent Relational Networks" (Palm et al., 2018, section 3.2) make them: eight
    objects in the unit square, each drawn again until it is more than 0.1 away from those before; each colour and
    each marker once, in random order."""
    rng = np.random.default_rng([seed, count])
    positions = np.zeros((count, OBJECTS, 2))
    for at in range(OBJECTS):
        rows = np.arange(count)
        while len(rows):
            positions[rows, at] = rng.random((len(rows), 2))
            apart = np.linalg.norm(positions[rows, :at] - positions[rows, at, None], axis=-1)
            rows = rows[(apart <= APART).any(1)]
    order = np.tile(np.arange(OBJECTS), (count, 1))
    return Scenes(positions, rng.permuted(order, axis=1), rng.permuted(order, axis=1), greedy_paths(positions))


def greedy_paths(positions: np.ndarray) -> np.ndarray:
    """From every object always on to the nearest one not visited yet: `[S, 8, 2]` -> objects by jumps `[S, 8, 8]`."""
    apart = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    scene, start = (index.reshape(-1) for index in np.indices(apart.shape[:2]))
    at, seen = start, np.zeros((len(start), OBJECTS), bool)
    path = []
    for _ in range(OBJECTS):
        path.append(at)
        seen[np.arange(len(at)), at] = True
        at = np.where(seen, np.inf, apart[scene, at]).argmin(1)
    return np.stack(path, 1).reshape(len(positions), OBJECTS, OBJECTS)


def ask(scenes: Scenes, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Question number `rows` (128 of each scene, one after the other): scene, start 0 .. 15 (a colour, or 8 + a
    marker), jumps, and the answer 0 .. 15: the marker of the object reached if asked by colour, else its colour."""
    scene, question = np.divmod(rows, QUESTIONS)
    by_marker, question = np.divmod(question, OBJECTS * OBJECTS)
    first, jumps = np.divmod(question, OBJECTS)
    last = scenes.paths[scene, first, jumps]
    start = np.where(by_marker, OBJECTS + scenes.markers[scene, first], scenes.colours[scene, first])
    answer = np.where(by_marker, scenes.colours[scene, last], OBJECTS + scenes.markers[scene, last])
    return scene, start, jumps, answer


def read_scenes(path: str | Path) -> Scenes:
    """JSON lines, one scene a line: `{"positions": [[x, y], ...], "colours": ["blue", ...], "markers": ["o", ...]}`.

    Raises:
        StructureError: with the line number, for anything else.
    """
    positions, colours, markers = [], [], []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            scene = json.loads(line)
            positions.append(np.array(scene["positions"], float).reshape(OBJECTS, 2))
            colours.append([COLOURS.index(name) for name in scene["colours"]])
            markers.append([MARKERS.index(name) for name in scene["markers"]])
            if sorted(colours[-1]) != sorted(markers[-1]) or sorted(markers[-1]) != list(range(OBJECTS)):
                raise ValueError("each colour and marker once")
        except (ValueError, KeyError, TypeError) as error:
            hint = "eight positions, colours and markers, each colour and marker once"
            raise StructureError("a scene as JSON", f"{error} at {path}:{number}", hint) from error
    if not positions:
        raise StructureError("at least one scene", f"none in {path}", "another file")
    stacked = np.stack(positions)
    return Scenes(stacked, np.array(colours), np.array(markers), greedy_paths(stacked))
