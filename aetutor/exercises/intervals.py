"""Checks of assignment 06, second part: how sure a score is."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from .answers import Wrong, call, close, plain, require, tensor
from .features import HIDDEN, pair

# What decides a verdict is kept by private names, taken at import (see answers.py).
_quantile, _sort, _stack = np.quantile, np.sort, np.stack
_is_tensor, _double = torch.is_tensor, torch.float64


def check_interval(answer: Callable, *, count: int = 30, level: float = 0.95, draws: int = 200, seed: int = 0) -> str:
    """Whether answer(x, score, level=, draws=, generator=) is a percentile bootstrap; the score it is given listens in.

    answer     : x (N, …), score -> (low, high)
    count      : int         rows of x
    level      : float       share of the resampled scores that the interval holds
    draws      : int         resamples
    seed       : int         of the generator that is handed over
    returns    : str         what was verified
    raises     : Wrong       with a hint, unless the answer is right
    source     : Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13
    taught in  : notebooks/06_adversarial.ipynb
    """
    first = torch.arange(count, dtype=_double)
    x = torch.stack([first, (first - 3) ** 2], 1)  # so that a row which was torn apart is noticed

    def ask(start: int) -> tuple[tuple[float, float], list]:
        heard = []

        def score(rows: Tensor) -> float:
            heard.append(rows.clone() if _is_tensor(rows) else rows)
            return float(plain(rows)[..., 0].mean())

        generator = torch.Generator().manual_seed(start)
        ends = call(answer, x, score, name="interval", level=level, draws=draws, generator=generator)
        return pair(ends, name="interval", what="(low, high)"), heard

    ends, heard = ask(seed)
    _check_ends(ends, _resampled(heard, x, draws), level)
    hint = "one seed of the generator should give one interval, another seed another. Which draw does not use it?"
    again, other = ask(seed), ask(seed + 1)  # of two seeds the ends may agree by chance, the resamples never do
    alike = again[0] == ends and _same_rows(again[1], heard)
    require(alike and not _same_rows(other[1], heard), "generator", f"interval: {hint}")
    return f"interval: {draws} resamples of {count} rows, and the quantiles for {level:g}; {HIDDEN}"


def _same_rows(one: list, two: list) -> bool:
    return len(one) == len(two) and all(close(a, b, rtol=0, atol=0) for a, b in zip(one, two, strict=True))


def _resampled(heard: list, x: Tensor, draws: int) -> np.ndarray:
    """The scores of the resamples, once these are what they should be."""
    for rows in heard:
        tensor(rows, name="what score is given", shape=x.shape, dtype=x.dtype)
    rows = [plain(rows) for rows in heard]
    if len(rows) == draws + 1:  # the score of x itself may be asked for as well
        rows = [part for part in rows if not (part == plain(x)).all()]
    require(
        len(rows) == draws, "draws", f"score is called {len(heard)} times for draws={draws}: once for each resample."
    )
    rows = _stack(rows)  # (draws, N, 2)
    whole = bool((rows[..., 1] == (rows[..., 0] - 3) ** 2).all())
    require(whole, "columns", "The resamples hold rows that x does not have, mixed from several. Draw whole rows.")
    ordered, missing = _sort(rows[..., 0], axis=1), len(x) - len(set(rows[..., 0].ravel()))
    hint = "Every resample holds each row once: all are the same set. Draw each row from all rows, again and again."
    require(not (ordered == plain(x)[:, 0]).all(), "without-replacement", hint)
    require(len({part.tobytes() for part in ordered}) > 1, "repeated", "All resamples are one and the same.")
    hint = f"{missing} of the {len(x)} rows are in no resample at all. Is randint's upper end among what it draws?"
    require(missing == 0, "left-out", hint)
    return rows[..., 0].mean(1)


def _check_ends(ends: tuple[float, float], scores: np.ndarray, level: float) -> None:
    low, high = ends
    require(low <= high, "swapped", f"interval gives ({low:.4g}, {high:.4g}): the lower end comes first.")
    if _cuts(ends, scores, (1 - level) / 2):
        return
    hint = (
        f"interval: with level={level:g}, each end cuts off {1 - level:.0%} of the scores. How much do both together?"
    )
    require(not _cuts(ends, scores, 1 - level), "one-sided", hint)
    hint = f"interval: with level={level:g}, the ends are those for 0.95. Is the argument used?"
    require(not _cuts(ends, scores, 0.025), "level", hint)
    below, above = (scores < low).mean(), (scores > high).mean()
    hint = f"{below:.1%} of the resampled scores lie below the interval, {above:.1%} above it. How many should?"
    raise Wrong("quantile", f"interval: with level={level:g}, {hint}")


def _cuts(ends: tuple[float, float], scores: np.ndarray, tail: float) -> bool:
    """Whether the ends cut off such a tail each, give or take one rank: rules differ for what is between two ranks."""
    rank = 1.01 / (len(scores) - 1)
    limits = [_quantile(scores, [max(q - rank, 0), min(q + rank, 1)]) for q in (tail, 1 - tail)]
    slack = 1e-5 * max(1.0, float(abs(scores).max()))  # an answer may keep its scores in float32
    return all(low - slack <= end <= high + slack for end, (low, high) in zip(ends, limits, strict=True))
