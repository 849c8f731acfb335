"""The beliefs of a network on a Sudoku, round by round, as one page with a slider."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from torch import Tensor

from structnet.datasets.sudoku.files import SYMBOLS
from structnet.structures.constraints import board_of, is_valid

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sudoku, round by round</title>
<style>
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; margin: 28px auto; width: 620px; }
h1 { font-size: 22px; margin: 0 0 2px; } p { color: #5b6775; margin: 0 0 12px; } canvas { width: 620px; height: 620px; }
input { width: 420px; vertical-align: middle; } button { font: inherit; padding: 2px 12px; }
</style><body><h1>HEADING</h1><p id="line"></p><canvas id="board" width="1240" height="1240"></canvas>
<p><button id="play">play</button> <input id="round" type="range" min="0" value="0"> <span id="at"></span></p>
<script>
const data = DATA, n = data.size, canvas = document.getElementById("board"), pen = canvas.getContext("2d");
const slider = document.getElementById("round"), step = 1240 / n;
slider.max = data.beliefs.length - 1;
function clash(best, i, j) {  // two cells of one unit with one digit
  const r = Math.floor(i / n), c = i % n, s = Math.floor(j / n), d = j % n;
  const same = (a, b, by) => Math.floor(a / by) == Math.floor(b / by);
  const box = same(r, s, data.rows) && same(c, d, data.columns);
  return i != j && best[i] == best[j] && (r == s || c == d || box);
}
function draw() {
  const at = +slider.value, p = data.beliefs[at];
  const best = p.map(cell => cell.indexOf(Math.max(...cell)));
  pen.fillStyle = "#fff"; pen.fillRect(0, 0, 1240, 1240); pen.textAlign = "center"; pen.textBaseline = "middle";
  for (let i = 0; i < n * n; i++) {
    const x = (i % n) * step, y = Math.floor(i / n) * step, given = data.puzzle[i] > 0;
    if (given) { pen.fillStyle = "#eef1f5"; pen.fillRect(x, y, step, step); }
    const strong = p[i].filter(v => v > 0.04 * 255).length;
    for (let k = 0; k < n; k++) {
      const v = p[i][k] / 255;
      if (v < 0.04) continue;
      const m = Math.ceil(Math.sqrt(n)), alone = strong == 1;
      const cx = x + (alone ? 0.5 : (k % m + 0.5) / m) * step;
      const cy = y + (alone ? 0.5 : (Math.floor(k / m) + 0.5) / m) * step;
      pen.fillStyle = given ? "#1d2733" : `rgba(37,99,176,${0.25 + 0.75 * v})`;
      pen.font = `${given ? 600 : 400} ${alone ? step * 0.6 : step * (0.12 + 0.2 * v)}px system-ui, sans-serif`;
      pen.fillText(data.symbols[k + 1], cx, cy);
    }
    if (best.some((_, j) => clash(best, i, j))) {
      pen.strokeStyle = "#d0372b"; pen.lineWidth = 5; pen.strokeRect(x + 7, y + 7, step - 14, step - 14);
    }
  }
  for (let i = 0; i <= n; i++) for (const across of [0, 1]) {
    const thick = i % (across ? data.rows : data.columns) == 0;
    pen.strokeStyle = thick ? "#1d2733" : "#b6bfca"; pen.lineWidth = thick ? 5 : 2; pen.beginPath();
    const ends = across ? [0, i * step, 1240, i * step] : [i * step, 0, i * step, 1240];
    pen.moveTo(ends[0], ends[1]); pen.lineTo(ends[2], ends[3]); pen.stroke();
  }
  document.getElementById("at").textContent = `round ${at + 1} of ${data.beliefs.length}`;
}
document.getElementById("line").textContent = data.line;
slider.oninput = draw;
let timer = null;
document.getElementById("play").onclick = () => {
  if (timer) { clearInterval(timer); timer = null; return; }
  if (+slider.value == +slider.max) slider.value = 0;
  timer = setInterval(() => {
    slider.value = +slider.value + 1; draw();
    if (+slider.value == +slider.max) { clearInterval(timer); timer = null; }
  }, 120);
};
draw();
</script></body></html>"""


def solved_at(logits: Tensor) -> int:
    """First round (counted from 1) from which on the answer of one board `[rounds, cells, digits]` is valid and stays
    the same; 0 if the last answer is not valid."""
    answers = logits.argmax(-1) + 1
    if not bool(is_valid(answers[-1:])):
        return 0
    settled = (answers == answers[-1]).all(1)
    unsettled = (~settled).nonzero().flatten()
    return int(unsettled[-1]) + 2 if len(unsettled) else 1


def write_beliefs(path: Path, puzzle: Tensor, logits: Tensor) -> Path:
    """The page for one board: `puzzle` `[cells]`, `logits` `[rounds, cells, digits]`. Digit size = probability,
    conflicts outlined, no network, works from a file."""
    board = board_of(len(puzzle))
    at = solved_at(logits)
    line = f"Solved at round {at}." if at else "Not solved: the last answer breaks the rules (outlined)."
    data = {
        "size": board.size, "rows": board.box_rows, "columns": board.box_columns, "line": line, "symbols": SYMBOLS,
        "puzzle": puzzle.tolist(), "beliefs": (logits.softmax(-1) * 255).round().int().tolist(),
    }  # fmt: skip
    heading = escape(f"{board.size} x {board.size} Sudoku, {int((puzzle > 0).sum())} givens")
    path.write_text(PAGE.replace("HEADING", heading).replace("DATA", json.dumps(data)), encoding="utf-8")
    return path
