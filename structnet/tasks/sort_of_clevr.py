"""Sort-of-CLEVR as a task, from the state of the scene: questions about one object, and about pairs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from structnet.datasets.sort_of_clevr import OBJECTS, SIZE, Scenes, generate, read_scenes
from structnet.datasets.sort_of_clevr import Questions as Asked
from structnet.errors import StructureError
from structnet.tasks.questions import Questions
from structnet.tasks.scenes import complete, one_hot
from structnet.tasks.task import Batch

CHANNELS = 2 + 2 + OBJECTS + OBJECTS + 2 + 3  # centre, shape, colour; question: colour, kind, subtype
SCENES = {"train": 9_800, "validation": 200, "test": 200}


class SceneSplit:
    """Twenty questions a scene. A batch holds `(x [S * 6, 21], complete graphs with loops, None, scene of each
    object)`; results are broken down by kind: 0 .. 2 non-relational (shape, left?, up?), 3 .. 5 relational (nearest,
    farthest, how many)."""

    def __init__(self, name: str, scenes: Scenes, asked: Asked):
        self.name, self.scenes, self.asked = name, scenes, asked
        self.sizes = torch.full((len(asked.scene),), OBJECTS)

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        at, asked = rows.numpy(), self.asked
        scene, kind = asked.scene[at], asked.relational[at].astype(int)
        graph, owner = complete(len(at), OBJECTS, loops=True)
        centre = torch.from_numpy(self.scenes.centres[scene]).float() / SIZE
        shape = one_hot(self.scenes.circles[scene].astype(int), 2)
        colour = torch.eye(OBJECTS).expand(len(at), -1, -1)
        question = torch.cat([one_hot(asked.colour[at], OBJECTS), one_hot(kind, 2), one_hot(asked.subtype[at], 3)], 1)
        x = torch.cat([centre, shape, colour, question[:, None].expand(-1, OBJECTS, -1)], 2).flatten(0, 1)
        keys = {"relational": torch.from_numpy(kind), "kind": torch.from_numpy(3 * kind + asked.subtype[at])}
        return Batch((x, graph, None, owner), torch.from_numpy(asked.answer[at]), len(at), keys)


class SortOfClevr(Questions):
    """Santoro et al., "A simple neural network module for relational reasoning", 2017, section 4.3, state form.

    Args:
        seed: of all splits; 9,800 training scenes, 200 each for validation and test, 20 questions a scene.
    """

    name = "sort-of-clevr"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "test")
    in_range: frozenset[str] = frozenset(splits)
    chance = 0.47  # the most frequent answer of each kind of question

    def __init__(self, seed: int = 0):
        self.seed = seed

    def split(self, name: str) -> SceneSplit:
        if name not in SCENES:
            raise StructureError(f"one of {', '.join(SCENES)}", repr(name), 'split("test")')
        return _split(name, self.seed)

    def from_file(self, path: str | Path) -> SceneSplit:
        """JSON lines of scenes and questions, see `structnet.datasets.sort_of_clevr.read_scenes`."""
        return SceneSplit(str(path), *read_scenes(path))


@cache
def _split(name: str, seed: int) -> SceneSplit:
    return SceneSplit(name, *generate(SCENES[name], 3 * seed + list(SCENES).index(name)))
