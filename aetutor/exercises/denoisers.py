"""Checks of assignment 04, second half: choosing and training a denoiser where nobody has the clean pictures."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from .answers import Wrong, call, close, describe, number, plain, require, tensor
from .noise import _clean, _frame, _near, _tensor

# Taken at import: a notebook that replaces one of them replaces its own only.
_array, _clip, _mean, _ndarray, _pad, _quiet = np.array, np.clip, np.mean, np.ndarray, np.pad, np.abs
_rng, _sqrt = np.random.default_rng, np.sqrt
_generator, _no_grad, _poisson, _randn = torch.Generator, torch.no_grad, torch.poisson, torch.randn


def _blur(pictures: np.ndarray, sigma, **settings) -> np.ndarray:
    from scipy import ndimage  # 0.1 s that importing the checks should not cost; the notebook's set-up imports it, too

    return ndimage.gaussian_filter(pictures, sigma, **settings)


def _mix(pictures: np.ndarray, weights: np.ndarray, **settings) -> np.ndarray:
    from scipy import ndimage

    return ndimage.convolve(pictures, weights, **settings)


def unknown_camera(x: Tensor, *, seed: int) -> Tensor:
    """Raw pictures of a camera whose two settings are drawn from the seed and not told.

    x          : (B, C, H, W)  float, intensity in [0, 1]
    seed       : int           draws the settings first, then the noise
    returns    : (B, C, H, W)  float32 on the CPU; not clipped, so that values leave [0, 1]
    raises     : nothing
    source     : Foi, Trimeche, Katkovnik & Egiazarian 2008, IEEE TIP 17:1737, the Poisson–Gaussian model
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    rng = _rng(seed)
    return _tensor(_camera(plain(x), rng, sigma=rng.uniform(0.08, 0.16), peak=rng.uniform(2.5, 4)))


def check_unbiased_risk(
    unbiased_risk: Callable, *, filters: str = "pointwise", sigma: float = 0.3, seed: int = 0
) -> str:
    """Check Stein's unbiased risk estimate on filters whose divergence is known on paper.

    unbiased_risk : (denoise, noisy, *, sigma, generator) -> number  the answer
    filters    : str         "pointwise", or "blur" for filters that mix pixels
    sigma      : float       noise level
    seed       : int         of the pictures, the noise and the probe
    returns    : str         what was checked
    raises     : Wrong       if the answer is not right yet
    source     : Stein 1981, Annals of Statistics 9:1135; Ramani, Blu & Unser 2008, IEEE TIP 17:1540
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    name, rng = "unbiased_risk", _rng(seed)
    clean = _clip(6 * _blur(rng.uniform(-0.5, 0.5, (60, 1, 28, 28)), (0, 0, 2, 2), mode="wrap") + 0.5, 0, 1)
    noisy = _tensor(clean + sigma * rng.normal(size=clean.shape))
    cut = _tensor(_clip(plain(noisy), 0, 1))
    tried = _pointwise() if filters == "pointwise" else _mixing()
    for denoise, slope in tried:
        with _no_grad():
            left, divergence = float(_mean((plain(denoise(noisy)) - plain(noisy)) ** 2)), slope(plain(noisy))
            left_cut = float(_mean((plain(denoise(cut)) - plain(cut)) ** 2))
        try:
            said = [
                call(unbiased_risk, denoise, noisy, name=name, sigma=sigma, generator=_seeded(seed)) for _ in range(2)
            ]
        except Wrong as wrong:
            words = "denoise is a black box, and some filters have no gradient. Use the difference of two calls."
            require("does not require grad" not in str(wrong), "no-gradient", f"{name}: {words}")
            raise
        got, again = (number(value, name=name) for value in said)
        right, pixels = left - sigma**2 + 2 * sigma**2 * divergence, noisy[0].numel()
        mistakes = {
            "offset": (right + sigma**2, "is too high by σ². Even a perfect answer is σ² away from the noisy picture."),
            "no-divergence": (
                left - sigma**2,
                "lacks the divergence. Without it, keeping the noise costs nothing. (A step too small for float32, "
                "or the gradient of a filter that has none, makes it 0, too.)",
            ),
            "pixels": (pixels * right, "is the sum over the pixels of an image where their mean is asked for."),
            "once": (
                left - sigma**2 + sigma**2 * divergence,
                "counts the divergence once; the formula says 2σ². Or is the probe 0 and 1 in place of −1 and 1? "
                "Then only half of it arrives.",
            ),
            "divergence-sum": (
                left - sigma**2 + 2 * sigma**2 * divergence * noisy.numel(),
                "sums the divergence over pixels and images. The formula divides by P, and the images are averaged.",
            ),
            "divergence-pixels": (
                left - sigma**2 + 2 * sigma**2 * divergence * pixels,
                "sums the divergence over the pixels of an image. The formula divides by P.",
            ),
            "clipped": (
                left_cut - sigma**2 + 2 * sigma**2 * slope(plain(cut)),
                "is that of pictures clipped to [0, 1]. The formula holds for the noise as it came.",
            ),
            "sigma-not-squared": (
                left - sigma + 2 * sigma * divergence,
                "uses σ where the formula has σ², the variance.",
            ),
            "probe": (
                left - sigma**2 + 2 * sigma**2,
                "has a divergence of 1, which is what equal probes give: they see how all pixels together act on one. "
                "Give each pixel a sign of its own, at random.",
            ),
        }
        _near(got, right, name=name, atol=0.03 * sigma**2, mistakes=mistakes)
        require(got == again, "generator", f"{name} gives two numbers for one seed. Draw the probe from generator.")
    return f"{name}: right for {len(tried)} {filters} filters at σ = {sigma}; hidden tests run when this is graded."


def _pointwise() -> list:
    """Filters that treat each pixel alone, and the mean of their derivatives."""
    return [
        (lambda y: 0.6 * y.detach(), lambda y: 0.6),  # a black box has no gradient
        (lambda y: y.abs().sub(0.2).clamp(min=0) * y.sign(), lambda y: float(_mean(_quiet(y) > 0.2))),
    ]


def _mixing() -> list:
    """Filters that mix neighbours, with wrapped edges, so that each pixel's own weight is known."""
    cross = _array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]).reshape(1, 1, 3, 3) / 6
    flat = _array([[1.0] * 9]).reshape(1, 1, 3, 3) / 9
    return [
        (lambda y: _tensor(_mix(plain(y), cross, mode="wrap")).to(y), lambda y: 1 / 3),
        (lambda y: _tensor(_mix(plain(y), flat, mode="wrap")).to(y), lambda y: 1 / 9),
    ]


def check_camera_settings(
    camera_settings: Callable, digits: Tensor, *, sigma: float = 0.1, peak: float = 3.0, margin: int = 0, seed: int = 0
) -> str:
    """Check read noise and photon count, estimated from noisy digits and clean ones that are not their partners.

    camera_settings : (noisy, clean) -> (sigma, peak)  the answer
    digits     : (N, 1, 28, 28)  clean digits, float in [0, 1], N at least 1000; three of five are made noisy
    sigma      : float       read noise, in intensity
    peak       : float       photons that a white pixel receives on average
    margin     : int         black pixels added around each picture
    seed       : int         of the noise
    returns    : str         what was checked
    raises     : Wrong       if the answer is not right yet
    source     : Foi, Trimeche, Katkovnik & Egiazarian 2008, IEEE TIP 17:1737
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    name, x = "camera_settings", _pad(_clean(digits), ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    noisy, clean = _camera(x[: 3 * len(x) // 5], _rng(seed), sigma=sigma, peak=peak), x[3 * len(x) // 5 :]
    said = call(camera_settings, _tensor(noisy), _tensor(clean), name=name)
    pair = isinstance(said, tuple | list) or (isinstance(said, Tensor | _ndarray) and said.ndim == 1)
    require(
        pair and len(said) == 2, "type", f"{name} should be two numbers, sigma and peak, but it is {describe(said)}."
    )
    got, got_peak = (number(value, name=f"{name}, {what}") for value, what in zip(said, ("sigma", "peak"), strict=True))
    require(not (close(got, peak, rtol=0.2) and close(got_peak, sigma, rtol=0.2)), "swapped", f"{name}: sigma first.")
    total = _sqrt(noisy.var() - clean.var())
    mistakes = {
        "signal": (noisy.std(), "is the spread of digits and noise together. Where is there read noise and no light?"),
        "not-robust": (
            noisy[..., _frame(noisy.shape, 2)].std(),
            "is led astray by the few digits that reach into the frame. Is there a spread that looks away from them?",
        ),
        "total": (total, "holds the shot noise as well. Where in the picture is there no shot noise?"),
        "variance": (sigma**2, "is the variance; σ is its square root."),
    }
    _near(got, sigma, name=f"{name}, sigma", rtol=0.06, mistakes=mistakes)
    more, square = (noisy**2).mean() - (clean**2).mean(), clean.mean() ** 2
    mistakes = {
        "inverse": ((more - sigma**2) / clean.mean(), "is upside down: more photons mean less noise."),
        "read-noise": (clean.mean() / more, "counts the read noise as photons. Take σ² off before."),
        "mean": (1 / (more - sigma**2), "leaves out how bright the pixels are on average, and noise grows with light."),
        "square-of-mean": (
            clean.mean() / ((noisy**2).mean() - square - sigma**2),
            "takes the square of the clean mean where the mean of the clean squares belongs.",
        ),
    }
    _near(got_peak, peak, name=f"{name}, peak", rtol=0.2, mistakes=mistakes)
    return f"{name}: right for one camera of {len(noisy)} pictures; hidden tests run when this is graded."


def check_trained_denoiser(
    trained_denoiser: Callable,
    digits: Tensor,
    *,
    camera: Sequence[float] = (0.1, 3.0),
    gain: float = 1,
    strict: bool = False,
    seed: int = 0,
) -> str:
    """Train a denoiser with the answer, on a camera's noise, and score it against the best blur.

    trained_denoiser : (damage, clean) -> network  the answer
    digits     : (N, 1, 28, 28)  clean digits, float in [0, 1], N at least 1000; the last 200 are kept for the score
    camera     : floats      read noise and photons of a white pixel
    gain       : float       what the camera multiplies all values by; below 1 its pictures are too dark
    strict     : bool        whether the network has to clean one picture alone, and pictures of another size, too
    seed       : int         of the noise
    returns    : str         what was checked, with the score
    raises     : Wrong       if the answer is not right yet
    source     : Vincent, Larochelle, Bengio & Manzagol 2008, ICML
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """
    name, calls, seen, (sigma, peak), noise = "trained_denoiser", [], set(), camera, _seeded(seed)
    x, total = _clean(digits)[-200:], len(digits) - 200

    def damage(x):
        calls.append(len(x))
        seen.update(plain(x).reshape(len(x), -1).sum(1).tolist())  # a digit is known by its sum
        photons = _poisson(peak * x.detach().cpu(), generator=noise) / peak
        return (gain * (photons + sigma * _randn(x.shape, generator=noise))).to(x.device)

    noisy = _camera(x, _rng(seed), sigma=sigma, peak=peak)  # in the brightness of x, which the blur needs
    network = call(trained_denoiser, damage, digits[:-200].clone(), name=name)
    require(callable(network), "type", f"{name} should return the network, but it returns {describe(network)}.")
    require(calls, "no-damage", f"{name} never calls damage. A network that sees clean images only learns to copy.")
    times = f"damage was called {len(calls)} time{'s' * (len(calls) > 1)} on {len(seen)} different pictures"
    require(
        len(calls) > 4 or sum(calls) > 2 * total,
        "one-noise",
        f"{name}: {times}. If a picture has the same noise in each step, the network can learn it by heart: "
        "call damage anew in each step.",
    )

    def cleaned(batch, what="network(noisy)"):
        with _no_grad():
            x_hat = call(network, batch, name="network")
        return plain(tensor(x_hat, name=what, shape=tuple(batch.shape), like=batch))

    given = _tensor(gain * noisy)
    x_hat = cleaned(given)
    score, best = _decibels(x_hat, x), max(_decibels(_blur(noisy, (0, 0, s, s)), x) for s in (0.5, 0.7, 0.9, 1.1, 1.4))
    require(
        -0.5 < x_hat.min() and x_hat.max() < 1.5,
        "logits",
        f"network(noisy) reaches from {x_hat.min():.1f} to {x_hat.max():.1f}; intensities lie in [0, 1]. "
        "Are these the sums before the sigmoid?",
    )
    if score <= best + 1.5:
        stored = _clip(plain(given), 0, 1)
        words = f"network(noisy) reaches {score:.1f} dB, the best blur {best:.1f} dB; {best + 1.5:.1f} dB are wanted."
        require(x_hat.std(0).mean() > 0.02, "constant", f"{words} It gives nearly one picture for all digits.")
        away = _mean((x_hat - stored) ** 2) > 0.65 * _mean((x - stored) ** 2)
        require(away or gain != 1, "copies", f"{words} It stays near the noisy one. What is its target in training?")
        asked = "Is it trained on what damage returns, long enough, with steps that are large enough?"
        raise Wrong("too-weak", f"{words} ({times[0].upper()}{times[1:]}.) {asked}")
    if strict:
        alone = cleaned(given[:1], "network(one picture)")
        require(
            close(alone, x_hat[:1], rtol=0, atol=1e-3),
            "batch-dependent",
            "An image alone is cleaned in another way than in a batch. Is there a layer that has to be told .eval()?",
        )
        cleaned(given[:3, :, 2:24], "network(pictures of another size)")
    return f"{name}: {score:.1f} dB, the best blur {best:.1f} dB; hidden tests run when this is graded."


def _camera(x, rng, *, sigma: float, peak: float):
    """Photons are counted, and reading them out adds normal noise."""
    return rng.poisson(peak * x) / peak + sigma * rng.normal(size=x.shape)


def _decibels(x_hat, x) -> float:
    return -10 * math.log10(_mean((_clip(x_hat, 0, 1) - x) ** 2))


def _seeded(seed: int) -> torch.Generator:
    return _generator().manual_seed(seed)
