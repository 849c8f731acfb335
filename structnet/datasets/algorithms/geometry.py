"""Plane geometry: do two segments cross, and which points are on the convex hull."""

from __future__ import annotations

import numpy as np

from structnet.datasets.algorithms.trace import Algorithm, Trace, one, one_hot, positions, spec

POINTS = "pos node scalar, x node scalar, y node scalar"


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Twice the signed area of the triangle a, b, c: positive for a left turn."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def segments_intersect(rng: np.random.Generator, n: int) -> Trace:
    """Segments (0, 1) and (2, 3), always 4 nodes, whatever n; crossing or not by a fair coin.

    Steps: the turn (i, j) -> k of each end against the other segment, kept in `dir`. No two points in general position
    touch, so `on_seg` stays 0.
    """
    wanted = rng.random() < 0.5
    while True:
        points = rng.random((4, 2))
        turns = [_turn(points[i], points[j], points[k]) for i, j, k in ((2, 3, 0), (2, 3, 1), (0, 1, 2), (0, 1, 3))]
        crosses = turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0
        if crosses == wanted:
            break
    trace, known = Trace({"pos": positions(4), "x": points[:, 0], "y": points[:, 1]}), np.zeros(4)
    trace.step(i=one(0, 4), j=one(0, 4), k=one(0, 4), dir=known, on_seg=np.zeros(4))
    for (i, j, k), turn in zip(((2, 3, 0), (2, 3, 1), (0, 1, 2), (0, 1, 3)), turns):
        known[k] = turn
        trace.step(i=one(i, 4), j=one(j, 4), k=one(k, 4), dir=known, on_seg=np.zeros(4))
    trace.outputs["intersect"] = np.array(float(crosses))
    return trace


def graham_scan(rng: np.random.Generator, n: int) -> Trace:
    """Lowest point, angles around it, then a stack. Phases: 0 start, 1 lowest, 2 angles, 3 scan, 4 done."""
    radius, angle = 2 * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    trace, best, angles = Trace({"pos": positions(n), "x": points[:, 0], "y": points[:, 1]}), 0, np.zeros(n)
    stack: list[int] = []

    def note(i, phase):
        hull, below = np.zeros(n), np.arange(n)
        hull[stack] = 1
        below[stack] = [*stack[:1], *stack[:-1]]
        trace.step(best=one(best, n), atans=angles, in_hull_h=hull, stack_prev=below, phase=one_hot(phase, 5),
                   last_stack=one(stack[-1] if stack else 0, n), i=one(i, n))  # fmt: skip

    note(0, 0)
    best = int(points[:, 1].argmin())
    note(best, 1)
    angles = np.arctan2(points[:, 1] - points[best, 1], points[:, 0] - points[best, 0])
    angles[best] = -1.0  # before all others
    note(best, 2)
    for i in np.argsort(angles):
        while len(stack) > 1 and _turn(points[stack[-2]], points[stack[-1]], points[i]) <= 0:
            stack.pop()
            note(i, 3)
        stack.append(int(i))
        note(i, 3)
    note(best, 4)
    trace.outputs["in_hull"] = trace.hints["in_hull_h"][-1]
    return trace


GEOMETRY = {
    "segments_intersect": Algorithm(
        spec(POINTS, "i node mask_one, j node mask_one, k node mask_one, dir node scalar, on_seg node mask",
             "intersect graph mask"), segments_intersect),
    "graham_scan": Algorithm(
        spec(POINTS, "best node mask_one, atans node scalar, in_hull_h node mask, stack_prev node pointer, "
                     "last_stack node mask_one, i node mask_one, phase graph categorical", "in_hull node mask"),
        graham_scan),
}  # fmt: skip
