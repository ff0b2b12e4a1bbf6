"""Checks of assignment 04, first half: how strong is a noise, and of which kind, from noisy pictures alone?"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from .answers import Wrong, call, close, kind, number, plain, require

# Taken at import: a notebook that replaces one of them replaces its own only.
_array, _clip, _log10, _mean, _median, _pad, _quiet = np.array, np.clip, np.log10, np.mean, np.median, np.pad, np.abs
_rng, _std, _where, _zeros, _from_numpy = np.random.default_rng, np.std, np.where, np.zeros, torch.from_numpy
_inverse = NormalDist().inv_cdf

KINDS = ("gaussian", "salt-and-pepper", "masking", "shot")


def check_psnr_of_set(psnr_of_set: Callable, *, peak: float = 1.0, seed: int = 0) -> str:
    """Check the peak signal-to-noise ratio of a set: one error for all pixels of all images, then the logarithm.

    psnr_of_set : (x_hat, x, *, peak) -> number  the answer
    peak       : float       1 for float images; 255 makes them uint8
    seed       : int         of the images
    returns    : str         what was checked
    raises     : Wrong       if the answer is not right yet
    source     : Huynh-Thu & Ghanbari 2008, Electronics Letters 44:800
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    rng, name = _rng(seed), "psnr_of_set"
    x = rng.uniform(0, 1, (6, 1, 9, 7))
    x_hat = _clip(x + _array([0.02, 0.05, 0.1, 0.2, 0.3, 0.4]).reshape(6, 1, 1, 1) * rng.normal(size=x.shape), 0, 1)
    scale = 255 if peak == 255 else 1
    x, x_hat = (_array((scale * part).round() if scale > 1 else part) for part in (x, x_hat))
    given = [_tensor(part, dtype="uint8" if scale > 1 else "float32") for part in (x_hat, x)]
    got = number(call(psnr_of_set, *given, name=name, peak=peak), name=name)
    each = ((x_hat - x) ** 2).mean((1, 2, 3))
    right = 10 * math.log10(peak**2 / each.mean())
    mistakes = {
        "mean-of-logs": (
            _mean(10 * _log10(peak**2 / each)),
            "is the mean of the images' decibels. Here the errors are averaged first, and the logarithm comes last.",
        ),
        "natural-log": (right * math.log(10), "is off by ln 10: decibels use the logarithm to base 10."),
        "peak": (-10 * math.log10(each.mean()), "does not use peak. What is the PSNR of values that reach to 255?"),
        "largest": (
            10 * math.log10(x.max() ** 2 / each.mean()),
            "uses the largest value that occurs. The peak is the largest that is possible, and it is given.",
        ),
        "peak-not-squared": (
            10 * math.log10(peak / each.mean()),
            "has peak and error in different units: the error is squared, so what stands above it is, too.",
        ),
        "wraps": (
            10 * math.log10(peak**2 / (((x_hat - x) % 256) ** 2).mean()),
            "is what differences of uint8 give, which wrap round below 0. Make both float before you subtract.",
        ),
        "sum": (
            10 * math.log10(peak**2 / (each.sum() * x[0].size)),
            "uses the sum of the squared errors where their mean is asked for.",
        ),
        "per-image": (
            10 * math.log10(peak**2 / (each.mean() * x[0].size)),
            "sums over the pixels of an image; the mean is over pixels as well as images.",
        ),
    }
    _near(got, right, name=name, rtol=1e-4, mistakes=mistakes)
    return f"{name}: right on {len(x)} images with values up to {peak:g}; hidden tests run when this is graded."


def check_noise_level(noise_level: Callable, *, shape: Sequence[int] = (256, 1, 32, 32), seed: int = 0) -> str:
    """Check an estimate of σ from noisy pictures alone, on slopes with a bright box, at several noise levels.

    noise_level : (noisy) -> number  the answer
    shape      : four ints   of the noisy pictures
    seed       : int         of the noise
    returns    : str         what was checked
    raises     : Wrong       if the answer is not right yet
    source     : Donoho & Johnstone 1994, Biometrika 81:425, the median absolute deviation
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    rng, name = _rng(seed), "noise_level"
    rows, columns = shape[2], shape[3]
    slope = 0.3 * _array([[i / rows + j / columns for j in range(columns)] for i in range(rows)])
    slope[rows // 4 + 1 : rows // 2, columns // 4 + 1 : columns // 2] += 0.5
    levels = (0.03, 0.1, 0.4)
    for sigma in levels:
        noisy = _array(slope + sigma * rng.normal(size=tuple(shape)))
        got = number(call(noise_level, _tensor(noisy), name=name), name=name)
        high = (noisy[..., :-1, :-1] - noisy[..., 1:, :-1] - noisy[..., :-1, 1:] + noisy[..., 1:, 1:]) / 2
        middle, scale = _median(_quiet(high)), _inverse(0.75)
        require(
            abs(got) > 0.02 * sigma,
            "no-abs",
            f"{name} at σ = {sigma} is {got:.2g}, nearly 0: values of d above and below 0 are alike. Is |d| taken?",
        )
        mistakes = {
            "no-scale": (
                middle,
                "is the median of |d|, about two thirds of σ. The formula says how to get from one to the other.",
            ),
            "multiplied": (middle * scale, "was multiplied by Φ⁻¹(3/4). Solve the formula for σ."),
            "kernel": (
                2 * middle / scale,
                "is twice σ. Four pixels are added and subtracted: by how much does that enlarge the noise?",
            ),
            "variance": ((middle / scale) ** 2, "is the variance; σ is its square root."),
            "edges": (_std(high), f"is led astray by edges (σ = {sigma}). A median looks away from them."),
            "signal": (_std(noisy), "is the spread of the picture and the noise together. First remove the picture."),
        }
        _near(got, sigma, name=f"{name} at σ = {sigma}", rtol=0.05, mistakes=mistakes)
    return f"{name}: within 5 % at σ = {', '.join(map(str, levels))}; hidden tests run when this is graded."


def check_clipped_noise_level(
    clipped_noise_level: Callable, *, sigmas: Sequence[float] = (0.1, 0.3), border: int = 2, seed: int = 0
) -> str:
    """Check an estimate of σ from pictures that were clipped to [0, 1], with a dark frame.

    clipped_noise_level : (stored, *, border) -> number  the answer
    sigmas     : floats      noise levels to try
    border     : int         width of the dark frame in pixels
    seed       : int         of the pictures and the noise
    returns    : str         what was checked
    raises     : Wrong       if the answer is not right yet
    source     : moments of a normal variable censored at two ends; the course's own
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    rng, name, size = _rng(seed), "clipped_noise_level", 24
    for sigma in sigmas:
        inside = rng.uniform(0.3, 1, (2000, 1, size, size))  # so many that chance refuses no quantile from 0.6 on
        clean = _pad(inside, ((0, 0), (0, 0), (border, border), (border, border)))
        stored = _clip(clean + sigma * rng.normal(size=clean.shape), 0, 1)
        got = number(call(clipped_noise_level, _tensor(stored), name=name, border=border), name=name)
        dark = stored[..., _frame(stored.shape, border)]
        high = stored[..., ::2, ::2] - stored[..., 1::2, ::2] - stored[..., ::2, 1::2] + stored[..., 1::2, 1::2]
        mistakes = {
            "clipped-top": (
                dark.mean() * math.sqrt(2 * math.pi),
                "is too small: at this noise level, clipping at 1 cuts off something, too. "
                "Which statistic does not care what becomes of the largest values?",
            ),
            "clipped-square": (
                math.sqrt(2 * _mean(dark**2)),
                "is too small: clipping at 1 cuts the largest squares off. "
                "Which statistic does not care what becomes of the largest values?",
            ),
            "half": (
                math.sqrt(_mean(dark**2)),
                "counts only half of the noise: of each negative draw nothing is left but a 0.",
            ),
            "folded": (
                dark.mean() * math.sqrt(math.pi / 2),
                "is half of σ: the formula is that of |noise|, which is folded up. Clipped noise becomes 0 instead.",
            ),
            "clipped": (dark.std(), "takes the spread of clipped values as it is, and half of the noise is cut off."),
            "whole-image": (
                _median(_quiet(high)) / 2 / _inverse(0.75),
                "comes from whole pictures, most of whose pixels clipping has changed. Use the dark frame.",
            ),
        }
        _near(got, sigma, name=f"{name} at σ = {sigma}, border {border}", rtol=0.03, mistakes=mistakes)
    levels = ", ".join(map(str, sigmas))
    return f"{name}: within 3 % at σ = {levels} with border {border}; hidden tests run when this is graded."


def check_kind_of_noise(
    kind_of_noise: Callable, digits: Tensor, *, strengths: str = "middle", count: int = 100, seed: int = 0
) -> str:
    """Check that four kinds of noise are told apart from clipped noisy digits.

    kind_of_noise : (stored) -> str  the answer, one of KINDS
    digits     : (N, 1, 28, 28)  clean digits on black, float in [0, 1], N at least 1000
    strengths  : str         "weak", "middle" or "strong"
    count      : int         digits in a batch
    seed       : int         of the choice and of the noise
    returns    : str         what was checked
    raises     : Wrong       if the answer is not right yet
    source     : the course's own
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    rng, name = _rng(seed), "kind_of_noise"
    at = {"weak": 0, "middle": 1, "strong": 2}[strengths]
    whole = _clean(digits)
    sigma, share, peak = (0.05, 0.2, 0.5)[at], (0.1, 0.3, 0.6)[at], (60, 25, 12)[at]
    for true in KINDS:
        clean = whole[rng.permutation(len(whole))[:count]]
        draw, noise = rng.uniform(size=clean.shape), rng.normal(size=clean.shape)
        stored = {
            "gaussian": clean + sigma * noise,
            "salt-and-pepper": _where(draw < share / 2, 0, _where(draw < share, 1, clean)),
            "masking": _where(draw < share, 0, clean),
            "shot": rng.poisson(peak * clean) / peak,
        }[true]
        said = call(kind_of_noise, _tensor(_clip(stored, 0, 1)), name=name)
        require(type(said) is str, "type", f"{name} should be a str, but it is {kind(said)}.")
        require(said in KINDS, "unknown-name", f"{name} answers {said!r}; the four names are {', '.join(KINDS)}.")
        if said == true:
            continue
        mistake, hint = _confusion({said, true})
        raise Wrong(mistake, f"{name} calls {strengths} {true} noise {said!r} on {count} digits. {hint}")
    return f"{name}: right on four kinds, {strengths} strength, {count} digits; hidden tests run when this is graded."


def _confusion(pair: set[str]) -> tuple[str, str]:
    """The mistake, and where two kinds of noise differ."""
    if pair == {"gaussian", "salt-and-pepper"}:
        return "dark-values", "Both light up dark pixels. To which values, and how many of them?"
    if pair == {"masking", "shot"}:
        return "bright-values", "Both leave the background black. What happens inside a stroke?"
    return "dark-or-not", "One of the two lights up pixels of the background, where nothing is drawn; one does not."


def _clean(digits) -> np.ndarray:
    """The notebook's digits as an array; Wrong if a cell has overwritten them, so that no answer is blamed for it."""
    fits = isinstance(digits, Tensor) and digits.is_floating_point() and tuple(digits.shape[1:]) == (1, 28, 28)
    fits = fits and len(digits) >= 1000 and bool(0 <= digits.min() <= digits.max() <= 1)
    words = "clean digits of shape (N, 1, 28, 28), float, in [0, 1]. Run that cell again."
    require(fits, "digits", f"digits is no longer what the set-up cell made: {words}")
    return plain(digits)


def _frame(shape: Sequence[int], border: int) -> np.ndarray:
    """Where the outermost rows and columns of pictures are: (H, W) of truth values."""
    return _pad(_zeros((shape[-2] - 2 * border, shape[-1] - 2 * border), bool), border, constant_values=True)


def _near(got: float, want: float, *, name: str, rtol: float = 0, atol: float = 0, mistakes: Mapping) -> None:
    """Raise Wrong unless a number is near enough; of the known mistakes, the one that leads nearest to it is named.

    A mistake that is nearly right here explains nothing, and one has to be met more closely than the right value.
    """
    if close(got, want, rtol=rtol, atol=atol):
        return
    everywhere = {
        "sign": (-want, "has the wrong sign."),
        "double": (2 * want, "is twice what it should be."),
        "half": (want / 2, "is half of what it should be."),
    }
    known = {**everywhere, **mistakes}
    known = {key: made for key, made in known.items() if not close(made[0], want, rtol=rtol, atol=atol)}
    nearest = min(known, key=lambda mistake: abs(known[mistake][0] - got))
    if close(got, known[nearest][0], rtol=max(1e-3, min(rtol / 2, 0.03)), atol=atol / 2):
        raise Wrong(nearest, f"{name}: {got:.4g} {known[nearest][1]}")
    high = got > want  # how far off would be the solution
    raise Wrong(
        "too-high" if high else "too-low", f"{name} is {got:.4g}, and that is too {'large' if high else 'small'}."
    )


def _tensor(values, *, dtype: str = "float32") -> Tensor:
    return _from_numpy(values.astype(dtype))
