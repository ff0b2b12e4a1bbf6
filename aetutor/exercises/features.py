"""Checks of assignment 06, first part: scores that compare two sets of feature vectors."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from .answers import Wrong, call, close, kind, number, plain, require, same, tensor

# What decides a verdict is kept by private names, taken at import (see answers.py).
_array, _diag, _ndarray, _singular = np.array, np.diag, np.ndarray, np.linalg.svd
_eigh, _eigvalsh = np.linalg.eigh, np.linalg.eigvalsh
_isfinite, _maximum, _sort, _sqrt, _stack = np.isfinite, np.maximum, np.sort, np.sqrt, np.stack
_is_tensor, _double = torch.is_tensor, torch.float64


def check_matrix_root(answer: Callable, *, matrix: Tensor | None = None, seed: int = 0) -> str:
    """Whether answer(matrix) squares to the matrix, is symmetric and has no eigenvalue below 0: only one root does.

    answer     : matrix (D, D) -> root (D, D)
    matrix     : (D, D)      symmetric, no eigenvalue below 0 but for rounding; by default three drawn ones
    seed       : int         draws them
    returns    : str         what was verified
    raises     : Wrong       with a hint, unless the answer is right
    source     : Higham 2008, Functions of Matrices, theorem 1.29
    taught in  : notebooks/06_adversarial.ipynb
    """
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.rand(size, size + 2, generator=generator, dtype=_double) for size in (2, 3, 6)]
    matrices = [part @ part.T / part.shape[1] for part in parts] if matrix is None else [matrix]
    for given in (copy for one in matrices for copy in places(one)):
        got = call(answer, given, name="matrix_root")
        got = tensor(got, name="matrix_root(matrix)", shape=given.shape, like=given)
        _check_root(plain(got), plain(given), 1e-8 if given.dtype == _double else 1e-4)
    return f"matrix_root: right for matrices of {', '.join(str(len(m)) for m in matrices)} rows; {HIDDEN}"


def _check_root(root: np.ndarray, matrix: np.ndarray, rounding: float) -> None:
    name, size = "matrix_root(matrix)", float(_diag(matrix).max())
    fine = {"rtol": 0, "atol": max(size, 1e-9) * rounding}
    if not _isfinite(root).all():
        hint = "Print the matrix's eigenvalues: which sign has the smallest, and what is its square root?"
        raise Wrong(
            "negative", f"{name} is nan in places, for a matrix of rank {_rank(matrix)} of {len(matrix)}. {hint}"
        )
    slack = fine["atol"] ** 0.5  # what rounding of the matrix does to its root, where eigenvalues are 0
    symmetric = close(root, root.T, rtol=0, atol=slack)
    if not symmetric or not close(root @ root, matrix, **fine):
        tried = {
            "elementwise": (root * root, "holds the root of every entry. Multiply it by itself with @ and compare."),
            "unrooted": (root, "is the matrix again. Which part of its decomposition should get the square root?"),
            "asymmetric": (
                root @ root.T,
                "times its own transpose is the matrix, but it is not symmetric. A Cholesky factor is like that, "
                "and so is a decomposition whose last factor was left out.",
            ),
        }
        for mistake, (found, hint) in tried.items():
            require(not close(found, matrix, **fine), mistake, f"{name} {hint}")
        nearly = symmetric and close(root @ root, matrix, rtol=0, atol=1e-3 * size)
        hint = (
            f"is nearly right: its square misses the matrix by {abs(root @ root - matrix).max():.1g}. Is something "
            "added to the matrix or its eigenvalues, or are these raised to a bound? Is float64 kept all along?"
        )
        require(not nearly, "offset", f"{name} {hint}")
        right = symmetric and close(_eigvalsh(root) ** 2, _maximum(_eigvalsh(matrix), 0), rtol=0.001, atol=fine["atol"])
        hint = "has the right eigenvalues along the wrong axes. Are eigh's eigenvectors its rows or its columns?"
        require(not right, "axes", f"{name} {hint}")
        require(symmetric, "asymmetric", f"{name} is not symmetric. Which factor should stand there transposed?")
        same(root @ root, matrix, name=f"{name} times itself", **fine)
    hint = "has a negative eigenvalue. Of an eigenvalue's two square roots, take the one that is not negative."
    require(float(_eigvalsh((root + root.T) / 2).min()) >= -slack, "sign", f"{name} {hint}")


def _rank(matrix: np.ndarray) -> int:
    values = _eigvalsh(matrix)
    return int((values > 1e-5 * values.max()).sum())


def check_frechet(answer: Callable, *, sets: tuple[Tensor, Tensor] | None = None, seed: int = 0) -> str:
    """Whether answer(a, b) is the squared Fréchet distance, measured here without the root of any matrix.

    answer     : a (N, D), b (M, D) -> number
    sets       : a, b        feature vectors; by default two drawn pairs
    seed       : int         draws them
    returns    : str         what was verified
    raises     : Wrong       with a hint, unless the answer is right
    source     : Dowson & Landau 1982; the trace of the root is the nuclear norm of A Bᵀ, for centred data A and B
    taught in  : notebooks/06_adversarial.ipynb
    """
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(2, 4, 4, generator=draw, dtype=_double)
    a, b = (torch.randn(count, 4, generator=draw, dtype=_double) for count in (60, 45))
    pairs = [(a @ mix[0] + 1, b @ mix[1]), ((a @ mix[1]).float(), (a @ mix[1]).float() + 2)]
    for one, two in both(pairs if sets is None else [sets]):
        _check_distance(_asked(answer, one, two), plain(one), plain(two))
    return f"frechet: right for {2 if sets is None else 1} pairs of feature sets; {HIDDEN}"


def _asked(answer: Callable, a: Tensor, b: Tensor) -> float:
    hint = "Rounding can leave an eigenvalue a little below 0, and the square root of such a one is nan."
    try:
        got = call(answer, a, b, name="frechet")
    except Wrong as wrong:  # what torch.linalg says of a matrix with nan is no help
        raise wrong if "LinAlgError" not in str(wrong) else Wrong("nan", f"{wrong} {hint}") from wrong
    bad = isinstance(got, float | Tensor) and not plain(got == got).all()  # of all numbers, nan alone
    require(not bad, "nan", f"frechet(a, b) is nan. {hint}")
    return number(got, name="frechet(a, b)")


def _check_distance(got: float, a: np.ndarray, b: np.ndarray) -> None:
    n, m, shift = len(a), len(b), float(((a.mean(0) - b.mean(0)) ** 2).sum())
    raw = [x / (len(x) - 1) ** 0.5 for x in (a, b)]
    a, b = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b))
    ca, cb = a.T @ a, b.T @ b
    spread, cross = float(ca.trace() + cb.trace()), _nuclear(a, b)
    want, scale = shift + spread - 2 * cross, shift + spread
    wide = ca.trace() * (n - 1) / n + cb.trace() * (m - 1) / m - 2 * cross * ((n - 1) * (m - 1) / n / m) ** 0.5
    halves = _sqrt(_maximum(_eigvalsh(ca @ cb), 0)).sum()  # eigh reads one half of a matrix, symmetric or not
    raised = float((raw[0] ** 2).sum() + (raw[1] ** 2).sum()) - 2 * _nuclear(*raw)
    product = float((_root(ca) * _root(cb)).sum())  # the trace of a product of two symmetric matrices
    apart = ((_sqrt(_diag(ca)) - _sqrt(_diag(cb))) ** 2).sum()
    tried = {
        "rooted": (max(want, 0) ** 0.5, "this is the distance; its square is asked for, as in the FID."),
        "norm": (shift**0.5 + spread - 2 * cross, "the distance of the means enters squared."),
        "means": (spread - 2 * cross, "two sets that differ in their mean alone are 0 apart here."),
        "covariance": (shift, "two sets of one mean are 0 apart here, however they spread."),
        "cross-term": (scale - cross, "a set is not 0 apart from itself. Look at the factor before the last root."),
        "divisor": (shift + wide, "the covariances have the divisor N; with N − 1 they are right on average."),
        "not-symmetric": (scale - 2 * halves, "eigh is given the product of two covariances, which is not symmetric."),
        "roots-product": (
            scale - 2 * product,
            "the roots of both covariances are multiplied. A product of two roots is not the root of the product, "
            "unless the two matrices commute.",
        ),
        "diagonal": (shift + apart, "the spread of each feature counts, but not how features go together."),
        "elementwise": (scale - 2 * _sqrt(_maximum(_diag(ca @ cb), 0)).sum(), "the last root is taken of each entry."),
        "uncentred": (shift + raised, "the covariances are taken around 0 and not around the means."),
    }
    fine = {"rtol": 1e-4, "atol": 1e-5 * scale}
    known = any(close(got, value, **fine) for value, _ in tried.values())
    off = abs(got - want)
    hint = f"{got:.6g} is nearly right, off by {off:.2g}. In what precision are the covariances and roots taken?"
    require(known or close(got, want, **fine) or off > 0.02 * scale, "precision", f"frechet(a, b): {hint}")
    same(got, want, name="frechet(a, b)", mistakes=tried, **fine)


def _root(matrix: np.ndarray) -> np.ndarray:
    values, axes = _eigh(matrix)
    return axes * _sqrt(_maximum(values, 0)) @ axes.T


def _nuclear(a: np.ndarray, b: np.ndarray) -> float:
    return float(_singular(a @ b.T, compute_uv=False).sum())


def check_precision_recall(
    answer: Callable, *, k: int = 3, sets: tuple[Tensor, Tensor] | None = None, seed: int = 0
) -> str:
    """Whether answer(real, fake, k=) is (precision, recall), against all pairs compared one by one.

    answer     : real (N, D), fake (M, D) -> (precision, recall)
    k          : int         neighbours
    sets       : real, fake  feature vectors; by default two drawn pairs
    seed       : int         draws them
    returns    : str         what was verified
    raises     : Wrong       with a hint, unless the answer is right
    source     : Kynkäänniemi et al. 2019, arXiv:1904.06991
    taught in  : notebooks/06_adversarial.ipynb
    """
    draw = torch.Generator().manual_seed(seed)
    pairs = [
        (torch.randn(n, 3, generator=draw), 1.5 * torch.randn(m, 3, generator=draw) + 0.5)
        for n, m in ((50, 50), (60, 45))
    ]
    for real, fake in both(pairs if sets is None else [sets]):
        found = call(answer, real, fake, name="precision_recall", k=k)
        _check_balls(pair(found, name="precision_recall", what="(precision, recall)"), plain(real), plain(fake), k)
    return f"precision_recall: right for {2 if sets is None else 1} pairs of feature sets and k = {k}; {HIDDEN}"


def _check_balls(got: tuple[float, float], real: np.ndarray, fake: np.ndarray, k: int) -> None:
    far, want = squares(real, fake), _array(_shares(real, fake, k))
    of_real, of_fake = _reach(real, k), _reach(fake, k)
    crossed = (far <= of_fake).any(0).mean(), (far <= of_real[:, None]).any(1).mean()
    only = (far.min(0) <= of_real[far.argmin(0)]).mean(), (far.min(1) <= of_fake[far.argmin(1)]).mean()
    open_balls = (far < of_real[:, None]).any(0).mean(), (far < of_fake).any(1).mean()
    tried = {
        "swapped": (want[::-1], "precision and recall have changed places."),
        "itself": (_shares(real, fake, k - 1), "the balls are too small. Nobody is a neighbour of himself."),
        "twice": (_shares(real, fake, k + 1), "the balls are too large. Is the vector itself left out twice?"),
        "rim": (open_balls, "what lies on the rim of a ball, at the radius, belongs to it."),
        "own-ball": (
            crossed,
            "the balls are around the wrong set. For precision, they are around real vectors. Which axis of the "
            "distances does a radius belong to?",
        ),
        "nearest-only": (only, "only the nearest vector's ball is looked into. One further away may reach further."),
        "k": (_shares(real, fake, 3), f"with k={k}, this is the answer for k=3."),
        "count": (want * [len(fake), len(real)], "these are counts; shares are asked for."),
    }
    tried = {mistake: (_array(value), hint) for mistake, (value, hint) in tried.items()}
    same(_array(got), want, name="precision_recall(real, fake)", rtol=0, mistakes=tried)


def _shares(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float]:
    far = squares(real, fake)
    return (far <= _reach(real, k)[:, None]).any(0).mean(), (far <= _reach(fake, k)).any(1).mean()


def _reach(x: np.ndarray, k: int) -> np.ndarray:
    return _sort(squares(x, x), axis=1)[:, min(k, len(x) - 1)]  # the first is the vector itself


# --- Parts ------------------------------------------------------------------------------------------------------

HIDDEN = "hidden tests run when this is graded."


def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances (N, M), by differences: a matrix product would round, and break ties."""
    return _stack([((row - b) ** 2).sum(1) for row in a])


def places(x: Tensor) -> Iterator[Tensor]:
    """The tensor, and a copy on the GPU where there is one: that is where device mistakes show."""
    yield x
    if torch.cuda.is_available() and x.device.type == "cpu":
        yield x.cuda()


def both(pairs: list) -> Iterator[tuple[Tensor, Tensor]]:
    """Each pair, in each place."""
    for one, two in pairs:
        yield from zip(places(one), places(two), strict=True)


def pair(value, *, name: str, what: str) -> tuple[float, float]:
    """Two finite floats from a tuple, a list, a tensor or an array; else Wrong."""
    fits = isinstance(value, tuple | list) or ((_is_tensor(value) or isinstance(value, _ndarray)) and value.ndim == 1)
    require(fits, "type", f"{name} should return the pair {what}, but it returns {kind(value)}.")
    require(len(value) == 2, "shape", f"{name} should return the pair {what}, but it returns {len(value)} numbers.")
    first, second = (number(part, name=f"a number that {name} returns") for part in value)
    return first, second
