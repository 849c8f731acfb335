"""Propositional formulas: truth tables of 64 bits, one per assignment of six variables, and how two of them relate."""

from __future__ import annotations

from structnet.errors import StructureError

VARIABLES = "abcdef"
VOCABULARY = (*VARIABLES, "and", "or", "not", "(", ")")
RELATIONS = ("#", "<", ">", "|", "v", "=", "^")
ALL = 2**64 - 1
TABLES = {name: sum(1 << row for row in range(64) if row >> at & 1) for at, name in enumerate(VARIABLES)}


def truth_table(words: list[str]) -> int:
    """Bit r is the value where variable i is true if bit i of r is set. Formulas are `a`, `( not F )` and
    `( F ( and F ) )` or `( F ( or F ) )`; anything else raises StructureError."""
    stack: list = []
    for word in words:
        stack.append(TABLES.get(word, word))
        while stack[-1] == ")":
            for length, pattern in ((4, _negation), (7, _binary)):
                value = pattern(stack[-length:]) if len(stack) >= length else None
                if value is not None:
                    stack[-length:] = [value]
                    break
            else:
                break  # the bracket of `( and F )`: part of a binary one
    if len(stack) != 1 or not isinstance(stack[0], int):
        raise StructureError("a formula such as ( a ( and ( not b ) ) )", repr(" ".join(words)), "balanced brackets")
    return stack[0]


def _negation(part: list) -> int | None:
    return ALL ^ part[2] if part[:2] == ["(", "not"] and isinstance(part[2], int) else None


def _binary(part: list) -> int | None:
    opening, left, inner, name, right, *closing = part
    if (
        opening != "("
        or inner != "("
        or closing != [")", ")"]
        or not isinstance(left, int)
        or not isinstance(right, int)
    ):
        return None
    return {"and": left & right, "or": left | right}.get(name)


def relation(left: int, right: int) -> str:
    """The relation of natural logic (MacCartney) between two truth tables that are neither 0 nor all ones."""
    disjoint, exhaustive = left & right == 0, left | right == ALL
    if left == right:
        return "="
    if disjoint:
        return "^" if exhaustive else "|"
    if exhaustive:
        return "v"
    return "<" if left & ~right == 0 else ">" if right & ~left == 0 else "#"
