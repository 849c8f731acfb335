"""bAbI as a task: twenty kinds of questions about short stories, learned by one model together."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from structnet.datasets.babi import Stories, read_folder, read_stories
from structnet.errors import StructureError
from structnet.structures import Segments
from structnet.structures.topology import ranges
from structnet.tasks.questions import Questions
from structnet.tasks.task import Batch, mean_scores

FACTS, SOLVED = 20, 0.05  # last facts of a story that are seen; a task is solved below this error
PARTS = {"train": "train", "validation": "valid", "test": "test"}


class StorySplit:
    """Questions of one part. In training the places of a story's facts are moved on by 0 .. 19, all alike."""

    def __init__(self, name: str, stories: Stories):
        # the first question of every task, then the second, ...: any first rows hold all tasks
        order = np.lexsort((stories.tasks, _rank(stories.tasks)))
        self.name, self.stories, self.order = name, stories, order
        self.first = np.maximum(stories.fact_ptr[:-1], stories.fact_ptr[1:] - FACTS)[order]
        self.last = stories.fact_ptr[1:][order]
        self.sizes = torch.from_numpy(self.last - self.first).clamp(min=1)

    def __len__(self) -> int:
        return len(self.order)

    def batch(self, rows: Tensor, generator: torch.Generator | None = None) -> Batch:
        at = rows.numpy()
        first, last, source = self.first[at], self.last[at], self.order[at]
        stories = Segments.from_lengths(torch.from_numpy(last - first))
        places = torch.arange(stories.num_rows) - stories.ptr[stories.index]
        if generator is not None:
            places = places + torch.randint(0, FACTS, (len(at),), generator=generator)[stories.index]
        fact_words, fact_sentences, facts = self._sentences(self.stories.facts[ranges(first, last)])
        words, sentences, questions = self._sentences(self.stories.questions[source])
        inputs = (fact_words, fact_sentences, facts, stories, places, words, sentences, questions)
        target = torch.from_numpy(self.stories.answers[source])
        return Batch(inputs, target, len(at), {"task": torch.from_numpy(self.stories.tasks[source])})

    def _sentences(self, numbers: np.ndarray) -> tuple[Tensor, Segments, Tensor]:
        """Words of the different sentences among these, and which of them each is."""
        different, place = np.unique(numbers, return_inverse=True)
        start, stop = self.stories.sentence_ptr[different], self.stories.sentence_ptr[different + 1]
        words = torch.from_numpy(self.stories.words[ranges(start, stop)].astype(np.int64))
        return words, Segments.from_lengths(torch.from_numpy(stop - start)), torch.from_numpy(place.reshape(-1))


def _rank(tasks: np.ndarray) -> np.ndarray:
    """How many of the same task came before."""
    order = np.argsort(tasks, kind="stable")
    first = np.searchsorted(tasks[order], tasks[order])
    rank = np.empty(len(tasks), np.int64)
    rank[order] = np.arange(len(tasks)) - first
    return rank


class Babi(Questions):
    """The twenty tasks of Weston et al., "Towards AI-complete question answering", 2015, jointly, by the last 20
    facts of each story. A task is solved at an error below 5 %.

    Args:
        folder: with files `qaN_train.txt`, `qaN_valid.txt` (and `qaN_test.txt`), or a tar archive of them, such as the
            folder en-valid-10k of the original.
        seed: of the stories of task 3 that are drawn where its training file is missing or empty.

    Splits: "validation", and "test" where there are such files; marked by task.
    """

    name = "babi"
    train, validation = "train", "validation"
    in_range: frozenset[str] = frozenset({"validation", "test"})
    chance = 0.30  # the most frequent answer of each task (mean over the tasks)

    def __init__(self, folder: str = "", seed: int = 0):
        self.folder, self.seed = folder, seed
        has_test = bool(folder) and Path(folder).is_dir() and any(Path(folder).rglob("qa*_test.txt"))
        self.splits = ("validation", *(["test"] if has_test else []))

    def split(self, name: str) -> StorySplit:
        if name not in PARTS:
            raise StructureError(f"one of {', '.join(PARTS)}", repr(name), 'split("validation")')
        if not self.folder:
            raise StructureError("the bAbI files", "none", "--task_args.folder FOLDER, or --data FILE to evaluate")
        return _split(self.folder, name, self.seed)

    def from_file(self, path: str | Path) -> StorySplit:
        """A file of one task, or a folder (or archive) of which the test files, else the validation files, are read."""
        if Path(path).is_file() and not Path(path).name.endswith((".tar", ".gz", ".tgz")):
            return StorySplit(str(path), read_stories(path))
        try:
            return StorySplit(str(path), read_folder(path, "test"))
        except StructureError:
            return StorySplit(str(path), read_folder(path, "valid"))

    @staticmethod
    def summary(scores: dict[str, Tensor], keys: dict[str, Tensor]) -> dict[str, float]:
        """Means, and the number of tasks that are solved."""
        tasks = keys["task"].unique()
        errors = torch.stack([1 - scores["accuracy"][keys["task"] == task].double().mean() for task in tasks])
        return {**mean_scores(scores, keys), "solved": float((errors < SOLVED).sum())}


@cache
def _split(folder: str, name: str, seed: int) -> StorySplit:
    return StorySplit(name, read_folder(folder, PARTS[name], seed))
