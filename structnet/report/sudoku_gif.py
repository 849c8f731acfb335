"""The beliefs of a network on a Sudoku as an animated GIF: the picture of sudoku_html.py, a frame a round."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from structnet.datasets.sudoku.files import SYMBOLS
from structnet.errors import StructureError
from structnet.structures.constraints import Board, board_of

CELL, FAINT = 44, 0.04  # pixels of a cell; beliefs below are not drawn
FRAMES = 256  # at most
INK, BELIEF, GIVEN, CLASH, LINE = "#1d2733", (37, 99, 176), "#eef1f5", "#d0372b", "#b6bfca"


def write_gif(path: Path, puzzle: Tensor, logits: Tensor, hold: int = 120) -> Path:
    """`puzzle` `[cells]`, `logits` `[rounds, cells, digits]`: digit size = probability, cells in conflict outlined,
    `hold` milliseconds a frame, the last one longer; of long runs every second round is drawn, every third, ...: at
    most 256 frames. Raises StructureError where Pillow is not installed."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise StructureError("Pillow, to draw a GIF", "none", "pip install pillow, or the HTML page") from error
    board = board_of(len(puzzle))
    side = CELL * board.size
    fonts = {size: ImageFont.load_default(size) for size in range(6, CELL)}
    frames = []
    step = math.ceil(len(logits) / FRAMES)
    for beliefs in logits[(len(logits) - 1) % step :: step].softmax(-1):
        frame = Image.new("RGB", (side + 2, side + 2), "white")
        _draw(ImageDraw.Draw(frame), fonts, board, puzzle.tolist(), beliefs)
        frames.append(frame.quantize(32))
    times = [hold] * (len(frames) - 1) + [20 * hold]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=0)
    return path


def _draw(pen: Any, fonts: dict[int, Any], board: Board, puzzle: list[int], beliefs: Tensor) -> None:
    n, best = board.size, beliefs.argmax(-1).tolist()
    per_line = math.ceil(math.sqrt(n))
    for cell, probabilities in enumerate(beliefs.tolist()):
        left, top = cell % n * CELL, cell // n * CELL
        if puzzle[cell]:
            pen.rectangle((left, top, left + CELL, top + CELL), GIVEN)
        shown = [(digit, p) for digit, p in enumerate(probabilities) if p >= FAINT]
        for digit, p in shown:
            part = CELL / per_line
            middle = (left + (digit % per_line + 0.5) * part, top + (digit // per_line + 0.5) * part)
            at = (left + CELL / 2, top + CELL / 2) if len(shown) == 1 else middle
            size = int(CELL * (0.6 if len(shown) == 1 else 0.14 + 0.2 * p))
            pale = tuple(int(255 - (255 - c) * (0.25 + 0.75 * p)) for c in BELIEF)
            pen.text(at, SYMBOLS[digit + 1], INK if puzzle[cell] else pale, fonts[max(6, size)], anchor="mm")
        if clashes(board, best, cell):
            pen.rectangle((left + 3, top + 3, left + CELL - 3, top + CELL - 3), outline=CLASH, width=2)
    for line in range(n + 1):
        for across, per_box in ((True, board.box_rows), (False, board.box_columns)):
            at, end, thick = line * CELL, n * CELL, line % per_box == 0
            ends = (0, at, end, at) if across else (at, 0, at, end)
            pen.line(ends, INK if thick else LINE, 2 if thick else 1)


def clashes(board: Board, digits: list[int], cell: int) -> bool:
    """Whether another cell of the row, column or box of `cell` has its digit."""
    r, c = divmod(cell, board.size)
    box = (r // board.box_rows, c // board.box_columns)
    for other, digit in enumerate(digits):
        s, d = divmod(other, board.size)
        near = r == s or c == d or box == (s // board.box_rows, d // board.box_columns)
        if other != cell and digit == digits[cell] and near:
            return True
    return False
