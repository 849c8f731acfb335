"""Bracketed text and nested tuples as parent lists, with an explicit stack (no recursion limit)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from structnet.errors import StructureError

PAIRS = {"(": ")", "[": "]"}
_LABELLED = re.compile(r"[(\[][^\s()\[\]]*|[)\]]|[^\s()\[\]]+")
_INSIDE = re.compile(r"\( (?=\()")  # a bracket right behind one without a name
_BARE = re.compile(r"[()\[\]]|[^\s()\[\]]+")


def walk_brackets(text: str, labelled: bool) -> tuple[list[int], list]:
    """Parent of each row in pre-order (a root points to itself) and its label."""
    parent: list[int] = []
    labels: list = []
    stack: list[tuple[int, str]] = []
    for match in (_LABELLED if labelled else _BARE).finditer(text):
        token, here = match.group(), len(parent)
        if token[0] in ")]":
            if not stack or PAIRS[stack[-1][1]] != token:
                got = f"'{token}' at character {match.start()}"
                raise StructureError("matching brackets", got, "to close each once")
            stack.pop()
            continue
        parent.append(stack[-1][0] if stack else here)
        if token[0] in "([":
            labels.append(token[1:] or None)
            stack.append((here, token[0]))
        else:
            labels.append(token)
    if stack:
        raise StructureError("matching brackets", f"{len(stack)} still open at the end", f"to add {len(stack)} closing")
    return parent, labels


def walk_tuples(nested: Any) -> tuple[list[int], list]:
    """As `walk_brackets`, for nested tuples or lists; anything else is a leaf."""
    parent: list[int] = []
    labels: list = []
    stack: list[tuple[Any, int]] = [(nested, -1)]
    while stack:
        value, above = stack.pop()
        here = len(parent)
        parent.append(here if above < 0 else above)
        inside = isinstance(value, (tuple, list))
        labels.append(None if inside else value)
        if inside:
            stack.extend((child, here) for child in reversed(value))
    return parent, labels


def write_brackets(child_ptr: list[int], child_index: list[int], roots: list[int], labels: Sequence) -> list[str]:
    """One text per root, the inverse of `walk_brackets` with names or without. A row without label (None) is a bare
    bracket, a space between it and a leaf: what follows a bracket at once is its name."""
    texts: list[str] = []
    for root in roots:
        words: list[str] = []
        stack: list[int | str] = [root]
        while stack:
            row = stack.pop()
            if isinstance(row, str):
                words[-1] += row
                continue
            children = child_index[child_ptr[row] : child_ptr[row + 1]]
            name = "" if labels[row] is None else str(labels[row])
            words.append("(" + name if children else name or "()")
            if children:
                stack += [")", *reversed(children)]
        texts.append(_INSIDE.sub("(", " ".join(words)))
    return texts
