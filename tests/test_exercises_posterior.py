"""The checks of assignment 05: right answers in other forms pass; each promised error comes with its name."""

from collections import namedtuple

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from aetutor import exercises
from aetutor.exercises import Wrong


def deviation(logvar):
    return torch.exp(logvar / 2)


def divergence(mu, logvar, *, prior_mu, prior_logvar):
    return kl_divergence(Normal(mu, deviation(logvar)), Normal(prior_mu, deviation(prior_logvar))).sum(-1)


def draws(mu, logvar, *, count, dice):
    noise = [torch.zeros_like(mu).normal_(generator=dice) for _ in range(count)]
    return torch.stack([torch.addcmul(mu, deviation(logvar), part) for part in noise])


def elbo(logits, x, *, rate, beta=1.0):
    return Bernoulli(logits=logits).log_prob(x[None]).sum((-1, -2, -3)).mean(0) - beta * rate


def weighted_bound(logits, x, *, z, mu, logvar):
    told = Bernoulli(logits=logits).log_prob(x[None]).sum((-1, -2, -3))
    odds = Normal(0.0, 1.0).log_prob(z) - Normal(mu, deviation(logvar)).log_prob(z)
    return torch.stack([*(told + odds.sum(-1))]).double().logsumexp(0).float() - torch.tensor(len(z)).log()


def told(mu, logvar):
    variance = logvar.exp()
    whole = ((mu**2 + variance).mean(0) - mu.mean(0) ** 2).sqrt()  # the second moment of the drawn codes
    standard = Normal(torch.zeros_like(whole), 1.0)
    waste = kl_divergence(Normal(mu.mean(0), whole), standard)
    return kl_divergence(Normal(mu, variance.sqrt()), standard).mean(0), waste, mu.std(0) > 0.1


def charge(distortion, each, *, progress):
    return sum(distortion) / len(distortion) + torch.relu(each.mean(0) - (1 - progress)).sum()


RIGHT = {
    exercises.check_divergence: divergence,
    exercises.check_draws: draws,
    exercises.check_elbo: elbo,
    exercises.check_weighted_bound: weighted_bound,
    exercises.check_told: told,
    exercises.check_charge: charge,
}


@pytest.mark.parametrize("check", RIGHT, ids=lambda check: check.__name__)
def test_another_right_answer_passes_with_a_sentence_and_a_blank_one_does_not(check):
    assert check(RIGHT[check]).startswith(RIGHT[check].__name__)

    def blank(*inputs, **settings):
        raise NotImplementedError

    with pytest.raises(Wrong) as caught:
        check(blank)
    assert caught.value.mistake == "unanswered"


@pytest.mark.parametrize("seed", range(5))
def test_a_right_answer_passes_for_any_data(seed):
    exercises.check_divergence(divergence, shape=(3, 8), seed=seed)
    exercises.check_elbo(elbo, beta=0.3, large=60.0, seed=seed)
    exercises.check_weighted_bound(weighted_bound, large=30.0, seed=seed)
    exercises.check_told(told, count=50 + seed, small=0.004)
    exercises.check_draws(draws, shape=(20 + seed, 30, 9))


def test_noise_of_another_width_is_found_by_its_moments():
    def wide(mu, logvar, *, count, dice):
        return mu + 1.1 * (draws(mu, logvar, count=count, dice=dice) - mu)

    with pytest.raises(Wrong, match=r"standard deviation 1\.1"):
        exercises.check_draws(wide)


def test_a_diagnosis_has_to_name_every_run_and_use_the_names():
    run = namedtuple("run", "rate")
    runs = [("sound", run(15.0)), ("collapsed", run(0.0))]
    assert exercises.check_diagnosis(lambda run: "sound" if run.rate else "collapsed", runs)
    for answer, mistake in ((lambda run: "sound", "missed-collapsed"), (lambda run: "fine", "name")):
        with pytest.raises(Wrong) as caught:
            exercises.check_diagnosis(answer, runs)
        assert caught.value.mistake == mistake
    with pytest.raises(Wrong, match="should return a name"):
        exercises.check_diagnosis(lambda run: 3, runs)


def test_an_answer_that_writes_into_a_run_spoils_it_for_no_other():
    run = namedtuple("run", "mu logvar")(torch.zeros(4, 2), torch.ones(4, 2))
    exercises.check_diagnosis(lambda run: run.logvar.exp_() is None or "sound", [("sound", run)])
    assert run.logvar.eq(1).all()


def test_what_is_told_may_come_as_a_list_but_has_to_be_three_tensors():
    exercises.check_told(lambda mu, logvar: list(told(mu, logvar)))
    for answer, words in ((lambda mu, logvar: mu, "a Tensor"), (lambda mu, logvar: told(mu, logvar)[:2], "2 of them")):
        with pytest.raises(Wrong, match=words):
            exercises.check_told(answer)


def test_mending_needs_a_rate_and_a_gain_and_finite_numbers():
    assert "6.0 nats of rate" in exercises.check_mended((106.0, 6.0), (111.0, 3.0))
    for got, mistake in (
        ((110.0, 3.0), "silent"),
        ((100.0, 30.0), "dear"),
        ((107.5, 6.0), "dear"),
        ((float("nan"), 6.0), "nan"),
    ):
        with pytest.raises(Wrong) as caught:
            exercises.check_mended(got, (111.0, 3.0))
        assert caught.value.mistake == mistake
    with pytest.raises(Wrong, match=r"only 0\.50 nats above"):
        exercises.check_mended((107.5, 6.0), (111.0, 3.0))
    with pytest.raises(Wrong, match=r"16\.00 nats below"):
        exercises.check_mended((100.0, 30.0), (111.0, 3.0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_an_answer_that_makes_its_noise_on_the_cpu_is_found_on_a_gpu():
    def stays(mu, logvar, *, count, dice):
        noise = torch.randn(count, *mu.shape, generator=dice if mu.device.type == "cpu" else None)
        return mu.cpu() + deviation(logvar).cpu() * noise

    with pytest.raises(Wrong) as caught:
        exercises.check_draws(stays)
    assert caught.value.mistake == "device"
