"""The original format, and task 3 drawn anew."""

import io
import re
import tarfile

import pytest

from structnet.datasets.babi import read_folder, read_stories, three_facts, vocabulary
from structnet.errors import StructureError

TEXT = """1 Mary went to the kitchen.
2 John got the milk there.
3 Where is Mary? \tkitchen\t1
4 Mary moved to the garden.
5 What is John carrying? \tmilk,apple\t2
1 The office is north of the hallway.
2 What is north of the hallway?\toffice\t1
"""


def words(stories, sentence) -> str:
    names = list(vocabulary())
    first, last = stories.sentence_ptr[sentence : sentence + 2]
    return " ".join(names[w] for w in stories.words[first:last])


def test_a_file(tmp_path):
    path = tmp_path / "qa5_test.txt"
    path.write_text(TEXT)
    stories = read_stories(path)
    assert len(stories) == 3 and stories.tasks.tolist() == [5] * 3
    assert [words(stories, s) for s in stories.questions] == [
        "where is mary", "what is john carrying", "what is north of the hallway"]  # fmt: skip
    facts = [stories.facts[a:b].tolist() for a, b in zip(stories.fact_ptr, stories.fact_ptr[1:])]
    assert [len(f) for f in facts] == [2, 3, 1] and facts[1][:2] == facts[0]
    assert words(stories, facts[1][2]) == "mary moved to the garden"
    assert [list(vocabulary())[a] for a in stories.answers] == ["kitchen", "milk,apple", "office"]


def test_the_published_number_of_words():
    assert len(vocabulary()) == 177 and vocabulary()["<unknown>"] == 0


@pytest.mark.parametrize("line", ["no number here", "1 ", "1 Where is Mary?\t", "\tx"])
def test_a_line_that_is_not_in_the_format_is_named(tmp_path, line):
    path = tmp_path / "qa1_test.txt"
    path.write_text(TEXT + line + "\n")
    with pytest.raises(StructureError, match=rf"{path.name}:8"):
        read_stories(path)


def test_nothing_to_read(tmp_path):
    (tmp_path / "qa1_train.txt").write_text("1 Mary went to the kitchen.\n")
    with pytest.raises(StructureError, match="at least one question"):
        read_stories(tmp_path / "qa1_train.txt")
    with pytest.raises(StructureError, match="qa1_valid"):
        read_folder(tmp_path, "valid")


def test_a_folder_and_an_archive_and_the_missing_task(tmp_path, capsys):
    for task in (1, 3):
        (tmp_path / f"qa{task}_train.txt").write_text(TEXT if task == 1 else "")
    with tarfile.open(tmp_path / "babi.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("en/qa1_train.txt")
        info.size = len(TEXT)
        archive.addfile(info, io.BytesIO(TEXT.encode()))
    for source in (tmp_path, tmp_path / "babi.tar.gz"):
        stories = read_folder(source, "train")
        assert (stories.tasks == 1).sum() == 3 and (stories.tasks == 3).sum() == 9_000
        assert not (stories.words == 0).any() and not (stories.answers == 0).any()
        assert "task 3" in capsys.readouterr().err


def place_before(lines: list[str], question: str) -> str:
    """Task 3 by a slow reading: where the thing has been, place after place."""
    thing, now = re.search(r"the (\w+) before the (\w+)", question).groups()  # type: ignore[union-attr]
    where, holder, path = {}, None, []
    for line in lines:
        person, rest = line.split(" ", 1)
        if thing in rest:
            holder = None if re.match(r"(left|dropped|put down|discarded)", rest) else person
        elif re.search(r"to the \w+\.", rest):
            where[person] = rest.split()[-1].rstrip(".")
        if holder is not None and person == holder and holder in where and (not path or path[-1] != where[holder]):
            path.append(where[holder])
    at = len(path) - 1 - path[::-1].index(now)
    return path[at - 1]


def check(text: str) -> int:
    story, asked = [], 0
    for line in text.splitlines():
        number, rest = line.split(" ", 1)
        story = [] if number == "1" else story
        if "\t" in rest:
            question, answer, _ = rest.split("\t")
            assert place_before(story, question) == answer, line
            asked += 1
        else:
            story.append(rest)
    return asked


def test_every_answer_of_task_3_follows_from_its_story():
    assert check(three_facts(60, seed=3)) == 300


def test_the_same_reading_answers_the_original(shared_data, tmp_path):
    with tarfile.open(shared_data / "babi" / "en-valid-10k-train-valid.tar.gz") as archive:
        member = next(m for m in archive.getmembers() if m.name.endswith("qa3_valid.txt"))
        text = archive.extractfile(member).read().decode()  # type: ignore[union-attr]
    assert check(text) == 1_000
