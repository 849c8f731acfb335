"""Sorting, selection and search. `order` holds the nodes in the order in which the array has them."""

from __future__ import annotations

import numpy as np

from structnet.datasets.algorithms.trace import Algorithm, Trace, chain, one, one_hot, positions, spec

KEYS = "pos node scalar, key node scalar"


def _keys(rng: np.random.Generator, n: int) -> Trace:
    return Trace({"pos": positions(n), "key": rng.random(n)})


def insertion_sort(rng: np.random.Generator, n: int) -> Trace:
    trace, order = _keys(rng, n), np.arange(n)
    key = trace.inputs["key"]
    trace.step(pred_h=chain(order), i=one(0, n), j=one(0, n))
    for j in range(1, n):
        i = j
        while i and key[order[i - 1]] > key[order[i]]:
            order[[i - 1, i]] = order[[i, i - 1]]
            i -= 1
        trace.step(pred_h=chain(order), i=one(i, n), j=one(j, n))
    trace.outputs["pred"] = chain(order)
    return trace


def bubble_sort(rng: np.random.Generator, n: int) -> Trace:
    trace, order = _keys(rng, n), np.arange(n)
    key = trace.inputs["key"]
    trace.step(pred_h=chain(order), i=one(0, n), j=one(0, n))
    for i in range(n - 1):
        for j in range(n - 1, i, -1):
            if key[order[j]] < key[order[j - 1]]:
                order[[j - 1, j]] = order[[j, j - 1]]
            trace.step(pred_h=chain(order), i=one(i, n), j=one(j, n))
    trace.outputs["pred"] = chain(order)
    return trace


def heapsort(rng: np.random.Generator, n: int) -> Trace:
    trace, order, parent = _keys(rng, n), np.arange(n), np.arange(n)
    key = trace.inputs["key"]
    parent[1:] = (np.arange(1, n) - 1) // 2

    def note(i, j, largest, size, phase):
        heap = np.arange(n)  # parent of each node inside the heap; nodes that have left it point at themselves
        heap[order[:size]] = order[parent[:size]]
        trace.step(pred_h=chain(order), parent=heap, i=one(i, n), j=one(j, n), largest=one(largest, n),
                   heap_size=one(size - 1, n), phase=one_hot(phase, 3))  # fmt: skip

    def sift(i, size, j, phase):
        while True:
            children = [c for c in (2 * i + 1, 2 * i + 2) if c < size]
            largest = max([i, *children], key=lambda c: key[order[c]])
            note(i, j, largest, size, phase)
            if largest == i:
                return
            order[[i, largest]] = order[[largest, i]]
            i = largest

    note(n - 1, n - 1, 0, n, 0)
    for i in range(n // 2 - 1, -1, -1):
        sift(i, n, i, 0)
    for size in range(n - 1, 0, -1):
        order[[0, size]] = order[[size, 0]]
        note(0, size, 0, size, 1)
        sift(0, size, size, 2)
    trace.outputs["pred"] = chain(order)
    return trace


def _partition(key, order, p, r, note) -> int:
    """Lomuto: the last element is the pivot; its final place is returned. `note(i, j)` after each comparison."""
    i = p
    for j in range(p, r):
        if key[order[j]] <= key[order[r]]:
            order[[i, j]] = order[[j, i]]
            i += 1
        note(i, j)
    order[[i, r]] = order[[r, i]]
    note(i, r)
    return i


def quicksort(rng: np.random.Generator, n: int) -> Trace:
    trace, order = _keys(rng, n), np.arange(n)
    key = trace.inputs["key"]

    def note(p, r, i, j):
        trace.step(pred_h=chain(order), p=one(p, n), r=one(r, n), i=one(i, n), j=one(j, n))

    note(0, n - 1, 0, 0)
    open_ranges = [(0, n - 1)]
    while open_ranges:
        p, r = open_ranges.pop()
        if p < r:
            q = _partition(key, order, p, r, lambda i, j, p=p, r=r: note(p, r, i, j))
            open_ranges += [(q + 1, r), (p, q - 1)]
    trace.outputs["pred"] = chain(order)
    return trace


def quickselect(rng: np.random.Generator, n: int) -> Trace:
    """The lower median; `target` and `i_rank` are ranks inside the current range, over n."""
    trace, order = _keys(rng, n), np.arange(n)
    key, p, r, target = trace.inputs["key"], 0, n - 1, (n - 1) // 2

    def note(i, j):
        trace.step(pred_h=chain(order), p=one(p, n), r=one(r, n), i=one(i, n), j=one(j, n),
                   i_rank=(i - p) / n, target=target / n, pivot=one(int(order[r if j < r else i]), n))  # fmt: skip

    note(0, 0)
    while True:
        q = _partition(key, order, p, r, note)
        if q - p == target:
            break
        if target < q - p:
            r = q - 1
        else:
            p, target = q + 1, target - (q - p) - 1
    trace.outputs["median"] = one(order[q], n)
    return trace


def minimum(rng: np.random.Generator, n: int) -> Trace:
    trace, best = _keys(rng, n), 0
    key, order = trace.inputs["key"], np.arange(n)
    for i in range(n):
        best = i if key[i] < key[best] else best
        trace.step(pred_h=chain(order), min_h=one(best, n), i=one(i, n))
    trace.outputs["min"] = one(best, n)
    return trace


def binary_search(rng: np.random.Generator, n: int) -> Trace:
    """The first place whose key is not below the target, in an array that is sorted."""
    trace = Trace({"pos": positions(n), "key": np.sort(rng.random(n)), "target": np.array(rng.random())})
    key, target, low, high = trace.inputs["key"], trace.inputs["target"], 0, n - 1

    def note():
        middle = one((low + high) // 2, n)
        trace.step(pred_h=chain(np.arange(n)), low=one(low, n), high=one(high, n), mid=middle)

    note()
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if target <= key[middle] else (middle + 1, high)
        note()
    trace.outputs["return"] = one(high, n)
    return trace


def find_max_subarray(rng: np.random.Generator, n: int) -> Trace:
    """Kadane: the non-empty range with the largest sum."""
    trace = Trace({"pos": positions(n), "key": rng.uniform(-1, 1, n)})
    key, low, best_low, best_high = trace.inputs["key"], 0, 0, 0
    total = best = float(key[0])
    for j in range(n):
        if j:
            low, total = (low, total + key[j]) if total > 0 else (j, key[j])
        if total > best:
            best_low, best_high, best = low, j, total
        trace.step(pred_h=chain(np.arange(n)), best_low=one(best_low, n), best_high=one(best_high, n), best_sum=best,
                   i=one(low, n), j=one(j, n), sum=total)  # fmt: skip
    trace.outputs.update(start=one(best_low, n), end=one(best_high, n))
    return trace


def _sorting(sample, *hints: str) -> Algorithm:
    return Algorithm(spec(KEYS, ", ".join(["pred_h node pointer", *hints]), "pred node pointer"), sample)


def _ones(*names: str) -> list[str]:
    return [f"{name} node mask_one" for name in names]


ARRAYS = {
    "insertion_sort": _sorting(insertion_sort, *_ones("i", "j")),
    "bubble_sort": _sorting(bubble_sort, *_ones("i", "j")),
    "heapsort": _sorting(heapsort, "parent node pointer", *_ones("i", "j", "largest", "heap_size"),
                         "phase graph categorical"),
    "quicksort": _sorting(quicksort, *_ones("p", "r", "i", "j")),
    "quickselect": Algorithm(
        spec(KEYS, ", ".join(["pred_h node pointer", *_ones("p", "r", "i", "j", "pivot"), "i_rank graph scalar",
                              "target graph scalar"]), "median node mask_one"), quickselect),
    "minimum": Algorithm(
        spec(KEYS, ", ".join(["pred_h node pointer", *_ones("min_h", "i")]), "min node mask_one"), minimum),
    "binary_search": Algorithm(
        spec(KEYS + ", target graph scalar", ", ".join(["pred_h node pointer", *_ones("low", "high", "mid")]),
             "return node mask_one"), binary_search),
    "find_max_subarray": Algorithm(
        spec(KEYS, ", ".join(["pred_h node pointer", *_ones("best_low", "best_high", "i", "j"), "best_sum graph scalar",
                              "sum graph scalar"]), "start node mask_one, end node mask_one"), find_max_subarray),
}  # fmt: skip
