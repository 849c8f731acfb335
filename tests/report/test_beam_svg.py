"""Pictures of a beam search: brackets, crossings, one cell per candidate."""

import re

import torch

from structnet.commands.parse import describe
from structnet.datasets.listops import encode
from structnet.models import BeamTreeClassifier
from structnet.report.beam_svg import bracket_svg, crossing, heat_svg, spans
from structnet.structures import Tree


def test_spans_and_crossings_by_hand():
    tree, labels = Tree.from_tuples(((0, 1), (2, 3)))
    assert dict(zip(spans(tree), labels)) == {(0, 3): None, (0, 1): None, (2, 3): None, **{(i, i): i for i in range(4)}}
    assert crossing((1, 2), [(0, 1)]) and crossing((0, 1), [(1, 2)])
    assert not crossing((0, 1), [(0, 3), (0, 0), (2, 3), (0, 1)])


def test_wrong_brackets_are_red():
    tree, _ = Tree.from_tuples((0, ((1, 2), 3)))
    brackets = [(0, 1), (0, 3)]
    svg = bracket_svg(tree, "abcd", brackets, lambda span: crossing(span, brackets), {0: "seven"})
    assert svg.count("#fbd9d6") == 2  # (1 2) and ((1 2) 3) cut (0 1)
    assert svg.count("#d8f0dd") == 1
    assert svg.count("seven") == 1


def test_heat_map_has_one_cell_per_candidate():
    svg = heat_svg("abc", [[(0, 0.75), (1, 0.25)], [(1, 1.0)]], [{0: 2}, {1: 1}])
    assert svg.count("<rect") == 3 and svg.count("#d0372b") == 2
    assert "a | b  p = 0.750, 2 beams" in svg


def test_parse_describes_a_model_on_an_expression():
    torch.manual_seed(0)
    line, facts, sections, _ = describe(BeamTreeClassifier(width=8, beam=3).eval(), encode("[MAX 2 [MIN 4 7 ] 0 ]"))
    assert "true value 4" in line and re.search(r"\d of 2 brackets found; \d of 7 merges across", line)
    assert facts["true value"] == "4"
    assert re.sub("[()]", "", facts["induced tree"]) == "[MAX 2 [MIN 4 7 ] 0 ]"
    (_, trees), (_, heat) = sections
    gold = trees.split("Gold tree")[1]
    assert gold.count("#d8f0dd") + gold.count("#fbd9d6") == 2  # two brackets, each found or missed
    assert gold.count("#d8f0dd") == int(facts["of 2 brackets found"])
    assert trees.split("Gold tree")[0].count("#fbd9d6") == int(facts["of 7 merges across a bracket"])
    assert heat.count("<rect") == sum(range(1, 8))  # 7 candidates, then 6, ...
    probabilities = [float(p) for p in re.findall(r"step 1: .*?p = ([0-9.]+)", heat)]
    assert abs(sum(probabilities) - 1) < 0.01
