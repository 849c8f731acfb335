"""Pretty-CLEVR as a task: start at an object, jump to the nearest new one so many times, name what is there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from structnet.datasets.pretty_clevr import OBJECTS, QUESTIONS, Scenes, ask, generate, read_scenes
from structnet.errors import StructureError
from structnet.tasks.questions import Questions
from structnet.tasks.scenes import complete, one_hot
from structnet.tasks.task import Batch

CHANNELS = 2 + OBJECTS + OBJECTS + 2 * OBJECTS + OBJECTS  # position, colour, marker, start, jumps
MIDDLE, SCALE = 0.5, 6.0  # distances have a mean of 0.54 and a deviation of 0.24; differences of 0.1 decide
SCENES = {"validation": 200, "test": 1_000}  # beside the training scenes


class SceneSplit:
    """All 128 questions of each scene, or those that `order` numbers. A batch holds `(x [S * 8, 42], complete graphs,
    distances [E, 1], scene of each object)`; results are broken down by the number of jumps."""

    def __init__(self, name: str, scenes: Scenes, order: np.ndarray | None = None, scaled: bool = False):
        self.name, self.scenes, self.order, self.scaled = name, scenes, order, scaled
        self.sizes = torch.full((len(scenes) * QUESTIONS if order is None else len(order),), OBJECTS)

    def __len__(self) -> int:
        return len(self.sizes)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        at = rows.numpy() if self.order is None else self.order[rows.numpy()]
        scene, start, jumps, answer = ask(self.scenes, at)
        graph, owner = complete(len(scene), OBJECTS)
        position = torch.from_numpy(self.scenes.positions[scene]).float()
        question = torch.cat([one_hot(start, 2 * OBJECTS), one_hot(jumps, OBJECTS)], 1)
        looks = [one_hot(kind[scene], OBJECTS) for kind in (self.scenes.colours, self.scenes.markers)]
        x = torch.cat([position, *looks, question[:, None].expand(-1, OBJECTS, -1)], 2).flatten(0, 1)
        flat = position.flatten(0, 1)
        distance = (flat[graph.sender] - flat[graph.target]).norm(dim=1, keepdim=True)
        distance = SCALE * (distance - MIDDLE) if self.scaled else distance
        keys = {"jumps": torch.from_numpy(jumps)}
        return Batch((x, graph, distance, owner), torch.from_numpy(answer), len(scene), keys)


class PrettyClevr(Questions):
    """Questions of 0 to 7 jumps in scenes of eight objects (Palm et al., 2018, section 3.2), from their state.

    Args:
        scenes: for training; the paper has 100,000.
        seed: of all splits.
        jumps: most of a training question; few at first (`--init` goes on) is a curriculum.
        scaled: distances d as 6 (d - 0.5), which a first layer could do; the paper gives d.
    """

    name = "pretty-clevr"
    train, validation = "train", "validation"
    splits: tuple[str, ...] = ("validation", "test")
    in_range: frozenset[str] = frozenset(splits)
    chance = 1 / 8

    def __init__(self, scenes: int = 100_000, seed: int = 0, jumps: int = OBJECTS - 1, scaled: bool = False):
        if not 0 <= jumps < OBJECTS:
            raise StructureError(f"0 .. {OBJECTS - 1} jumps", str(jumps), f"jumps={OBJECTS - 1} for all questions")
        self.scenes, self.seed, self.jumps, self.scaled = scenes, seed, jumps, scaled

    def split(self, name: str) -> SceneSplit:
        if name not in (self.train, *SCENES):
            raise StructureError(f"one of train, {', '.join(SCENES)}", repr(name), 'split("test")')
        return _split(name, SCENES.get(name, self.scenes), self.seed, self.jumps, self.scaled)

    def from_file(self, path: str | Path) -> SceneSplit:
        """JSON lines of scenes, see `structnet.datasets.pretty_clevr.read_scenes`; all their questions are asked."""
        return SceneSplit(str(path), read_scenes(path), scaled=self.scaled)


@cache
def _split(name: str, scenes: int, seed: int, jumps: int, scaled: bool) -> SceneSplit:
    drawn = generate(scenes, 3 * seed + ("train", *SCENES).index(name))
    if name == "train":
        questions = np.arange(len(drawn) * QUESTIONS)
        return SceneSplit(name, drawn, questions[questions % OBJECTS <= jumps], scaled)
    # in random order, so that any first rows hold all kinds of questions
    return SceneSplit(name, drawn, np.random.default_rng(seed).permutation(len(drawn) * QUESTIONS), scaled)
