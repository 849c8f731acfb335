"""Line and bar charts as hand-written SVG: nothing to install, nothing to fetch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, MARGIN = 860, 300, 56, 44, 16, 44
COLOURS = ("#2563b0", "#d9822b", "#2f9e52", "#8457b5")
Point = tuple[float, float]


def bar_chart(values: Sequence[tuple[str, float, float]], shaded: frozenset[str], chance: float) -> str:
    """Bars of `(label, share, half-width)` from 0 to 100 %; shaded labels lie inside the training range."""
    step = (WIDTH - LEFT - 10) / max(len(values), 1)
    parts = [_grid(0, 100, lambda v: f"{v:.0f} %")]
    for at, (label, value, half) in enumerate(values):
        x = LEFT + at * step
        if label in shaded:
            parts.append(f'<rect x="{x:.1f}" y="{TOP}" width="{step:.1f}" height="{_inner()}" fill="#eef3e6"/>')
        top, width = _y(100 * value, 0, 100), 0.62 * step
        parts.append(
            f'<rect x="{x + 0.19 * step:.1f}" y="{top:.1f}" width="{width:.1f}" height="{HEIGHT - BOTTOM - top:.1f}" '
            f'fill="{COLOURS[0]}"><title>{escape(label)}: {100 * value:.2f} %</title></rect>'
        )
        middle, low, high = x + step / 2, _y(100 * (value - half), 0, 100), _y(100 * min(value + half, 1), 0, 100)
        parts.append(f'<path d="M{middle:.1f} {low:.1f}V{high:.1f}" stroke="#1d2733"/>')
        parts.append(f'<text x="{middle:.1f}" y="{high - 4:.1f}" text-anchor="middle">{100 * value:.1f}</text>')
        parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(label)}</text>')
    line = _y(100 * chance, 0, 100)
    parts.append(f'<path d="M{LEFT} {line:.1f}H{WIDTH - 10}" stroke="#d0372b" stroke-dasharray="5 4"/>')
    parts.append(f'<text x="{WIDTH - 6}" y="{line + 4:.1f}" fill="#d0372b">chance</text>')  # in the margin
    return _svg(parts)


def line_chart(lines: Mapping[str, Sequence[Point]], x_label: str) -> str:
    """Several curves over one axis, from 0 (or the smallest value) to the largest."""
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    last = max(x for x, _ in points) or 1.0
    low, high = min(0.0, *(y for _, y in points)), _round_up(max(y for _, y in points))
    parts = [_grid(low, high, lambda v: f"{v:.3g}")]
    for line, colour in zip(lines.values(), COLOURS):
        path = " ".join(f"{LEFT + x / last * (WIDTH - LEFT - 10):.1f},{_y(y, low, high):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        if len(line) <= 40:  # few points: show each
            places = (point.split(",") for point in path.split())
            parts.extend(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)
    for at, (name, colour) in enumerate(zip(lines, COLOURS)):
        place = f'x="{WIDTH - 14}" y="{TOP + 14 + 16 * at}" text-anchor="end"'
        parts.append(f'<text {place} fill="{colour}">{escape(name)}</text>')
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LEFT + share * (WIDTH - LEFT - 10)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{share * last:,.0f}</text>')
    parts.append(f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    return _svg(parts)


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
        lines.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 10}" stroke="#dde3ea"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text(value)}</text>')
    return "".join(lines)


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + MARGIN} {HEIGHT}" width="100%" '
        f'font-family="system-ui, sans-serif" font-size="11.5" fill="#3d4854">{"".join(parts)}</svg>'
    )
