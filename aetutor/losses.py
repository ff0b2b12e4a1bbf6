"""Losses: one number per image, summed over what belongs to the image; the mean over images is taken by `train`."""

import torch
from torch import Tensor
from torch.nn import functional as F


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Σ (x − x̂)², one number per image.

    x_hat, x   : (B, C, H, W)  reconstruction and image, intensity in [0, 1]
    returns    : (B,)          squared intensity per image, summed over C, H, W; divide by C·H·W to print it per pixel
    raises     : TypeError     if one is no floating tensor: the difference of two uint8 wraps round
    raises     : ValueError    if the two shapes differ
    source     : up to a factor and a constant, −log of a Gaussian with fixed variance: Bishop 2006, section 1.2.5
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    _check_pair("squared_error", x_hat=x_hat, x=x)
    # One pass over the pixels where (x_hat - x) ** 2 takes several, forwards and backwards.
    return F.mse_loss(x_hat, x, reduction="none").flatten(1).sum(1)


def binary_cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    """−Σ [x log x̂ + (1 − x) log(1 − x̂)] with x̂ = sigmoid(logits), one number per image.

    logits     : (B, C, H, W)  decoder output before the sigmoid
    x          : (B, C, H, W)  image, intensity in [0, 1]
    returns    : (B,)          nats per image, summed over C, H and W; on grey pixels it cannot reach zero
    raises     : TypeError     if one is no floating tensor
    raises     : ValueError    if the two shapes differ
    source     : −log of a Bernoulli: Kingma & Welling 2014, arXiv:1312.6114, appendix C.1
    taught in  : notebooks/01_theory.ipynb
    """
    _check_pair("binary_cross_entropy", logits=logits, x=x)
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL( N(mu, diag exp logvar) ‖ N(0, I) ), one number per image.

    mu, logvar : (B, Z)      encoder output; logvar is the natural log of the variance
    returns    : (B,)        nats per image, summed over Z; zero only at mu = logvar = 0
    raises     : TypeError   if one is no floating tensor
    raises     : ValueError  if the two shapes differ
    source     : Kingma & Welling 2014, arXiv:1312.6114, appendix B
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    _check_pair("gaussian_kl", mu=mu, logvar=logvar)
    # In bfloat16, the differences below would have hardly a digit.
    mu, logvar = _wide(mu), _wide(logvar)
    # expm1 keeps the digits that exp(logvar) − 1 loses near logvar = 0.
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar).flatten(1).sum(1)


def negative_elbo(model, x: Tensor, *, beta: float = 1.0) -> Tensor:
    """−ELBO: cross-entropy of an image decoded from one sampled code + β · KL(q(z | x) ‖ N(0, I)), one per image.

    An objective for train.fit; partial(negative_elbo, beta=4) makes another β of it.

    model      : with .posterior(x) -> mu, logvar (B, Z), and .logits(z) -> (B, C, H, W)
    x          : (B, C, H, W)  image, intensity in [0, 1]; a bound on −log p(x) where all pixels are 0 or 1
    beta       : float         weight of the KL; 1 is the ELBO
    returns    : (B,)          nats per image, summed over pixels and code numbers; one draw of z for each image
    raises     : TypeError     if x is no floating tensor
    raises     : ValueError    if beta is negative or not finite
    source     : Kingma & Welling 2014, arXiv:1312.6114, equation 10; β: Higgins et al. 2017, ICLR
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    if not 0 <= beta < float("inf"):
        raise ValueError(f"negative_elbo: beta is {beta}; expected a finite number, 0 or more")
    _check_floating("negative_elbo", x=x)
    mu, logvar = model.posterior(x)
    z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)  # reparameterised: gradients flow through mu and logvar
    return binary_cross_entropy(model.logits(z), x) + beta * gaussian_kl(mu, logvar)


def tell_apart(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss, −log D(x) − log(1 − D(G(z))), one number per pair of a real and a made image.

    real, fake : (B,)        the discriminator's logits for real images and for made ones
    returns    : (B,)        nats; 2 log 2 where it has no idea
    raises     : TypeError   if one is no floating tensor
    raises     : ValueError  if the two shapes differ
    source     : Goodfellow et al. 2014, arXiv:1406.2661, equation 1
    taught in  : notebooks/06_adversarial.ipynb
    """
    _check_pair("tell_apart", real=real, fake=fake)
    return F.softplus(-_wide(real)) + F.softplus(_wide(fake))


def fool(fake: Tensor) -> Tensor:
    """The generator's non-saturating loss, −log D(G(z)), one number per made image.

    fake       : (B,)        the discriminator's logits for made images
    returns    : (B,)        nats; steep where the discriminator is not fooled, unlike log(1 − D(G(z)))
    raises     : TypeError   if fake is no floating tensor
    source     : Goodfellow et al. 2014, arXiv:1406.2661, section 3
    taught in  : notebooks/06_adversarial.ipynb
    """
    _check_floating("fool", fake=fake)
    return F.softplus(-_wide(fake))


# --- Parts, which measure uses too --------------------------------------------------------------------------------


def _wide(value: Tensor) -> Tensor:
    # Training may hand over bfloat16, of three digits; sums over images want more.
    return value.to(torch.promote_types(value.dtype, torch.float32))


def _check_floating(name: str, **tensors: Tensor) -> None:
    for argument, value in tensors.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            found = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(
                f"{name}: expected {argument} to be a floating tensor, got {found}; runtime.to_unit(pixels) makes it"
                " float from uint8"
            )


def _check_pair(name: str, **tensors: Tensor) -> None:
    _check_floating(name, **tensors)
    # Broadcasting would give an answer for (B, 784) against (B, 1, 28, 28), and a wrong one.
    (first, a), (second, b) = tensors.items()
    if a.shape != b.shape:
        raise ValueError(
            f"{name}: {first} has shape {tuple(a.shape)} and {second} {tuple(b.shape)}; they must be equal"
        )
