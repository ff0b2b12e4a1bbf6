"""Checks of assignment 05, the formulas: rates, draws and bounds on log p(x)."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from .answers import Wrong, attached, call, close, plain, require, same, tensor

_Bernoulli, _Normal, _divergence = Bernoulli, Normal, kl_divergence
_from_numpy, _sum_of_exponentials = torch.from_numpy, torch.logsumexp
_Generator, _equal, _grad, _rng = torch.Generator, torch.equal, torch.autograd.grad, torch.get_rng_state
_rand, _randn, _here, _double = torch.rand, torch.randn, torch.cuda.is_available, torch.float64
_exp, _finite, _std = np.exp, np.isfinite, np.std
_absolute, _correlations, _log, _moved, _triangle = np.abs, np.corrcoef, np.log, np.moveaxis, np.triu
_pi = np.pi


def _log_sum_exp(values: np.ndarray) -> np.ndarray:
    """log Σ exp over the first axis."""
    return plain(_sum_of_exponentials(_from_numpy(values), 0))


def check_divergence(
    answer: Callable, *, shape: tuple = (6, 4), dtype: torch.dtype = torch.float32, seed: int = 0
) -> str:
    """Checks a rate against any diagonal Gaussian, answer(mu, logvar, prior_mu=, prior_logvar=) -> (B,).

    answer     : function    KL(N(mu, exp logvar) ‖ N(prior_mu, exp prior_logvar)) in nats, summed over Z
    shape      : (B, Z)      of mu and logvar; the prior's two have the shape (Z,)
    dtype      : torch.dtype of all four
    seed       : int         number of the made-up answers of an encoder
    returns    : str         what was verified
    raises     : Wrong       if it is not right yet, with a hint
    source     : torch.distributions as the oracle; this course
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    name = "divergence"
    for dice, where in _places(seed):
        mu, logvar = _randn(2, *shape, generator=dice, dtype=dtype, device=where)
        prior_mu, prior_logvar = _randn(2, shape[1], generator=dice, dtype=dtype, device=where) + 0.5

        def against(mu, logvar, m, v):  # call watches what is given by position
            return answer(mu, logvar, prior_mu=m, prior_logvar=v)

        got = call(against, mu, logvar, prior_mu, prior_logvar, name=name)
        tensor(got, name=name, shape=shape[:1], like=mu)
        q, p = _normal(mu, logvar), _normal(prior_mu.expand(shape), prior_logvar.expand(shape))
        want = _divergence(q, p).sum(1)
        standard = _normal(mu * 0, mu * 0)
        wide = _divergence(_normal(mu, 2 * logvar), _normal(prior_mu, 2 * prior_logvar)).sum(1)
        ratio = (p.stddev / q.stddev).log()  # log s/σ
        unsquared = (ratio - 0.5 + (q.variance + (q.mean - p.mean) ** 2) / (2 * p.stddev)).sum(1)
        mistakes = {
            "reversed": (_divergence(p, q).sum(1), "is KL(prior ‖ q). Which of the two is averaged over?"),
            "prior": (_divergence(q, standard).sum(1), "is the rate against N(0, I). Where does the prior come in?"),
            "averaged": (want / shape[1], "is averaged over the code numbers where their sum is asked for."),
            "deviation": (wide, "takes logvar as the log of the standard deviation. It is that of the variance."),
            "square": (unsquared, "divides by 2s where the formula has 2s². What is s² in terms of prior_logvar?"),
            "logarithm": (want - 2 * ratio.sum(1), "has the logarithm upside down. Which of s and σ is divided?"),
            "constant": (want + shape[1] / 2, "is too large by ½ for each code number. For q = prior it should be 0."),
        }
        same(got, want, name=name, rtol=1e-3, atol=1e-5, mistakes=mistakes)
    return f"{name}: right for {shape[0]} images and {shape[1]} code numbers"


def check_draws(answer: Callable, *, shape: tuple = (60, 40, 3), dtype: torch.dtype = torch.float32) -> str:
    """Checks reparameterised draws, answer(mu, logvar, count=, dice=) -> (K, B, Z).

    answer     : function    draws K codes for each image from N(mu, exp logvar) with the generator dice
    shape      : (K, B, Z)   draws, images, code numbers
    dtype      : torch.dtype of mu and logvar
    returns    : str         what was verified
    raises     : Wrong       if it is not right yet, with a hint
    source     : the gradient by logvar of μ + exp(½ logvar) ε, which is ½ (z − μ); this course
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    name = "draws"
    for dice, where in _places(7):
        mu, logvar = _randn(2, *shape[1:], generator=dice, dtype=dtype, device=where)
        mu, logvar = (2 * mu).requires_grad_(), (logvar - 1).requires_grad_()

        def drawn(own, mu=mu, logvar=logvar):
            got = call(answer, mu, logvar, name=name, count=shape[0], dice=own)
            return attached(tensor(got, name=name, shape=shape, like=mu), name=name)

        own, before = _Generator(where).manual_seed(3), _rng()
        z, again = drawn(own), drawn(_Generator(where).manual_seed(3))
        words = "Give the generator that you were handed to torch.randn(…, generator=dice)."
        require(
            _equal(z, again) and _equal(before, _rng()), "dice", f"{name} draws from a generator of its own. {words}"
        )
        words = f"{name} gives the same codes when it is called again. Do not seed dice: it has to go on."
        require(not _equal(z, drawn(own)), "reseeded", words)
        weights = _randn(shape, generator=dice, dtype=dtype, device=where)  # noise that sums to 0 must not hide
        by_mu, by_logvar = _grad((weights * z).sum(), (mu, logvar), allow_unused=True)
        for what, gradient in (("mu", by_mu), ("logvar", by_logvar)):
            words = f"no gradient of {name} reaches {what}, so the encoder cannot learn it from the decoder."
            require(gradient is not None and not close(gradient, 0 * mu), "detached", words)
        half, raw = 0.5 * (weights * (z - mu)).sum(0), (weights * (z - mu) / logvar).sum(0)
        words = "takes logvar as the log of the standard deviation. It is that of the variance."
        same(by_mu, weights.sum(0), name=f"the gradient of {name} by mu", rtol=1e-3, atol=1e-3)
        mistakes = {
            "deviation": (2 * half, words),
            "raw": (
                raw,
                "is that of mu + logvar · noise. logvar is no width: it is a logarithm, and below 0 at times.",
            ),
        }
        label = f"the gradient of {name} by logvar"
        same(by_logvar, half, name=label, rtol=1e-3, atol=1e-3, mistakes=mistakes)
        _check_noise((plain(z) - plain(mu)) / _exp(plain(logvar) / 2), name=name)
    return f"{name}: {shape[0]} draws for each of {shape[1]} images, and gradients reach mu and logvar"


def _check_noise(noise: np.ndarray, *, name: str) -> None:
    """Raise Wrong unless noise (K, B, Z) looks as if drawn from N(0, 1), each number on its own."""
    for axis, what in enumerate(("draws", "images", "code numbers")):
        shared = noise.shape[axis] > 1 and _std(noise, axis=axis).max() < 1e-3
        require(not shared, "shared", f"{name} uses the same noise for all {what}. Each of them needs its own.")
        rows = _moved(noise, axis, 0).reshape(noise.shape[axis], -1)
        if min(rows.shape) > 1:
            alike = _absolute(_triangle(_correlations(rows), 1)).max() > 0.99
            words = f"{name} uses the same noise, or the same with its sign turned, for some of the {what}. "
            require(not alike, "shared", words + "Each of them needs its own.")
    size, count = float(_std(noise)), noise.size
    words = f"the noise of {name}, (z − μ)/σ, has the standard deviation {size:.3f}; 1 was expected."
    require(abs(size - 1) < 5 / (2 * count) ** 0.5, "noise", words)
    words = f"the noise of {name}, (z − μ)/σ, does not follow N(0, 1): is it torch.rand in place of torch.randn?"
    fourth = float((noise**4).mean())
    require(abs(noise.mean()) < 5 / count**0.5 and abs(fourth - 3) < 5 * (96 / count) ** 0.5, "noise", words)


def check_elbo(
    answer: Callable, *, shape: tuple = (3, 5, 1, 6, 4), beta: float | None = None, large: float = 1.0, seed: int = 0
) -> str:
    """Checks the ELBO of several draws, answer(logits, x, rate=, beta=1.0) -> (B,).

    answer     : function    mean over draws of log p(x | z) − beta · rate, higher is better
    shape      : (K, B, C, H, W)  of the logits; x has the last four
    beta       : float       the weight of the rate; None leaves it away
    large      : float       how many times larger the last image's logits are than the others'
    seed       : int         number of the made-up logits and images
    returns    : str         what was verified
    raises     : Wrong       if it is not right yet, with a hint
    source     : torch.distributions in float64 as the oracle; this course
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    name = "elbo"
    for dice, where in _places(seed):
        logits, x = _made_up(shape, dice, where)
        logits[:, -1] *= large
        logits.requires_grad_()
        rate = (5 * _rand(shape[1], generator=dice, device=where)).requires_grad_()
        given = {} if beta is None else {"beta": beta}
        got = call(answer, logits, x, name=name, rate=rate, **given)
        attached(tensor(got, name=name, shape=shape[1:2], like=logits), name=name)
        told = _Bernoulli(logits=logits.to(_double)).log_prob(x.to(_double)).sum((2, 3, 4))  # (K, B)
        each, weight, pixels = told.mean(0), 1.0 if beta is None else beta, x[0].numel()
        want, largest = each - weight * rate, told.logsumexp(0) - _log(told.shape[0])
        mistakes = {
            "added": (each + weight * rate, "adds the rate. A bound gets lower as the rate rises."),
            "pixels": (each / pixels - weight * rate, "averages log p(x | z) over the pixels and does not the rate."),
            "draws": (told.sum(0) - weight * rate, "sums over the draws where their mean is asked for."),
            "beta": (each - rate, "does not change with beta."),
            "both": (weight * (each - rate), "has beta at log p(x | z), too. It is the weight of the rate alone."),
            "first": (told[0] - weight * rate, "uses the first draw alone. Each image has several."),
            "inside": (largest - weight * rate, "takes the mean inside the logarithm. The ELBO has it outside."),
            "mixed": (each - weight * rate.mean(), "charges every image the mean rate. Each image has its own."),
            "weighted": (weight * each - rate, "has beta at log p(x | z). It is the weight of the rate."),
        }
        if shape[1] > 1 and close(got[:-1], want[:-1]) and not close(got[-1:], want[-1:], atol=1e-2):
            words = "is wrong for an image with logits in the hundreds: there the sigmoid is 0 or 1 to the last digit, "
            raise Wrong("saturated", f"{name} {words}and its logarithm is lost. Which function of torch takes logits?")
        same(got, want, name=name, rtol=1e-4, atol=1e-3, mistakes=mistakes)
        for what, gradient in zip(("logits", "rate"), _grad(got.sum(), (logits, rate), allow_unused=True), strict=True):
            reached = gradient is not None or (what == "rate" and weight == 0)
            require(reached, "detached", f"no gradient of {name} reaches the {what}.")
    return f"{name}: right for {shape[0]} draws of {shape[1]} images, β = {weight:g}"


def check_weighted_bound(
    answer: Callable, *, shape: tuple = (3, 5, 1, 4, 4), code: int = 2, large: float = 1.0, seed: int = 0
) -> str:
    """Checks the importance-weighted bound, answer(logits, x, z=, mu=, logvar=) -> (B,).

    answer     : function    log of the mean over draws of p(x | z) p(z) / q(z | x)
    shape      : (K, B, C, H, W)  of the logits; x has the last four
    code       : int         Z, the code numbers: z is (K, B, Z), mu and logvar are (B, Z)
    large      : float       how many times larger the last image's logits are than the others'
    seed       : int         number of the made-up logits, images and codes
    returns    : str         what was verified
    raises     : Wrong       if it is not right yet, with a hint
    source     : torch.distributions and logsumexp in float64 as the oracle; this course
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    name, (draws, images) = "weighted_bound", shape[:2]
    for dice, where in _places(seed):
        logits, x = _made_up(shape, dice, where)
        logits[:, -1] *= large
        mu, logvar = _randn(2, images, code, generator=dice, device=where)
        z = mu + (0.5 * logvar).exp() * _randn(draws, images, code, generator=dice, device=where)

        def of_codes(logits, x, z, mu, logvar):  # call watches what is given by position
            return answer(logits, x, z=z, mu=mu, logvar=logvar)

        got = call(of_codes, logits, x, z, mu, logvar, name=name)
        tensor(got, name=name, shape=(images,), like=logits)
        q, prior = _normal(mu, logvar), _normal(0 * mu, 0 * mu)
        pixels = plain(_Bernoulli(logits=logits.to(_double)).log_prob(x.to(_double)).sum((2, 3, 4)))
        p_z, q_z = plain(prior.log_prob(z.to(_double)).sum(2)), plain(q.log_prob(z.to(_double)).sum(2))
        weights, count = pixels + p_z - q_z, _log(draws)
        want = _log_sum_exp(weights) - count
        flat = q_z + plain(logvar).sum(1) / 2
        closed = _log_sum_exp(pixels) - count - plain(_divergence(q, prior).sum(1))
        level = 0.5 * code * _log(2 * _pi)  # what log √(2π) adds to a density of all code numbers
        words = "has √(2π) in one of the two densities only. Either both have it, or neither: there it cancels."
        mistakes = {
            "outside": (weights.mean(0), "is the mean of the logarithms. Here the mean is inside the logarithm."),
            "sum": (want + count, "sums the weights of the draws where their mean is asked for."),
            "prior": (_log_sum_exp(pixels - q_z) - count, "leaves p(z) out of the weights."),
            "proposal": (_log_sum_exp(pixels + p_z) - count, "leaves q(z | x) out of the weights."),
            "density": (_log_sum_exp(pixels + p_z - flat) - count, "has a log q without its −½ Σ logvar."),
            "swapped": (_log_sum_exp(pixels + q_z - p_z) - count, "has p(z) and q(z | x) in each other's place."),
            "constant-in-q": (want + level, words),
            "constant-in-p": (want - level, words),
            "averaged": (
                _log_sum_exp(pixels + (p_z - q_z) / code) - count,
                "averages log p(z) and log q(z | x) over the code numbers where their sum is asked for.",
            ),
            "closed": (closed, "uses the rate in closed form. Each draw has its own log q − log p."),
        }
        words = f"{name} is infinite or nan: exp(−600) is 0 in float32. Which function of torch takes the logarithm of "
        words += "a sum of exponentials, for each image by itself, without leaving the logarithms?"
        require(bool(_finite(plain(got)).all()), "underflow", words)
        same(got, want, name=name, rtol=1e-3, atol=1e-3, mistakes=mistakes)
    return f"{name}: right for {draws} draws of {images} images of {x[0].numel()} pixels"


# --- Parts ------------------------------------------------------------------------------------------------------


def _places(seed: int) -> Iterator[tuple[torch.Generator, str]]:
    """A generator of made-up data for each device that is here, and the device."""
    for where in ("cpu", "cuda")[: 1 + _here()]:
        yield _Generator(where).manual_seed(seed), where


def _normal(mu: Tensor, logvar: Tensor) -> Normal:
    mu, logvar = mu.detach().to(_double), logvar.detach().to(_double)
    return _Normal(mu, (0.5 * logvar).exp())


def _made_up(shape: tuple, dice: torch.Generator, where: str) -> tuple[Tensor, Tensor]:
    """Logits (K, B, C, H, W) and images of zeros and ones (B, C, H, W)."""
    x = (_rand(shape[1:], generator=dice, device=where) < 0.4).float()
    return 2 * _randn(shape, generator=dice, device=where), x
