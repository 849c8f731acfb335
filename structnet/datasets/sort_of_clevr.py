"""Sort-of-CLEVR in state form: six coloured squares and circles, and questions about one or about pairs of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from structnet.errors import StructureError

SIZE, RADIUS, OBJECTS = 75, 5, 6
COLOURS = ("red", "green", "blue", "orange", "gray", "yellow")  # object i has colour i
ANSWERS = ("yes", "no", "rectangle", "circle", "1", "2", "3", "4", "5", "6")
PER_KIND = 10  # questions of each kind a scene


@dataclass(frozen=True)
class Scenes:
    """Centres in pixels, int `[S, 6, 2]`; `circles` bool `[S, 6]` (else squares); object i has colour i."""

    centres: np.ndarray
    circles: np.ndarray

    def __len__(self) -> int:
        return len(self.centres)


@dataclass(frozen=True)
class Questions:
    """Scene, colour asked about, relational or not, subtype 0 .. 2, and answer (a place in `ANSWERS`), `[Q]` each."""

    scene: np.ndarray
    colour: np.ndarray
    relational: np.ndarray
    subtype: np.ndarray
    answer: np.ndarray


def generate(count: int, seed: int = 0) -> tuple[Scenes, Questions]:
    """Scenes of Santoro et al., "A simple neural network module for relational reasoning", 2017, as the usual public
    generator makes them: centres uniform in 5 .. 69, drawn again until at least 10 from those before; square or
    circle by chance; 10 non-relational and 10 relational questions, colour and subtype by chance."""
    rng = np.random.default_rng([seed, count])
    centres = np.zeros((count, OBJECTS, 2), np.int64)
    for at in range(OBJECTS):
        rows = np.arange(count)
        while len(rows):
            centres[rows, at] = rng.integers(RADIUS, SIZE - RADIUS, (len(rows), 2))
            square = ((centres[rows, :at] - centres[rows, at, None]) ** 2).sum(-1)
            rows = rows[(square < (2 * RADIUS) ** 2).any(1)]
    scenes = Scenes(centres, rng.random((count, OBJECTS)) < 0.5)
    scene = np.arange(count).repeat(2 * PER_KIND)
    relational = np.tile(np.arange(2 * PER_KIND) >= PER_KIND, count)
    colour, subtype = rng.integers(0, OBJECTS, len(scene)), rng.integers(0, 3, len(scene))
    return scenes, Questions(scene, colour, relational, subtype, answers(scenes, scene, colour, relational, subtype))


def answers(
    scenes: Scenes, scene: np.ndarray, colour: np.ndarray, relational: np.ndarray, subtype: np.ndarray
) -> np.ndarray:
    """Non-relational: shape; left half?; upper half? Relational: shape of the nearest, of the farthest object;
    number of other objects of the same shape (0 is answer "1"). The first object wins a tie."""
    rows = np.arange(len(scene))
    centre, circle = scenes.centres[scene], scenes.circles[scene].astype(np.int64)
    mine = circle[rows, colour]
    half = np.where(centre[rows, colour] < SIZE / 2, 0, 1)
    apart = ((centre - centre[rows, colour, None]) ** 2).sum(-1)
    far = apart.argmax(1)
    apart[rows, colour] = np.iinfo(np.int64).max
    same = (circle == mine[:, None]).sum(1) - 1
    plain = np.stack([2 + mine, half[:, 0], half[:, 1]])
    pairs = np.stack([2 + circle[rows, apart.argmin(1)], 2 + circle[rows, far], 4 + same])
    return np.where(relational, pairs[subtype, rows], plain[subtype, rows])


def read_scenes(path: str | Path) -> tuple[Scenes, Questions]:
    """JSON lines, one scene a line: `{"centres": [[x, y], ...], "shapes": ["circle", "rectangle", ...], "questions":
    [["red", "relational", 0], ...]}`, objects in the order of `COLOURS`; the answers are computed.

    Raises:
        StructureError: with the line number, for anything else.
    """
    centres, circles, questions = [], [], []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            scene = json.loads(line)
            shapes = [("rectangle", "circle").index(name) for name in scene["shapes"]]
            circles.append(np.array(shapes, bool).reshape(OBJECTS))
            here = len(centres)
            asked = [(here, COLOURS.index(c), kind == "relational", range(3)[s]) for c, kind, s in scene["questions"]]
            centres.append(np.array(scene["centres"], np.int64).reshape(OBJECTS, 2))
            questions += asked
        except (ValueError, KeyError, TypeError, IndexError) as error:
            hint = "six centres and shapes, and questions [colour, relational or not, 0 .. 2]"
            raise StructureError("a scene as JSON", f"{error} at {path}:{number}", hint) from error
    if not questions:
        raise StructureError("at least one question", f"none in {path}", "another file")
    scenes, (scene, colour, relational, subtype) = Scenes(np.stack(centres), np.stack(circles)), np.array(questions).T
    relational = relational.astype(bool)
    return scenes, Questions(scene, colour, relational, subtype, answers(scenes, scene, colour, relational, subtype))
