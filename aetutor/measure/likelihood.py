"""What a variational autoencoder says about how likely an image is."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from aetutor import losses, runtime
from aetutor.measure.pixels import _batch, _over, _whole


def log_likelihood(model, x: Tensor, *, samples: int = 1000, batch: int = 1000, seed: int = 0) -> Tensor:
    """Importance-weighted estimate of log p(x): log of the mean of p(x | z) p(z) / q(z | x) over z from q(z | x).

    On average it lies below log p(x) and rises with the number of samples; with samples=1 that average is the ELBO.

    model      : nn.Module     with .posterior(x) -> mu, logvar (B, Z), and .logits(z) -> (B, C, H, W)
    x          : (N, C, H, W)  float, every pixel 0 or 1: the likelihood is Bernoulli's
    samples    : int           codes drawn for each image
    batch      : int           codes decoded at once
    seed       : int           number of the random stream that they are drawn from
    returns    : (N,)          nats, on the CPU, float64
    raises     : TypeError     if the model has no .posterior or .logits, or x is no floating tensor
    raises     : ValueError    if there is no image, a pixel is neither 0 nor 1, or samples or batch is no whole number
                               of 1 or more; and whatever .posterior raises for images that the model does not take
    source     : Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, equation 8
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    for name in ("posterior", "logits"):
        if not callable(getattr(model, name, None)):
            raise TypeError(
                f"log_likelihood: the model is {type(model).__name__}, without .{name}; expected a"
                " VariationalAutoencoder"
            )
    losses._check_floating("log_likelihood", x=x)
    if not _whole(samples) or samples < 1:
        raise ValueError(f"log_likelihood: samples is {samples!r}; expected a whole number of 1 or more")
    batch = _batch("log_likelihood", batch)
    if not ((x == 0) | (x == 1)).all():
        wrong = x[(x != 0) & (x != 1)][0].item()
        raise ValueError(
            f"log_likelihood: a pixel of x is {wrong:.4g}; expected 0 or 1 alone, as torch.bernoulli(x) makes them"
        )

    def of_one(image: Tensor) -> Tensor:
        mu, logvar = model.posterior(image)  # (1, Z)
        weights = []
        for start in range(0, samples, batch):
            noise = torch.randn(min(batch, samples - start), mu.shape[1], device=mu.device, dtype=mu.dtype)  # (K, Z)
            z = mu + (0.5 * logvar).exp() * noise
            # Of the two normal densities, (2π)^(−Z/2) cancels.
            prior, proposal = -0.5 * z.square().sum(1), -0.5 * (noise.square() + logvar).sum(1)
            logits = model.logits(z)
            target = image.expand_as(logits)
            pixels = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).sum(1)
            weights.append(pixels + prior - proposal)  # (K,)
        # Apple's GPUs have no float64.
        return torch.cat(weights).cpu().double().logsumexp(0, keepdim=True) - math.log(samples)

    with runtime.seeded("log likelihood", seed):
        return _over("log_likelihood", model, x, 1, of_one, what="x", floats=True)
