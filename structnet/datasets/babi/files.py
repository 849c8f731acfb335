"""bAbI files in their original text format, from a folder or an archive."""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from structnet.datasets.babi.three_facts import three_facts
from structnet.errors import StructureError

TASKS = 20


@cache
def vocabulary() -> dict[str, int]:
    """Words and answers (an answer such as "milk,apple" is one word) -> number; 0 stands for any other."""
    lines = (Path(__file__).parent / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    return {word: at for at, word in enumerate(line for line in lines if line)}


@dataclass(frozen=True)
class Stories:
    """Questions, each with the facts before it; sentences are kept once.

    Attributes:
        words: uint8, of all different sentences; sentence s is `words[sentence_ptr[s] : sentence_ptr[s + 1]]`.
        facts: sentence numbers, of all questions; question q sees `facts[fact_ptr[q] : fact_ptr[q + 1]]`, oldest first.
        questions, answers, tasks: `[Q]`: sentence, word number of the answer, 1 .. 20.
    """

    words: np.ndarray
    sentence_ptr: np.ndarray
    facts: np.ndarray
    fact_ptr: np.ndarray
    questions: np.ndarray
    answers: np.ndarray
    tasks: np.ndarray

    def __len__(self) -> int:
        return len(self.questions)


class _Reader:
    """Collects questions from lines."""

    def __init__(self):
        self.ids: dict[tuple[int, ...], int] = {}
        self.seen: dict[str, int] = {}  # text -> sentence
        self.facts: list[np.ndarray] = []
        self.rows: list[tuple[int, int, int]] = []  # question, answer, task

    def sentence(self, text: str) -> int:
        if text not in self.seen:
            known = vocabulary()
            words = tuple(known.get(word, 0) for word in re.sub(r"[.?]", " ", text.lower()).split())
            self.seen[text] = self.ids.setdefault(words, len(self.ids))
        return self.seen[text]

    def read(self, lines: Iterable[str], task: int, where: str) -> None:
        story: list[int] = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            head, _, text = line.rstrip("\r\n").partition(" ")
            parts = text.split("\t")
            if not head.isdigit() or not parts[0].strip() or (len(parts) == 2 and not parts[1].strip()):
                hint = "a number, a space and a fact, or a question, tab and answer"
                raise StructureError("lines as in the bAbI files", f"{line.strip()!r} at {where}:{number}", hint)
            if int(head) == 1:
                story = []
            if len(parts) == 1:
                story.append(self.sentence(text))
                continue
            answer = vocabulary().get(parts[1].strip().lower(), 0)
            self.facts.append(np.array(story, np.int64))
            self.rows.append((self.sentence(parts[0]), answer, task))

    def stories(self, where: str) -> Stories:
        if not self.rows:
            raise StructureError("at least one question", f"none in {where}", "a bAbI file such as qa1_train.txt")
        columns = np.array(self.rows, np.int64).reshape(-1, 3).T
        sentences = list(self.ids)
        flat = np.array([word for words in sentences for word in words], np.uint8)
        facts = np.concatenate(self.facts)
        return Stories(flat, _ptr(map(len, sentences)), facts, _ptr(map(len, self.facts)), *columns)


def _ptr(lengths: Iterable[int]) -> np.ndarray:
    return np.cumsum([0, *lengths])


def read_stories(path: str | Path) -> Stories:
    """One file. The task is the number in its name (`qa7_test.txt`), else 0.

    Raises:
        StructureError: with the line number, for lines that are not in the format; a file without a question.
    """
    reader, path = _Reader(), Path(path)
    with open(path, encoding="utf-8") as file:
        reader.read(file, _task(path.name), str(path))
    return reader.stories(str(path))


def read_folder(path: str | Path, part: str, seed: int = 0) -> Stories:
    """All tasks of a part ("train", "valid", "test") from a folder or a tar archive of files `qaN_PART.txt`.

    Where the training file of task 3 is missing or empty, 1,800 stories are drawn by `three_facts` instead (said on
    standard error), in the words and form of the original.

    Raises:
        StructureError: no such file at all.
    """
    texts, reader = _texts(Path(path), part), _Reader()
    if not any(texts.values()):
        raise StructureError(f"files qa1_{part}.txt .. in {path}", "none", "the folder en-valid-10k, or its archive")
    if part == "train" and not texts.get(3):
        print(f"structnet: no training file of task 3 in {path}: its stories are drawn anew", file=sys.stderr)
        texts[3] = three_facts(1_800, seed)
    for task in sorted(texts):
        reader.read(texts[task].splitlines(), task, f"qa{task}_{part}.txt")
    return reader.stories(str(path))


def _texts(path: Path, part: str) -> dict[int, str]:
    if path.is_dir():
        found = {file.name: file.read_text(encoding="utf-8") for file in path.rglob(f"qa*_{part}.txt")}
    else:
        with tarfile.open(path) as archive:
            members = [m for m in archive.getmembers() if m.isfile() and m.name.endswith(f"_{part}.txt")]
            found = {Path(m.name).name: archive.extractfile(m).read().decode() for m in members}  # type: ignore[union-attr]
    return {_task(name): text for name, text in found.items() if _task(name)}


def _task(name: str) -> int:
    match = re.match(r"qa(\d+)", name)
    return int(match.group(1)) if match else 0
