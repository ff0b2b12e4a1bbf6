# Wrong answers to assignment 05; tests/test_assignments.py runs each and names the hint that it has to meet.
# ruff: noqa: F821, F811
# %% q1 reversed
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    squares = (prior_logvar - logvar).exp() + (mu - prior_mu).square() / logvar.exp()
    return 0.5 * (logvar - prior_logvar + squares - 1).sum(1)


# %% q1 prior
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)


# %% q1 deviation
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    sigma, s = logvar.exp(), prior_logvar.exp()
    return ((s / sigma).log() + (sigma**2 + (mu - prior_mu) ** 2) / (2 * s**2) - 0.5).sum(1)


# %% q1 averaged
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    squares = (logvar - prior_logvar).exp() + (mu - prior_mu).square() / prior_logvar.exp()
    return 0.5 * (prior_logvar - logvar + squares - 1).mean(1)


# %% q1 constant
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    squares = (logvar - prior_logvar).exp() + (mu - prior_mu).square() / prior_logvar.exp()
    return 0.5 * (prior_logvar - logvar + squares).sum(1)


# %% q1 shape
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    squares = (logvar - prior_logvar).exp() + (mu - prior_mu).square() / prior_logvar.exp()
    return 0.5 * (prior_logvar - logvar + squares - 1).sum(1).mean()


# %% q1 shape hidden
# A batch of one loses its axis.
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    squares = (logvar - prior_logvar).exp() + (mu - prior_mu).square() / prior_logvar.exp()
    return 0.5 * (prior_logvar - logvar + squares - 1).sum(1).squeeze()


# %% q1 dtype hidden
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    total = torch.zeros(len(mu))
    for j in range(mu.shape[1]):
        squares = (logvar[:, j] - prior_logvar[j]).exp() + (mu[:, j] - prior_mu[j]) ** 2 / prior_logvar[j].exp()
        total = total + (0.5 * (prior_logvar[j] - logvar[:, j] + squares - 1)).float()
    return total


# %% q1 square
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    sigma, s = (logvar / 2).exp(), (prior_logvar / 2).exp()
    return ((s / sigma).log() + (sigma**2 + (mu - prior_mu) ** 2) / (2 * s) - 0.5).sum(1)


# %% q1 logarithm
def divergence(mu, logvar, *, prior_mu, prior_logvar):
    sigma, s = (logvar / 2).exp(), (prior_logvar / 2).exp()
    return ((sigma / s).log() + (sigma**2 + (mu - prior_mu) ** 2) / (2 * s**2) - 0.5).sum(1)


# %% q2 detached
def draws(mu, logvar, *, count, dice):
    like = {"dtype": mu.dtype, "device": mu.device}
    return (mu + (0.5 * logvar).exp() * torch.randn(count, *mu.shape, generator=dice, **like)).detach()


# %% q2 detached
# The width alone is cut off.
def draws(mu, logvar, *, count, dice):
    like = {"dtype": mu.dtype, "device": mu.device}
    return mu + (0.5 * logvar.detach()).exp() * torch.randn(count, *mu.shape, generator=dice, **like)


# %% q2 deviation
def draws(mu, logvar, *, count, dice):
    like = {"dtype": mu.dtype, "device": mu.device}
    return mu + logvar.exp() * torch.randn(count, *mu.shape, generator=dice, **like)


# %% q2 dice
def draws(mu, logvar, *, count, dice):
    return mu + (0.5 * logvar).exp() * torch.randn(count, *mu.shape, dtype=mu.dtype, device=mu.device)


# %% q2 shared
def draws(mu, logvar, *, count, dice):
    like = {"dtype": mu.dtype, "device": mu.device}
    return mu + (0.5 * logvar).exp() * torch.randn(count, 1, mu.shape[1], generator=dice, **like)


# %% q2 noise
def draws(mu, logvar, *, count, dice):
    like = {"dtype": mu.dtype, "device": mu.device}
    return mu + (0.5 * logvar).exp() * (2 * torch.rand(count, *mu.shape, generator=dice, **like) - 1)


# %% q2 reseeded
def draws(mu, logvar, *, count, dice):
    dice.manual_seed(0)
    like = {"dtype": mu.dtype, "device": mu.device}
    return mu + (0.5 * logvar).exp() * torch.randn(count, *mu.shape, generator=dice, **like)


# %% q2 shape hidden
def draws(mu, logvar, *, count, dice):
    like = {"dtype": mu.dtype, "device": mu.device}
    return (mu + (0.5 * logvar).exp() * torch.randn(count, *mu.shape, generator=dice, **like)).squeeze()


# %% q2 dtype hidden
def draws(mu, logvar, *, count, dice):
    noise = torch.randn(count, *mu.shape, generator=dice, device=mu.device)
    return mu.float() + (0.5 * logvar.float()).exp() * noise


# %% q2 raw
def draws(mu, logvar, *, count, dice):
    like = {"dtype": mu.dtype, "device": mu.device}
    return mu + logvar * torch.randn(count, *mu.shape, generator=dice, **like)


# %% q2 shared
# Antithetic pairs: a draw and its mirror image are not independent.
def draws(mu, logvar, *, count, dice):
    half = torch.randn((count + 1) // 2, *mu.shape, generator=dice, dtype=mu.dtype, device=mu.device)
    return mu + (0.5 * logvar).exp() * torch.cat([half, -half])[:count]


# %% q2 shared
# The second half of the images gets the noise of the first.
def draws(mu, logvar, *, count, dice):
    images = (len(mu) + 1) // 2
    noise = torch.randn(count, images, mu.shape[1], generator=dice, dtype=mu.dtype, device=mu.device)
    return mu + (0.5 * logvar).exp() * torch.cat([noise, noise], 1)[:, : len(mu)]


# %% q3 sign
# What a loss would be.
def elbo(logits, x, *, rate, beta=1.0):
    told = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return told.flatten(2).sum(2).mean(0) + beta * rate


# %% q3 added
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return told.flatten(2).sum(2).mean(0) + beta * rate


# %% q3 pixels
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return told.flatten(2).mean(2).mean(0) - beta * rate


# %% q3 draws
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return told.flatten(2).sum(2).sum(0) - beta * rate


# %% q3 beta
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return told.flatten(2).sum(2).mean(0) - rate


# %% q3 weighted
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return beta * told.flatten(2).sum(2).mean(0) - rate


# %% q3 shape
def elbo(logits, x, *, rate, beta=1.0):
    return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="sum") - beta * rate.sum()


# %% q3 fails
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return told.flatten(2).sum(2).mean(0) - beta * rate


# %% q3 saturated hidden
def elbo(logits, x, *, rate, beta=1.0):
    p = logits.sigmoid()
    told = x * p.log() + (1 - x) * (1 - p).log()
    return told.flatten(2).sum(2).mean(0) - beta * rate


# %% q3 saturated hidden
# This one cuts off at −100 without a word.
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy(logits.sigmoid(), x.expand_as(logits), reduction="none")
    return told.flatten(2).sum(2).mean(0) - beta * rate


# %% q3 value hidden
# With one draw, squeeze takes the axis of the draws away, and the mean is over images.
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return told.flatten(2).sum(2).squeeze().mean(0) - beta * rate


# %% q3 first
def elbo(logits, x, *, rate, beta=1.0):
    return -F.binary_cross_entropy_with_logits(logits[0], x, reduction="none").flatten(1).sum(1) - beta * rate


# %% q3 mixed
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return told.flatten(2).sum(2).mean(0) - beta * rate.mean()


# %% q3 inside
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    return told.logsumexp(0) - torch.tensor(float(len(logits))).log() - beta * rate


# %% q3 both
def elbo(logits, x, *, rate, beta=1.0):
    told = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    return beta * (told.flatten(2).sum(2).mean(0) - rate)


# %% q4 outside
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    proposal = -0.5 * ((z - mu).square() / logvar.exp() + logvar).sum(2)
    return (pixels - 0.5 * z.square().sum(2) - proposal).mean(0)


# %% q4 sum
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    proposal = -0.5 * ((z - mu).square() / logvar.exp() + logvar).sum(2)
    return (pixels - 0.5 * z.square().sum(2) - proposal).logsumexp(0)


# %% q4 prior
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    q = -0.5 * ((z - mu).square() / logvar.exp() + logvar + torch.tensor(2 * torch.pi).log()).sum(2)
    return (pixels - q).logsumexp(0) - torch.tensor(float(len(z))).log()


# %% q4 proposal
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    p = -0.5 * (z.square() + torch.tensor(2 * torch.pi).log()).sum(2)
    return (pixels + p).logsumexp(0) - torch.tensor(float(len(z))).log()


# %% q4 density
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    proposal = -0.5 * ((z - mu).square() / logvar.exp()).sum(2)
    return (pixels - 0.5 * z.square().sum(2) - proposal).logsumexp(0) - torch.tensor(float(len(z))).log()


# %% q4 closed
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)
    return pixels.logsumexp(0) - torch.tensor(float(len(z))).log() - rate


# %% q4 underflow hidden
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    proposal = -0.5 * ((z - mu).square() / logvar.exp() + logvar).sum(2)
    return (pixels - 0.5 * z.square().sum(2) - proposal).exp().mean(0).log()


# %% q4 underflow hidden
# One largest weight for the whole batch.
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    proposal = -0.5 * ((z - mu).square() / logvar.exp() + logvar).sum(2)
    weights = pixels - 0.5 * z.square().sum(2) - proposal
    return (weights - weights.max()).exp().mean(0).log() + weights.max()


# %% q4 swapped
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    proposal = -0.5 * ((z - mu).square() / logvar.exp() + logvar).sum(2)
    return (pixels + proposal + 0.5 * z.square().sum(2)).logsumexp(0) - torch.tensor(float(len(z))).log()


# %% q4 constant-in-q
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    q = -0.5 * ((z - mu).square() / logvar.exp() + logvar + torch.tensor(2 * torch.pi).log()).sum(2)
    return (pixels - 0.5 * z.square().sum(2) - q).logsumexp(0) - torch.tensor(float(len(z))).log()


# %% q4 constant-in-p
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    p = -0.5 * (z.square() + torch.tensor(2 * torch.pi).log()).sum(2)
    proposal = -0.5 * ((z - mu).square() / logvar.exp() + logvar).sum(2)
    return (pixels + p - proposal).logsumexp(0) - torch.tensor(float(len(z))).log()


# %% q4 averaged
def weighted_bound(logits, x, *, z, mu, logvar):
    pixels = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(2)
    proposal = -0.5 * ((z - mu).square() / logvar.exp() + logvar).mean(2)
    return (pixels - 0.5 * z.square().mean(2) - proposal).logsumexp(0) - torch.tensor(float(len(z))).log()


# %% q5 undrawn
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), v > 0.01


# %% q5 means
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), logvar.exp().mean(0)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), mu.var(0) > 0.01


# %% q5 centred
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    v = mu.var(0, correction=0) + logvar.exp().mean(0)
    return rate, 0.5 * (v - 1 - v.log()), mu.var(0) > 0.01


# %% q5 divisor
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0) + logvar.exp().mean(0)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), mu.var(0) > 0.01


# %% q5 batch
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.exp().mean(0)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), mu.var(0) > 0.01


# %% q5 shape
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(1)
    m, v = mu.mean(1), mu.var(1, correction=0) + logvar.exp().mean(1)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), mu.var(1) > 0.01


# %% q5 by-rate
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.exp().mean(0)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), rate > 0.01


# %% q5 second-moment
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.exp().mean(0)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), mu.square().mean(0) > 0.01


# %% q5 deviation hidden
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.exp().mean(0)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), mu.std(0) > 0.01


# %% q5 drawn
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.exp().mean(0)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), v > 0.01


# %% q5 geometric
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.mean(0).exp()
    return rate, 0.5 * (m.square() + v - 1 - v.log()), mu.var(0) > 0.01


# %% q5 difference
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.exp().mean(0)
    return rate, rate - 0.5 * (m.square() + v - 1 - v.log()), mu.var(0) > 0.01


# %% q5 random
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    z = mu + (logvar / 2).exp() * torch.randn_like(mu)
    m, v = z.mean(0), z.var(0, correction=0)
    return rate, 0.5 * (m.square() + v - 1 - v.log()), mu.var(0) > 0.01


# %% q5 order
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.exp().mean(0)
    return 0.5 * (m.square() + v - 1 - v.log()), rate, mu.var(0) > 0.01


# %% q5 order
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.exp().mean(0)
    return mu.var(0) > 0.01, rate, 0.5 * (m.square() + v - 1 - v.log())


# %% q5 type
def told(mu, logvar):
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).mean(0)
    m, v = mu.mean(0), mu.var(0, correction=0) + logvar.exp().mean(0)
    return torch.stack([rate, 0.5 * (m.square() + v - 1 - v.log()), (mu.var(0) > 0.01).float()])


# %% q6 missed-detached-logvar
# By the three numbers of the chapter.
def diagnose(run):
    rate = 0.5 * (run.mu.square() + run.logvar.exp() - 1 - run.logvar).sum(1).mean()
    if rate < 1:
        return "collapsed"
    if rate > 50:
        return "averaged KL"
    return "no noise" if run.drawn.mean() > 180 else "sound"


# %% q6 missed-no-noise
def diagnose(run):
    rate = 0.5 * (run.mu.square() + run.logvar.exp() - 1 - run.logvar).sum(1).mean()
    if rate < 10:
        return "collapsed"
    if rate > 50:
        return "averaged KL"
    return "detached logvar" if run.logvar.abs().mean() < 0.2 else "sound"


# %% q6 name
def diagnose(run):
    return "posterior collapse" if run.mu.var(0).max() < 0.01 else "sound"


# %% q6 type
def diagnose(run):
    return run.mu.var(0) > 0.01


# %% q6 missed-averaged-KL hidden
# A bound for eight code numbers.
def diagnose(run):
    rate = 0.5 * (run.mu.square() + run.logvar.exp() - 1 - run.logvar).sum(1).mean()
    if (run.mu.var(0) > 0.01).sum() == 0:
        return "collapsed"
    if run.logvar.mean(0).abs().max() < 0.2:
        return "no noise" if (run.drawn - run.mean).mean() > 30 else "detached logvar"
    return "averaged KL" if rate > 80 else "sound"


# %% q6 missed-sound hidden
# The silent numbers of a sound network hide the others in a median.
def diagnose(run):
    rate = 0.5 * (run.mu.square() + run.logvar.exp() - 1 - run.logvar)
    if rate.sum(1).mean() < 0.5:
        return "collapsed"
    if run.logvar.mean(0).abs().median() < 0.2:
        return "no noise" if (run.drawn - run.mean).mean() > 30 else "detached logvar"
    return "averaged KL" if rate.sum(1).mean() / rate.shape[1] > 5 else "sound"


# %% q6 missed-sound hidden
# A bound on the distortion, from the runs that are shown.
def diagnose(run):
    rate = 0.5 * (run.mu.square() + run.logvar.exp() - 1 - run.logvar).mean(0).sum()
    if rate < 1:
        return "collapsed"
    if rate > 50:
        return "averaged KL"
    return "no noise" if run.drawn.mean() > 180 else "sound" if run.drawn.mean() < 145 else "detached logvar"


# %% q7 silent
# β = 1: going on as before.
def charge(distortion, each, *, progress):
    return (distortion + each.sum(1)).mean()


# %% q7 silent
# A warm-up that is over before the code has spoken.
def charge(distortion, each, *, progress):
    return (distortion + min(1.0, 5 * progress) * each.sum(1)).mean()


# %% q7 dear
# The code gets its nats for a tenth of their price, to the end.
def charge(distortion, each, *, progress):
    return (distortion + 0.1 * each.sum(1)).mean()


# %% q7 dear
# Free bits in plenty.
def charge(distortion, each, *, progress):
    return distortion.mean() + each.mean(0).clamp(min=2.0).sum()


# %% q7 dear
# The chapter's line, with β = 1: every number says its half nat, whether it is needed or not.
def charge(distortion, each, *, progress):
    return distortion.mean() + each.mean(0).clamp(min=0.5).sum()


# %% q7 shape
def charge(distortion, each, *, progress):
    return distortion + progress * each.sum(1)


# %% q7 pixels
def charge(distortion, each, *, progress):
    return (distortion / 784 + progress * each.sum(1)).mean()


# %% q7 batch
def charge(distortion, each, *, progress):
    return (distortion + progress * each.sum(1)).sum()


# %% q7 fails hidden
# Prices for 16 code numbers.
def charge(distortion, each, *, progress):
    return (distortion + each @ torch.full((16,), progress)).mean()


# %% q7 silent hidden
# Its own count of steps goes on from one training to the next.
calls = []


def charge(distortion, each, *, progress):
    calls.append(1)
    return (distortion + min(1.0, len(calls) / 150) * each.sum(1)).mean()
