"""Line and bar charts as hand-written SVG: nothing to install, nothing to fetch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 880, 310, 52, 60, 40, 40
COLOURS = ("#2563b0", "#d9822b", "#2f9e52", "#8457b5")
OUTSIDE, INK, FAINT, RED, BAND = "#5f9ed6", "#1d2733", "#e3e8ee", "#d0372b", "#eef3e6"
Point = tuple[float, float]


def bar_chart(values: Sequence[tuple[str, float, float]], shaded: frozenset[str], chance: float) -> str:
    """Bars of `(label, share, half-width)` from 0 to 100 %; shaded labels lie inside the training range."""
    step = (WIDTH - LEFT - RIGHT) / max(len(values), 1)
    parts = [_bands([LEFT + at * step for at, value in enumerate(values) if value[0] in shaded], step)]
    parts.append(_grid(0, 100, lambda v: f"{v:.0f} %"))
    for at, (label, value, half) in enumerate(values):
        parts.append(_bar(LEFT + at * step, step, label, value, half, COLOURS[0] if label in shaded else OUTSIDE))
    line = _y(100 * chance, 0, 100)
    parts.append(f'<path d="M{LEFT} {line:.1f}H{WIDTH - RIGHT}" stroke="{RED}" stroke-dasharray="5 4"/>')
    parts.append(_text(WIDTH - RIGHT + 5, line + 4, "chance", "start", RED))  # in the margin
    return _svg(parts)


def _bands(starts: Sequence[float], step: float) -> str:
    """Shading behind the bars at `starts`, neighbours as one."""
    parts, run = [], 0
    for at, start in enumerate(starts):
        if at + 1 == len(starts) or starts[at + 1] - start > 1.5 * step:
            first = starts[run]
            size = f'width="{start + step - first:.1f}" height="{_inner() + TOP}"'
            parts.append(f'<rect x="{first:.1f}" y="0" {size} rx="6" fill="{BAND}"/>')
            run = at + 1
    if starts:
        parts.append(_text(starts[0] + 8, 14, "training range", "start", "#5b7031"))
    return "".join(parts)


def _bar(x: float, step: float, label: str, value: float, half: float, colour: str) -> str:
    top, width, middle = _y(100 * value, 0, 100), min(0.62 * step, 72.0), x + step / 2
    low, high = _y(100 * max(value - half, 0), 0, 100), _y(100 * min(value + half, 1), 0, 100)
    size = f'width="{width:.1f}" height="{HEIGHT - BOTTOM - top:.1f}"'
    whisker = f'<path d="M{middle:.1f} {low:.1f}V{high:.1f}M{middle - 4:.1f} {low:.1f}h8M{middle - 4:.1f} {high:.1f}h8"'
    figure = f"{100 * value:.1f}" if value < 0.99 else f"{100 * value:.2f}"
    return (
        f'<rect x="{middle - width / 2:.1f}" y="{top:.1f}" {size} rx="2" fill="{colour}">'
        f"<title>{escape(label)}: {100 * value:.2f} ± {100 * half:.2f} %</title></rect>"
        f'{whisker} fill="none" stroke="{INK}" opacity="0.7"/>{_text(middle, high - 5, figure, colour=INK)}'
        f"{_text(middle, HEIGHT - BOTTOM + 17, label, size=12 if step > 66 else 10)}"
    )


def line_chart(lines: Mapping[str, Sequence[Point]], x_label: str) -> str:
    """Several curves over one axis, from 0 (or the smallest value) to the largest. Long ones are drawn faintly, their
    running mean boldly; at its end each says its last value."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    last = max(x for x, _ in points) or 1.0
    low, high = min(0.0, *(y for _, y in points)), _round_up(max(y for _, y in points))
    parts = [_grid(low, high, lambda v: f"{v:.3g}")]
    for at, ((name, line), colour) in enumerate(zip(lines.items(), COLOURS)):
        places = [(LEFT + x / last * (WIDTH - LEFT - RIGHT), _y(y, low, high)) for x, y in line]
        if len(places) > 60:
            parts.append(_curve(places, colour, 0.25))
            places = _running_mean(places, len(places) // 30)
        else:
            parts.extend(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
        parts.append(_curve(places, colour, 1.0))
        if places:
            parts.append(_text(places[-1][0] + 6, places[-1][1] + 4, f"{line[-1][1]:.3g}", "start", colour))
        parts.append(_text(LEFT + 170 * at, TOP - 10, name, "start", colour))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        parts.append(_text(x, HEIGHT - BOTTOM + 17, f"{share * last:,.0f}"))
    parts.append(_text((WIDTH + LEFT - RIGHT) / 2, HEIGHT - 5, x_label))
    return _svg(parts)


def _curve(places: Sequence[Point], colour: str, opacity: float) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" opacity="{opacity}"/>'


def _running_mean(places: Sequence[Point], window: int) -> list[Point]:
    """Each height replaced by the mean of the last `window` ones."""
    total, means = 0.0, []
    for at, (x, y) in enumerate(places):
        total += y - (places[at - window][1] if at >= window else 0.0)
        means.append((x, total / min(at + 1, window)))
    return means


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten: an axis whose five steps are round numbers."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * (1 - 1e-9))


def _inner() -> int:
    return HEIGHT - BOTTOM - TOP


def _y(value: float, low: float, high: float) -> float:
    return TOP + _inner() * (1 - (value - low) / ((high - low) or 1.0))


def _grid(low: float, high: float, text) -> str:
    lines = []
    for at in range(6):
        value = low + (high - low) * at / 5
        y = _y(value, low, high)
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{FAINT}"/>')
        lines.append(_text(LEFT - 8, y + 4, text(value), "end"))
    return "".join(lines)


def _text(x: float, y: float, text: str, anchor: str = "middle", colour: str = "#5b6775", size: int = 12) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f'<text {place} fill="{colour}">{escape(text)}</text>'


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" '
        f'font-family="system-ui, sans-serif" font-size="12">{"".join(parts)}</svg>'
    )
