"""Pretty-CLEVR, Sort-of-CLEVR and age arithmetic: every answer by another way."""

import json

import numpy as np
import pytest

from structnet.datasets import age, pretty_clevr, sort_of_clevr
from structnet.errors import StructureError


def test_pretty_clevr_scenes_are_as_defined():
    scenes = pretty_clevr.generate(300, seed=1)
    assert scenes.positions.min() >= 0 and scenes.positions.max() <= 1
    for kind in (scenes.colours, scenes.markers):
        assert (np.sort(kind, 1) == np.arange(8)).all() and len(np.unique(kind, axis=0)) > 290
    apart = np.linalg.norm(scenes.positions[:, :, None] - scenes.positions[:, None], axis=-1)
    assert (apart + np.eye(8))[:].min() > 0.1
    again = pretty_clevr.generate(300, seed=1)
    assert np.array_equal(again.positions, scenes.positions)


def test_pretty_clevr_answers_jump_by_jump():
    scenes = pretty_clevr.generate(3, seed=2)
    asked, looks = set(), set()
    rows = np.arange(3 * 128)
    for scene, start, jumps, answer in zip(*pretty_clevr.ask(scenes, rows)):
        kind = (scenes.colours, scenes.markers)[start // 8][scene]
        at, seen = int(np.flatnonzero(kind == start % 8)[0]), []
        for _ in range(jumps):
            seen.append(at)
            rest = [o for o in range(8) if o not in seen]
            at = min(rest, key=lambda o: np.linalg.norm(scenes.positions[scene, at] - scenes.positions[scene, o]))
        expected = scenes.colours[scene, at] if start >= 8 else 8 + scenes.markers[scene, at]
        assert answer == expected
        asked.add((scene, start, jumps))
        looks.add((start // 8, answer // 8))
    assert len(asked) == 3 * 128 and looks == {(0, 1), (1, 0)}


def test_sort_of_clevr_object_by_object():
    scenes, asked = sort_of_clevr.generate(200, seed=1)
    assert scenes.centres.min() == 5 and scenes.centres.max() == 69 and 0.45 < scenes.circles.mean() < 0.55
    square = ((scenes.centres[:, :, None] - scenes.centres[:, None]) ** 2).sum(-1) + 1000 * np.eye(6, dtype=int)
    assert square.min() >= 100
    assert len(asked.scene) == 4_000 and asked.relational.reshape(200, 20)[:, 10:].all()
    names = sort_of_clevr.ANSWERS
    for q in range(4_000):
        scene, me = asked.scene[q], asked.colour[q]
        shapes = ["circle" if c else "rectangle" for c in scenes.circles[scene]]
        x, y = scenes.centres[scene, me]
        others = [o for o in range(6) if o != me]
        far = {o: np.hypot(*(scenes.centres[scene, o] - scenes.centres[scene, me])) for o in others}
        answers = {
            (False, 0): shapes[me],
            (False, 1): "yes" if x < 37.5 else "no",
            (False, 2): "yes" if y < 37.5 else "no",
            (True, 0): shapes[min(far, key=far.get)],  # type: ignore[arg-type]
            (True, 1): shapes[max(far, key=far.get)],  # type: ignore[arg-type]
            (True, 2): str(1 + sum(shapes[o] == shapes[me] for o in others)),
        }
        assert names[asked.answer[q]] == answers[bool(asked.relational[q]), int(asked.subtype[q])]


def test_prufer_sequences_are_all_trees_once():
    numbers = np.random.default_rng(0).choice(age.TREES, 2_000, replace=False)
    edges = age.prufer_edges(numbers)
    assert age.distances(edges).max() <= 7  # connected: 8 stands for no way
    degree = np.stack([np.bincount(e.reshape(-1), minlength=8) for e in edges])
    sequence = numbers[:, None] // 8 ** np.arange(6) % 8
    assert np.array_equal(degree, 1 + np.stack([np.bincount(s, minlength=8) for s in sequence]))
    assert len({tuple(sorted(tuple(sorted(e)) for e in tree.tolist())) for tree in edges}) == 2_000
    assert age.prufer_edges(np.array([0]))[0].tolist() == [[1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [6, 0], [0, 7]]


def test_ages_follow_fact_by_fact():
    puzzles = age.draw(np.random.default_rng(1).integers(0, age.TREES, 500), np.random.default_rng(2))
    for row in range(500):
        known, steps = {}, {}
        facts = list(zip(*(c[row].tolist() for c in (puzzles.first, puzzles.second, puzzles.kind, puzzles.value))))
        for _ in range(8):
            for a, b, kind, value in facts:
                if kind == age.EXACT:
                    known[a], steps[a] = value, 0
                sign = 1 if kind == age.OLDER else -1
                if kind != age.EXACT and b in known and a not in known:
                    known[a], steps[a] = known[b] + sign * value, steps[b] + 1
                elif kind != age.EXACT and a in known and b not in known:
                    known[b], steps[b] = known[a] - sign * value, steps[a] + 1
        assert known[puzzles.asked[row]] == puzzles.answer[row] and steps[puzzles.asked[row]] == puzzles.hops[row]
        assert min(known.values()) >= 0 and max(known.values()) < 100 and len(known) == 8
    assert (np.bincount(puzzles.hops, minlength=8) > 0)[:7].all()


def test_files_give_back_what_was_drawn(tmp_path):
    path = tmp_path / "age.txt"
    puzzles = age.draw(np.arange(40) * 6_000, np.random.default_rng(0))
    path.write_text("\n".join(age.to_text(puzzles, row) for row in range(40)))
    again = age.read_puzzles(path)
    assert all(np.array_equal(a, b) for a, b in zip(vars(puzzles).values(), vars(again).values()))
    scenes = pretty_clevr.generate(5)
    lines = [{"positions": p.tolist(), "colours": [pretty_clevr.COLOURS[c] for c in colours],
              "markers": [pretty_clevr.MARKERS[m] for m in markers]}
             for p, colours, markers in zip(scenes.positions, scenes.colours, scenes.markers)]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, lines)))
    same = pretty_clevr.read_scenes(path)
    assert all(np.array_equal(a, b) for a, b in zip(vars(scenes).values(), vars(same).values()))
    objects, asked = sort_of_clevr.generate(5)
    lines = []
    for s in range(5):
        mine = [q for q in range(100) if asked.scene[q] == s]
        questions = [[sort_of_clevr.COLOURS[asked.colour[q]], "relational" if asked.relational[q] else "plain",
                      int(asked.subtype[q])] for q in mine]  # fmt: skip
        shapes = ["circle" if c else "rectangle" for c in objects.circles[s]]
        lines.append({"centres": objects.centres[s].tolist(), "shapes": shapes, "questions": questions})
    path.write_text("\n".join(map(json.dumps, lines)))
    _, back = sort_of_clevr.read_scenes(path)
    assert all(np.array_equal(a, b) for a, b in zip(vars(asked).values(), vars(back).values()))


BAD = {
    age.read_puzzles: "Ann is 3 years old. How old is Ann?\t3",
    pretty_clevr.read_scenes: '{"positions": [[0, 0]], "colours": [], "markers": []}',
    sort_of_clevr.read_scenes: '{"centres": [], "shapes": ["square"], "questions": []}',
}


@pytest.mark.parametrize("read", BAD, ids=lambda f: f.__module__.split(".")[-1])
def test_bad_lines_are_named(tmp_path, read):
    path = tmp_path / "file"
    path.write_text("\n" + BAD[read])
    with pytest.raises(StructureError, match="file:2"):
        read(path)
    path.write_text("")
    with pytest.raises(StructureError, match="at least one"):
        read(path)


def test_an_age_puzzle_without_a_tree_is_refused(tmp_path):
    path = tmp_path / "age.txt"
    text = age.to_text(age.draw(np.array([5]), np.random.default_rng(0)), 0)
    facts = [part for part in text.split(". ") if "old." not in part and "than" in part]
    path.write_text(text.replace(facts[0], facts[1]))  # one difference twice: somebody's age does not follow
    with pytest.raises(StructureError, match="does not follow"):
        age.read_puzzles(path)
