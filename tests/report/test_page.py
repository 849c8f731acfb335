"""Charts, trees and the page of a run: what is drawn is what was measured."""

import json
import re
from xml.etree import ElementTree

import pytest

from structnet.report.charts import BAND, BOTTOM, HEIGHT, TOP, bar_chart, line_chart
from structnet.report.html import run_report
from structnet.report.tree_svg import LINE, Mark, layout, tree_svg
from structnet.structures import Tree

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_high_as_the_shares():
    page = ElementTree.fromstring(bar_chart([("a<b", 0.5, 0.0), ("c", 1.0, 0.0)], frozenset({"c"}), 0.1))
    bars = [rect for rect in page.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    inner = HEIGHT - TOP - BOTTOM
    assert [float(bar.get("height")) for bar in bars] == [inner / 2, inner]
    assert len(list(page.iter(f"{SVG}rect"))) == 3  # one of them shaded
    assert "chance" in [text.text for text in page.iter(f"{SVG}text")]


@pytest.mark.parametrize("top, axis", [(2.3, "2.5"), (0.44, "0.5"), (0.0, "1"), (1.0, "1")])
def test_axes_end_on_round_numbers(top, axis):
    page = ElementTree.fromstring(line_chart({"loss": [(0, 0.0), (10, top)]}, "updates"))
    assert axis in [text.text for text in page.iter(f"{SVG}text")]


def test_neighbouring_bars_share_one_band():
    page = bar_chart([(name, 0.5, 0.0) for name in "abcd"], frozenset("abd"), 0.1)
    assert page.count(BAND) == 2 and page.count("training range") == 1
    assert "training range" not in bar_chart([("a", 0.5, 0.0)], frozenset(), 0.1)


def test_a_long_curve_is_drawn_with_its_running_mean():
    places = [(float(x), float(x % 2)) for x in range(90)]
    page = ElementTree.fromstring(line_chart({"loss": places}, "updates"))
    raw, mean = (line.get("points").split() for line in page.iter(f"{SVG}polyline"))
    heights = [float(point.split(",")[1]) for point in raw]
    assert len(raw) == len(mean) == 90
    assert float(mean[5].split(",")[1]) == pytest.approx(sum(heights[3:6]) / 3, abs=0.06)


def test_what_is_no_proportion_has_no_interval(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"task": "t", "model": "m", "commit": "c", "machine": {}}))
    (tmp_path / "results.json").write_text(json.dumps({"a": {"mrr": 0.25, "count": 4}, "b": {"mrr": 0.5, "count": 4}}))
    page = run_report(tmp_path, [], frozenset(), 0.0).read_text()
    assert "0.2500" in page and "± 0.00" in page and "± 42" not in page


def test_no_points_no_chart():
    assert line_chart({"loss": []}, "updates") == ""


def test_a_tree_has_leaves_in_order_and_parents_in_the_middle():
    tree, _ = Tree.from_brackets("[MAX 2 9 [MIN 4 7 ] 0 ]", labelled=True)
    x, depth = layout(tree)
    assert [x[leaf] for leaf in sorted(tree.leaves.tolist(), key=lambda v: x[v])] == [0.0, 1.0, 2.0, 3.0, 4.0]
    root = int(tree.roots[0])
    assert depth[root] == 0 and max(depth) == 2 and x[root] == (0 + 1 + 2.5 + 4) / 4
    svg = tree_svg(tree, [Mark("<", kind="wrong") if v == root else Mark("1") for v in range(tree.num_nodes)])
    page = ElementTree.fromstring(svg)
    assert len(list(page.iter(f"{SVG}line"))) == tree.num_nodes - 1
    assert svg.count(f'stroke="{LINE["wrong"]}"') == 1


def test_the_page_holds_the_figures_and_fetches_nothing(tmp_path):
    config = {"task": "toy", "model": "m", "lr": 0.1, "commit": "abc123", "machine": {"cpu": "a cpu", "cores": 2}}
    by = {"size": {"1": {"mean": 0.75, "count": 8}}}
    (tmp_path / "settings.json").write_text(json.dumps(config))
    (tmp_path / "results.json").write_text(json.dumps({"<test>": {"accuracy": 0.75, "count": 8, "by": by}}))
    events = [
        {"event": "update", "step": 20, "loss": 1.0, "time": 60.0, "cpu": 30.0},
        {"event": "evaluate", "step": 20, "accuracy": 0.7, "time": 120.0, "cpu": 90.0},
    ]
    page = run_report(tmp_path, events, frozenset(), 0.5, [("a picture", "<svg/>")]).read_text()
    for words in ("&lt;test&gt;", "75.00", "20 updates, 2.0 minutes (1.5 of CPU time)", "abc123", "a cpu", "a picture"):
        assert words in page
    assert not re.search(r"<script|<link|https?://(?!www\.w3\.org/2000/svg)", page)
