"""Checks of assignment 05, the networks: what a code tells, what went wrong, and whether it is mended."""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from .answers import Wrong, attached, call, close, kind, number, plain, require, same, tensor
from .bounds import _normal, _places

_Normal, _copy, _divergence, _grad = Normal, deepcopy, kl_divergence, torch.autograd.grad
_tensor, _rand, _randn, _double, _bool = torch.tensor, torch.rand, torch.randn, torch.float64, torch.bool

FAULTS = ("sound", "collapsed", "averaged KL", "detached logvar", "no noise")


def check_told(answer: Callable, *, count: int = 300, small: float = 1e-6, dtype: torch.dtype = torch.float32) -> str:
    """Checks what each code number tells, answer(mu, logvar) -> rate, waste, active, each (Z,).

    answer     : function    mean rate of each code number, the part of it that a fitted prior would save, and whether
                             the mean changes from image to image (variance above 0.01)
    count      : int         images
    small      : float       variance of the means of one code number that tells nothing, below 0.01
    dtype      : torch.dtype of mu and logvar
    returns    : str         what was verified
    raises     : Wrong       if it is not right yet, with a hint
    source     : torch.distributions as the oracle; active units: Burda et al. 2016, arXiv:1509.00519
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    name = "told"
    for dice, where in _places(count):
        # Four numbers: a good one; a constant and narrow one; a mean that hardly moves; noise of another width alone.
        size = _row([2**0.5, 0, small**0.5, 0], where)
        mu = _randn(count, 4, generator=dice, device=where).to(_double) * size + _row([0, 3, 0.2, 0], where)
        logvar = _randn(count, 4, generator=dice, device=where).to(_double) / 5 + _row([-2.3, -5, 0, -3], where)
        mu, logvar = mu.to(dtype), logvar.to(dtype)
        got = call(answer, mu, logvar, name=name)
        words = f"{name} should return rate, waste, active, a tuple of three tensors, but it returns "
        require(isinstance(got, tuple | list), "type", f"{words}{kind(got)}.")
        require(len(got) == 3, "type", f"{words}{len(got)} of them.")
        words = "The tensor of truth values stands in another place: return rate, waste, active, in this order."
        require(all(getattr(v, "dtype", None) != _bool for v in got[:2]), "order", words)
        rate, waste = (tensor(v, name=n, shape=(4,), like=mu) for v, n in zip(got[:2], ("rate", "waste"), strict=True))
        active = tensor(got[2], name="active", shape=(4,), dtype=_bool)
        q, standard = _normal(mu, logvar), _normal(0 * mu[0], 0 * mu[0])
        each = _divergence(q, standard)
        middle, moved, width = q.mean.mean(0), q.mean.var(0, correction=0), q.variance.mean(0)

        def saved(v, m=middle, standard=standard):
            return _divergence(_Normal(m, v.sqrt(), validate_args=False), standard)  # inf where v is 0

        whole = saved(moved + width)
        mistakes = {"order": (whole, "is what waste should be. Return rate, waste, active, in this order.")}
        same(rate, each.mean(0), name="rate", rtol=1e-3, batch=count, mistakes=mistakes)
        words = "waste is another one when told is called again. Work it out from mu and logvar, without drawing."
        require(close(waste, call(answer, mu, logvar, name=name)[1]), "random", words)
        typical = moved + q.stddev.log().mean(0).exp() ** 2
        mistakes = {
            "undrawn": (saved(moved), "takes the variance of the means alone. A code is drawn: it has a width, too."),
            "means": (saved(width), "takes the mean width alone. The means differ, too."),
            "centred": (saved(moved + width, 0 * middle), "leaves out that the codes' mean is not 0."),
            "geometric": (saved(typical), "averages logvar, and the variance comes after. Whose mean is asked for?"),
            "difference": (each.mean(0) - whole, "is what is left of the rate without the waste."),
            "divisor": (saved(q.mean.var(0) + width), "divides by N − 1. All images are here: divide by N."),
        }
        same(waste, whole, name="waste", rtol=1e-4 if count < 1000 else 1e-3, mistakes=mistakes)
        found, second = tuple(map(bool, plain(active))), tuple(map(bool, plain(q.mean.square().mean(0)) > 0.01))
        known = {
            second: ("second-moment", "calls a number active whose mean is far from 0 and the same for all images."),
            tuple(map(bool, plain(each.mean(0)) > 0.01)): (
                "by-rate",
                "goes by the rate, it seems; nats can buy nothing.",
            ),
            tuple(map(bool, plain(moved + width) > 0.01)): (
                "drawn",
                "counts the width of the drawn codes, too. Look at the variance of mu alone.",
            ),
            tuple(map(bool, plain(moved) > 1e-4)): ("deviation", "holds the standard deviation against the bound."),
        }
        if found != (True, False, False, False):
            mistake, words = known.get(found, ("value", f"is {list(found)}; look at the variance of mu over images."))
            raise Wrong(mistake, f"active {words}")
    return f"{name}: rate, waste and activity right for {count} images"


def check_diagnosis(answer: Callable, runs: Sequence) -> str:
    """Checks a diagnosis, answer(run) -> one of five names.

    answer     : function    the name of what happened to a network, from measurements alone
    runs       : sequence    of (name, run) with the right name of each: "sound", "collapsed", "averaged KL",
                             "detached logvar" or "no noise"
    returns    : str         what was verified
    raises     : Wrong       if it is not right yet, with a hint
    source     : this course
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    name = "diagnose"
    hints = {
        "sound": "Other runs have another number of code numbers, some of them silent, and other distortions.",
        "collapsed": "What does the code of such a network still tell about the image?",
        "averaged KL": "What does the encoder do when nats cost next to nothing? Is your bound a total, or per number?",
        "detached logvar": "Which part of the objective does logvar hear of, and where does that part alone drive it?",
        "no noise": "What has such a decoder never seen in training? Which two of the distortions tell?",
    }
    for fault, run in runs:
        got = call(answer, _copy(run), name=name)  # a run serves many tests, and call does not look inside
        require(isinstance(got, str), "type", f"{name} should return a name, but it is {kind(got)}.")
        require(got in FAULTS, "name", f"{name} returns {got!r}. The names are {', '.join(FAULTS)}.")
        mistake = "missed-" + fault.replace(" ", "-")
        require(got == fault, mistake, f"{name} calls a run {got!r} that is {fault!r}. {hints[fault]}")
    return f"{name}: {len(runs)} {'run' if len(runs) == 1 else 'runs'} named rightly"


def check_charge(answer: Callable, *, code: int = 16) -> str:
    """Checks the form of an objective, answer(distortion, each, progress=) -> ().

    answer     : function    distortion (B,) and the KL of each code number (B, Z), in nats, to one number: what is
                             minimised; progress rises from 0 to 1 in the course of training
    code       : int         Z
    returns    : str         what was verified
    raises     : Wrong       if it is not right yet, with a hint
    source     : this course
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    name = "charge"
    for dice, where in _places(code):
        for progress in (0.0, 0.37, 0.99):
            distortion = (100 + 9 * _randn(8, generator=dice, device=where)).requires_grad_()
            each = _rand(8, code, generator=dice, device=where).requires_grad_()
            got = call(answer, distortion, each, name=name, progress=progress)
            attached(tensor(got, name=name, shape=(), like=distortion), name=name)
            (gradient,) = _grad(got, distortion, allow_unused=True)
            words = f"the distortion does not count in {name}. Without it no network learns to draw."
            require(gradient is not None, "distortion", words)
            label = f"the weight of each image's distortion in {name}"
            same(gradient, 0 * distortion + 1 / 8, name=label, batch=8, pixels=784)
    return f"{name}: one number, in which every image's distortion counts in full"


def check_mended(got: Sequence, than: Sequence, *, rate: float = 4.5, gain: float = 1.0) -> str:
    """Checks what an objective made of a collapsed network, beside what β = 1 made of it.

    got        : (2,)        distortion and rate after training with it, in nats per image
    than       : (2,)        the same after training on with β = 1
    rate       : float       the least rate, in nats
    gain       : float       the least that the ELBO has to be above that of `than`, in nats
    returns    : str         what was verified
    raises     : Wrong       if it is not right yet, with a hint
    source     : this course
    taught in  : notebooks/05_variational_autoencoder.ipynb
    """
    distortion, told = (number(value, name=name) for value, name in zip(got, ("distortion", "rate"), strict=True))
    better = sum(than) - distortion - told
    words = f"the rate is {told:.2f} nats, and {rate:g} are asked for. When in training is the code cheap, and is it "
    words += "long enough? (A count of your own goes on from one training to the next.)"
    require(told >= rate, "silent", words)
    place = f"only {better:.2f} nats above" if better >= 0 else f"{-better:.2f} nats below"
    words = f"the rate is {told:.1f} nats, but the ELBO is {place} that of β = 1, and {gain:g} above is asked for. "
    words += "What does a nat cost at the end of training? And where nats are free: may the code choose which of its "
    require(better >= gain, "dear", words + "numbers say them?")
    return f"mended: {told:.1f} nats of rate, and the ELBO is {better:.2f} nats above that of going on with β = 1"


# --- Parts ------------------------------------------------------------------------------------------------------


def _row(values: list, where: str) -> Tensor:
    return _tensor(values, dtype=_double, device=where)
