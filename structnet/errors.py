"""The one error of the library: what was expected, what came, what to try."""

from __future__ import annotations


class StructureError(ValueError):
    """Input that cannot be used, said in three parts.

    Args:
        expected: what the function needs.
        got: what it was given, with the first offending value and its place.
        try_: the shortest way to a valid call.
    """

    def __init__(self, expected: str, got: str, try_: str):
        super().__init__(f"expected {expected}; got {got}; try {try_}")
        self.expected, self.got, self.try_ = expected, got, try_

    def __reduce__(self):
        return type(self), (self.expected, self.got, self.try_)  # so that it crosses DataLoader workers
