"""Checkers for the assignments: they answer with a hint, never with the solution."""

from .answers import Wrong

# Each file holds the checks of one assignment; the chapters' numbers are in their docstrings.

__all__ = [
    "Wrong",
]
