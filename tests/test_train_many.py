"""What `train.fit_many` promises: many networks at once, each trained as `fit` alone would have trained it.

How near is "as"? Both do the same sums in another order, so that a gradient differs in its last bits, by some 1e-7 of
its size. Adam divides each gradient by its own size, so where one is next to nothing, those bits steer, and over
hundreds of steps two runs drift apart, as two runs of `fit` on two machines do. Over the dozen steps taken here,
weights agree to 1e-7 or so; a wrong batch, rate or gradient shows at 1e-3 and above, as a test below makes sure.
"""

import copy
import math
import time
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Streamed, spots
from torch import nn
from torch.nn import functional as F

from aetutor import corruptions, losses, runtime, train
from aetutor.models import ConvAutoencoder, DenseAutoencoder
from aetutor.train import TrainingDiverged
from aetutor.train import many as batched

fit = partial(train.fit, device="cpu", progress=False, precision=torch.float32)
many = partial(train.fit_many, device="cpu", progress=False, precision=torch.float32)
SHORT = {"epochs": 3, "batch": 32}  # of 100 images: 12 steps, every fourth of them with 4 images

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(scope="module")
def small() -> SimpleNamespace:
    return SimpleNamespace(train=spots(100, seed=1), valid=spots(50, seed=2))


def dense(number=0, code=3, **how):
    with runtime.seeded("weights", number):
        return DenseAutoencoder(code, **{"hidden": (16,), "shape": (1, 8, 8)} | how)


def conv(number=0, code=3, **how):
    with runtime.seeded("weights", number):
        return ConvAutoencoder(code, **{"width": 2, "size": 8} | how)


def made(kind, number=0, *given):
    """Any network, with first weights of its own."""
    with runtime.seeded("weights", number):
        return kind(*given)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b) -> bool:
    a, b = (weights(m) if isinstance(m, nn.Module) else m for m in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def scores(history):
    """All that must repeat from run to run: everything but the seconds."""
    return [(row.epoch, row.train, row.valid) for row in history.rows]


def assert_alike(model, history, other, expected):
    """One of many has become what the same network has become by itself."""
    assert history.train == pytest.approx(expected.train, rel=1e-5, abs=1e-7)
    assert history.valid == pytest.approx(expected.valid, rel=1e-5, abs=1e-7)
    assert history.unit == expected.unit and history.stopped == expected.stopped
    mine, its = weights(model), weights(other)
    assert mine.keys() == its.keys()
    for name in its:
        torch.testing.assert_close(
            mine[name], its[name], rtol=1e-4, atol=1e-5, msg=lambda found, n=name: f"{n}: {found}"
        )


def agree(make, images, *, lr=4e-3, seed=0, objective=lambda: train.reconstruct, **how):
    """Trains what `make` makes together, and again one by one, and compares all there is; returns models, histories."""
    how = SHORT | how
    together, alone = make(), make()
    histories = many(together, images, lr=lr, seed=seed, objective=objective(), **how)
    assert len(histories) == len(together)
    rates = lr if isinstance(lr, list) else [lr] * len(alone)
    seeds = seed if isinstance(seed, list) else [seed] * len(alone)
    for model, history, other, its_lr, its_seed in zip(together, histories, alone, rates, seeds, strict=True):
        expected = fit(other, images, lr=its_lr, seed=its_seed, objective=objective(), **how)
        assert_alike(model, history, other, expected)
    return together, histories


class Walker(nn.Module):
    """One weight that an objective pushes along."""

    def __init__(self, start=0.0):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start))


def past(best):
    """Training always rewards a larger w; validation is least at w = best."""
    return lambda model, x: (-model.w if torch.is_grad_enabled() else (model.w - best) ** 2).expand(len(x))


class Half(DenseAutoencoder):
    """With a part that training does not reach."""

    def __init__(self):
        super().__init__(3, hidden=(16,), shape=(1, 8, 8))
        self.aside = nn.Linear(3, 3)


class Tied(nn.Module):
    """One matrix that encodes and, as a second name of the same parameter, encodes once more."""

    def __init__(self):
        super().__init__()
        self.into, self.bias = nn.Linear(64, 64, bias=False), nn.Parameter(torch.zeros(64))
        self.again = self.into

    def forward(self, x):
        return (self.again(self.into(x.flatten(1)).relu()) + self.bias).view_as(x)


class Bent(DenseAutoencoder):
    """A reader's own network: its last function is an attribute, not a layer."""

    def __init__(self, bend):
        super().__init__(3, hidden=(16,), shape=(1, 8, 8), output="none")
        self.bend = bend

    def forward(self, x):
        return self.bend(super().forward(x))


class Variational(nn.Module):
    """An encoder to means and log-variances of z, a decoder from a draw of it."""

    def __init__(self, code=3):
        super().__init__()
        self.code = code
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 2 * code))
        self.decoder = nn.Sequential(nn.Linear(code, 16), nn.ReLU(), nn.Linear(16, 64), nn.Unflatten(1, (1, 8, 8)))


def elbo(noise):
    def objective(model, x):
        mu, logvar = model.encoder(x).chunk(2, dim=1)
        z = mu + noise * torch.randn_like(mu) * (logvar / 2).exp()
        return losses.binary_cross_entropy(model.decoder(z), x) + losses.gaussian_kl(mu, logvar)

    return objective


def denoise(model, x):
    return (model(x + 0.3 * torch.randn_like(x)) - x).square().flatten(1).sum(1)


# --- As fit would ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "how"),
    [
        (lambda: [dense(i) for i in range(3)], {}),
        (lambda: [dense(i) for i in range(3)], {"seed": [0, 1, 2]}),
        (lambda: [dense(i) for i in range(3)], {"seed": [4, 4, 4]}),
        (lambda: [dense(0) for _ in range(3)], {"lr": [1e-3, 4e-3, 1e-2]}),
        (lambda: [dense(i) for i in range(3)], {"lr": [1e-5, 4e-3, 0.05]}),
        (lambda: [dense(i, code) for i, code in enumerate((2, 8, 3))], {}),
        (lambda: [dense(i, code, hidden=(16, 12, 8)) for i, code in enumerate((3, 2, 8))], {}),
        (lambda: [dense(i, code, hidden=()) for i, code in enumerate((2, 8, 3))], {}),
        (lambda: [dense(i, code, activation=nn.Sigmoid) for i, code in enumerate((2, 8, 3))], {}),
        (lambda: [dense(i, hidden=(width,)) for i, width in enumerate((16, 4, 8))], {}),
        (lambda: [conv(i, code) for i, code in enumerate((2, 8, 3))], {}),
        (lambda: [conv(i, code, hidden=12) for i, code in enumerate((8, 3, 2))], {}),
        (
            lambda: [dense(i, code) for i, code in enumerate((2, 8, 3, 8))],
            {"lr": [1e-3, 1e-2, 4e-3, 4e-3], "seed": [3, 1, 1, 2], "epochs": 4},
        ),
        (
            lambda: [conv(i, code) for i, code in enumerate((2, 3))],
            {"lr": [1e-2, 4e-3], "seed": [0, 1], "epochs": 2},
        ),
        (lambda: [dense(5)], {}),
        (lambda: [dense(5)], {"lr": [1e-2], "seed": [3]}),
    ],
    ids=[
        "first weights", "seeds", "equal seeds", "learning rates", "learning rates far apart", "codes",
        "codes between several hidden layers", "codes without hidden layers", "codes beside sigmoids", "hidden widths",
        "codes of conv", "codes and a hidden layer of conv", "all at once", "all at once, conv", "one model",
        "one model, in lists",
    ],
)  # fmt: skip
def test_each_of_many_is_what_fit_makes_of_it_alone(small, make, how):
    agree(make, small, **how)


def test_a_step_is_as_long_as_each_models_own_rate_from_the_shortest_to_the_longest(small):
    # Adam's first step is as long as the learning rate, which the schedule has at its peak in the first of one step.
    lrs = [1e-12, 1e-3, 0.6, 5.0, 1e30]
    models = [Walker() for _ in lrs]
    images = SimpleNamespace(train=small.train[:1], valid=small.valid[:1])
    many(models, images, epochs=1, lr=lrs, objective=lambda model, x: -model.w.expand(len(x)))
    assert [model.w.item() for model in models] == pytest.approx(lrs, rel=1e-5)


@pytest.mark.parametrize("seed", [0, [0, 1]], ids=["one order", "two orders"])
@pytest.mark.parametrize(
    ("count", "batch", "epochs"),
    [(96, 32, 3), (100, 32, 3), (20, 600, 12), (1, 128, 12), (7, 1, 2)],
    ids=["batches that divide", "batches that do not", "one batch larger than the set", "one image", "batches of one"],
)
def test_whatever_the_number_of_images(small, count, batch, epochs, seed):
    images = SimpleNamespace(train=small.train[:count], valid=small.valid[:count])
    agree(lambda: [dense(0, 2), dense(1, 3)], images, batch=batch, epochs=epochs, seed=seed)


@pytest.mark.parametrize("how", [{"seed": 1}, {"lr": 3e-3}, {"batch": 33}, {"epochs": 4}], ids=str)
def test_what_differs_in_one_argument_ends_elsewhere_so_that_the_comparisons_above_mean_something(small, how):
    one, other = dense(), dense()
    many([one], small, **SHORT)
    many([other], small, **SHORT | how)
    assert (one.encoder[1].weight - other.encoder[1].weight).abs().max() > 1e-3


def test_models_with_equal_weights_and_seeds_stay_equal_and_another_order_parts_them(small):
    together = [dense(0) for _ in range(3)]
    histories = many(together, small, seed=[1, 1, 2], **SHORT)
    assert scores(histories[0]) == scores(histories[1]) != scores(histories[2])
    assert same(together[0], together[1]) and not same(together[0], together[2])


def test_numpys_numbers_and_arrays_do_what_pythons_do(small):
    ours, theirs = ([dense(i) for i in range(2)] for _ in range(2))
    expected = many(ours, small, epochs=2, batch=16, lr=[1e-3, 4e-3], seed=[3, 4], folds=2)
    how = {"epochs": np.int64(2), "batch": np.int32(16), "folds": np.int64(2)}
    found = many(theirs, small, lr=np.array([1e-3, 4e-3]), seed=np.arange(3, 5), **how)
    assert [scores(h) for h in found] == [scores(h) for h in expected] and all(map(same, ours, theirs))
    (one,), (other,) = (
        many([dense()], small, lr=lr, seed=seed) for lr, seed in [(1e-3, 3), (np.float64(1e-3), np.int64(3))]
    )
    assert scores(one) == scores(other)


@pytest.mark.parametrize("kind", [tuple, nn.ModuleList])
def test_a_tuple_and_a_modulelist_are_lists_too(small, kind):
    together = kind([dense(0), dense(1)])
    assert len(many(together, small, epochs=1)) == 2 and not same(together[1], dense(1))


def test_models_that_were_trained_before_go_on_beside_fresh_ones(small):
    # `fit` leaves them in eval mode, which makes them no other kind of network.
    def make():
        trained = dense(0)
        fit(trained, small, **SHORT)
        return [trained, dense(1)]

    agree(make, small)


def test_networks_of_a_readers_own_with_tied_weights_and_with_parts_out_of_reach_are_trained_as_by_fit(small):
    agree(lambda: [made(Tied, i) for i in range(2)], small)
    found, _ = agree(lambda: [made(Half, i) for i in range(2)], small)
    for number, model in enumerate(found):
        assert torch.equal(model.aside.weight, made(Half, number).aside.weight)


def test_bfloat16_is_near_float32_and_not_the_same(small):
    full, low = dense(), dense()
    (expected,) = many([full], small, **SHORT)
    (found,) = many([low], small, precision=torch.bfloat16, **SHORT)
    assert found.train == pytest.approx(expected.train, rel=0.02) and found.train != expected.train
    assert next(low.parameters()).dtype == torch.float32


# --- Zeros that fill up ---------------------------------------------------------------------------------------


@pytest.fixture
def watched(monkeypatch):
    """All stacks that fit_many makes, each with its weights at the end of every epoch in `.seen`."""
    stacks = []

    class Watched(batched.Stack):
        def __init__(self, *given):
            super().__init__(*given)
            self.seen = []
            stacks.append(self)

        def keep(self, best, better):
            self.seen.append([weight.detach().clone() for weight in self.weights])
            super().keep(best, better)

    monkeypatch.setattr(batched, "Stack", Watched)
    return stacks


@pytest.mark.parametrize(
    "make",
    [
        lambda: [dense(i, code) for i, code in enumerate((2, 8, 3))],
        lambda: [dense(i, hidden=(width,)) for i, width in enumerate((16, 4, 8))],
        lambda: [conv(i, code, hidden=12) for i, code in enumerate((2, 8, 3))],
    ],
    ids=["codes", "hidden widths", "conv"],
)
def test_each_model_has_its_own_slice_of_the_stack_and_beside_it_zeros_stay_exactly_zero(small, watched, make):
    models, fresh = make(), make()
    many(models, small, lr=[4e-3, 0.05, 1e-2], **SHORT)
    (stack,) = watched
    assert len(stack.seen) == SHORT["epochs"]
    beside = 0
    for number, (model, first) in enumerate(zip(models, fresh, strict=True)):
        for place, (name, weight) in enumerate(model.named_parameters()):
            assert weight.shape == first.get_parameter(name).shape and not torch.equal(
                weight, first.get_parameter(name)
            )
            own = tuple(slice(side) for side in weight.shape)
            assert torch.equal(weight, stack.weights[place][number][own])
            for now in stack.seen:
                rest = now[place][number].clone()
                rest[own] = 0
                assert not rest.any(), f"models {number}, {name}"
                beside += rest.numel() - weight.numel()
    assert beside > 0
    assert models[0].code == fresh[0].code and models[0](small.valid[:2] / 255).shape == (2, 1, 8, 8)


def shifted(model, x):
    return (model.decode(model.encode(x) + 1) - x).square().flatten(1).sum(1)


@pytest.mark.parametrize(
    ("make", "objective"),
    [
        (lambda: [dense(i, hidden=(h,), activation=nn.Sigmoid) for i, h in enumerate((16, 4))], train.reconstruct),
        (lambda: [made(Variational, i, code) for i, code in enumerate((8, 2))], elbo(1.0)),
        (lambda: [dense(0, 8), dense(1, 2)], shifted),
    ],
    ids=["sigmoid of 0 is not 0", "halves of the code", "a code that is shifted"],
)  # fmt: skip
def test_where_training_would_move_the_zeros_the_models_are_refused(small, make, objective):
    models = make()
    with pytest.raises(ValueError, match=r"models 1 is smaller than the largest in \w+coder\.\d\.weight, .*at zero;"):
        many(models, small, objective=objective)
    assert all(map(same, models, make()))


def test_an_objective_that_counts_the_zeros_is_refused_and_with_a_sum_it_is_not(small):
    def sparse(fold):
        return lambda model, x: train.reconstruct(model, x) + 10 * fold(model.encode(x).abs(), 1)

    models = [dense(0, 8), dense(1, 2)]
    with pytest.raises(ValueError, match=r"models 1 is smaller .* its objective is \d.* not \d.*mean over the code\?"):
        many(models, small, objective=sparse(torch.mean))
    assert same(models[1], dense(1, 2)) and models[1].training
    agree(lambda: [dense(0, 8), dense(1, 2)], small, objective=lambda: sparse(torch.sum))
    agree(lambda: [dense(0, 8), dense(1, 8)], small, objective=lambda: sparse(torch.mean))  # nothing is filled up


def test_weights_that_are_not_finite_are_not_taken_for_zeros_that_move(small):
    def make():
        models = [dense(0), dense(1)]
        with torch.no_grad():
            models[1].encoder[1].bias.fill_(math.nan)
        return models

    with pytest.warns(UserWarning, match=r"models \[1\]"):
        fine, broken = many(make(), small, epochs=2)
    assert broken.stopped.startswith("diverged in epoch 1") and len(fine) == 2


# --- Objectives -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "objective",
    [
        lambda model, x: (model.decode(model.encode(x)) - x).square().flatten(1).sum(1),
        lambda model, x: losses.binary_cross_entropy(model.logits(model.encode(x)), x),
        lambda model, x: train.reconstruct(model, x) + 0.1 * sum(w.square().sum() for w in model.parameters()),
        lambda model, x: train.reconstruct(model, x) * (2 if model.training else 1),
    ],
    ids=["encode and decode", "logits", "the weights themselves", "the mode"],
)
def test_an_objective_may_use_all_that_a_model_has(small, objective):
    agree(lambda: [dense(0, 2), dense(1, 8)], small, objective=lambda: objective)
    agree(lambda: [conv(0), conv(1)], small, objective=lambda: objective)


def test_a_variational_autoencoder_is_trained_as_by_fit_and_with_its_noise_it_learns(small):
    agree(lambda: [made(Variational, i) for i in range(2)], small, objective=lambda: elbo(0.0))
    histories = many([made(Variational) for _ in range(2)], small, epochs=15, batch=16, lr=1e-2, objective=elbo(1.0))
    assert all(history.best.valid < 0.9 * history.valid[0] for history in histories)
    assert histories[0].train != histories[1].train


def frozen(number, *, train_too=()):
    model = dense(number)
    model.encoder.requires_grad_(False)
    for name in train_too:
        model.get_parameter(name).requires_grad_(True)
    return model


def test_frozen_weights_stay_as_they_are_and_each_model_uses_its_own(small):
    models, _ = agree(lambda: [frozen(0), frozen(1)], small)
    for number, model in enumerate(models):
        assert same(model.encoder, dense(number).encoder) and not same(model.decoder, dense(number).decoder)
        assert [w.requires_grad for w in model.parameters()] == [False] * 4 + [True] * 4
    agree(lambda: [frozen(0), frozen(1)], small, lr=[1e-2, 1e-3])


@pytest.mark.parametrize("swap", [False, True])
def test_a_weight_that_is_frozen_in_one_model_alone_is_refused(small, swap):
    models = [frozen(0, train_too=["encoder.1.bias"]), frozen(1)][:: -1 if swap else 1]
    before = [weights(model) for model in models]
    with pytest.raises(ValueError, match=r"models 1 is of another kind .*: encoder\.1\.bias\.requires_grad is"):
        many(models, small)
    assert all(map(same, models, before))


# --- Randomness -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, [0, 0]], ids=["one for all", "two that are equal"])
@pytest.mark.parametrize(
    "corrupt",
    [
        lambda x: x + 0.3 * torch.randn_like(x),
        partial(corruptions.gaussian, sigma=0.3),
        partial(corruptions.salt_and_pepper, share=0.3),
        partial(corruptions.masking, share=0.3),
        partial(corruptions.block, size=3),
        partial(F.dropout, p=0.3),
    ],
    ids=["randn_like", "gaussian", "salt and pepper", "masking", "block", "dropout"],
)
def test_each_model_meets_noise_of_its_own(small, corrupt, seed):
    def objective(model, x):
        return (model(corrupt(x)) - x).square().flatten(1).sum(1)

    one, other = many([dense(0), dense(0)], small, objective=objective, seed=seed, epochs=2)
    assert all(a != b for a, b in zip(one.train + one.valid, other.train + other.valid, strict=True))


def test_dropout_layers_drop_other_numbers_in_each_model_and_none_in_validation(small):
    models = [dense(0, activation=lambda: nn.Dropout(0.3)) for _ in range(2)]
    expected = [
        (model.eval()(small.valid / 255) - small.valid / 255).square().sum((1, 2, 3)).mean() for model in models
    ]
    one, other = many(models, small, lr=1e-12, epochs=1)  # nothing is learnt
    assert one.train[0] != other.train[0]
    assert one.valid == other.valid == pytest.approx([expected[0].item()], rel=1e-5)


@pytest.mark.parametrize("objective", [train.reconstruct, denoise])
def test_the_same_seeds_give_the_same_histories_and_weights_whatever_was_drawn_before(small, objective):
    found = []
    for _ in range(2):
        models = [dense(i, code) for i, code in enumerate((2, 8))]
        torch.rand(11)
        histories = many(models, small, objective=objective, seed=[3, 4], **SHORT)
        found.append(([scores(history) for history in histories], models))
    assert found[0][0] == found[1][0] and all(map(same, found[0][1], found[1][1]))


@pytest.mark.parametrize("objective", [train.reconstruct, denoise])
def test_another_seed_and_another_aetutor_seed_give_other_histories(small, objective, monkeypatch):
    monkeypatch.setenv("AETUTOR_SEED", "0")
    start, found = weights(dense()), []
    for course, seed in [("0", 0), ("0", 1), ("1", 0)]:
        monkeypatch.setenv("AETUTOR_SEED", course)
        models = [dense(), dense()]
        for model in models:
            model.load_state_dict(start)  # the same start: only the streams inside fit_many differ
        histories = many(models, small, objective=objective, seed=seed, **SHORT)
        found.append([scores(history) for history in histories])
    for number in range(2):
        assert found[0][number] != found[1][number] != found[2][number] != found[0][number]


@pytest.mark.parametrize("codes", [(3, 3), (2, 8)], ids=["one size", "two sizes"])
def test_torchs_global_generator_and_its_settings_are_left_alone(small, codes):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    many([dense(i, code) for i, code in enumerate(codes)], small, objective=denoise, epochs=1)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


def test_validation_draws_the_same_noise_every_epoch_so_that_epochs_compare(small):
    def objective(model, x):
        return 0 * train.reconstruct(model, x) + torch.randn(len(x))

    histories = many([dense(), dense()], small, objective=objective, epochs=3)
    for history in histories:
        assert history.valid[0] == history.valid[1] == history.valid[2] and len(set(history.train)) == 3
        assert history.best.epoch == 1  # the first of equal ones
    assert histories[0].valid != histories[1].valid


def test_the_seed_decides_what_the_objective_draws(small):
    def objective(model, x):
        return 0 * train.reconstruct(model, x) + torch.randn(len(x))

    first, again, other = (many([dense()], small, objective=objective, epochs=1, seed=seed)[0] for seed in (0, 0, 1))
    assert first.train == again.train != other.train and first.valid == again.valid != other.valid


# --- Folds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "folds", "models"), [(12, 3, 3), (12, 2, 5), (14, 3, 3), (5, 5, 5), (7, 2, 1)])
def test_each_image_is_held_out_once_and_the_rest_is_trained_on(count, folds, models):
    rest, held_out = batched._parts(count, 99, folds, models)
    assert rest.shape == (models, count - count // folds) and held_out.shape == (models, count // folds)
    for number in range(models):
        assert sorted(rest[number].tolist() + held_out[number].tolist()) == list(range(count))
        assert torch.equal(held_out[number], held_out[number % folds]) and torch.equal(
            rest[number], rest[number % folds]
        )
    if models >= folds:
        out = sorted(held_out[:folds].flatten().tolist())
        assert len(set(out)) == len(out) == folds * (count // folds)  # all of them, if it divides
        assert count % folds or out == list(range(count))


def test_folds_are_drawn_from_all_over_the_images_and_anew_for_another_aetutor_seed(monkeypatch):
    found = []
    for course in ("0", "0", "1"):
        monkeypatch.setenv("AETUTOR_SEED", course)
        found.append(batched._parts(1000, 1, 4, 4)[1])
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    for fold in found[0].float():
        assert 400 < fold.mean() < 600  # 500, give or take 18; of the first quarter 125


@pytest.mark.parametrize(("folds", "codes"), [(4, (3, 3, 3, 3)), (3, (2, 8, 3)), (2, (3, 3, 3))])
def test_with_folds_each_model_is_what_fit_makes_of_it_on_its_part(small, folds, codes):
    models = [dense(i, code) for i, code in enumerate(codes)]
    lrs, seeds = [1e-3 * (i + 1) for i in range(len(codes))], list(range(len(codes)))
    histories = many(models, small, folds=folds, lr=lrs, seed=seeds, **SHORT)
    rest, held_out = batched._parts(100, 50, folds, len(codes))
    for number, (model, history) in enumerate(zip(models, histories, strict=True)):
        other = dense(number, codes[number])
        images = SimpleNamespace(train=small.train[rest[number]], valid=small.train[held_out[number]])
        expected = fit(other, images, lr=lrs[number], seed=seeds[number], **SHORT)
        assert_alike(model, history, other, expected)


def test_one_seed_for_all_folds_gives_each_model_its_own_images_still(small):
    models = [dense(0) for _ in range(2)]
    histories = many(models, small, folds=2, seed=5, **SHORT)
    rest, held_out = batched._parts(100, 50, 2, 2)
    for number in range(2):
        other = dense(0)
        images = SimpleNamespace(train=small.train[rest[number]], valid=small.train[held_out[number]])
        assert_alike(models[number], histories[number], other, fit(other, images, seed=5, **SHORT))


def test_a_held_out_image_moves_no_weight_and_validation_images_count_for_nothing(small):
    def run(pixels, valid):
        models = [dense(i) for i in range(3)]
        found = many(models, SimpleNamespace(train=pixels, valid=valid), folds=3, epochs=1, batch=16)
        return models, found

    plain, before = run(small.train, small.valid)
    _, held_out = batched._parts(100, 50, 3, 3)
    for number in range(3):
        pixels = small.train.clone()
        pixels[held_out[number]] = 255 - pixels[held_out[number]]
        found, after = run(pixels, 255 - small.valid)
        assert [same(a, b) for a, b in zip(plain, found, strict=True)] == [i == number for i in range(3)]
        assert after[number].train == before[number].train and after[number].valid != before[number].valid


@pytest.mark.parametrize("folds", [0, 1, -2, 101, 2.0, True, "3"])
def test_folds_that_cannot_be_are_refused(small, folds):
    models = [dense(0), dense(1)]
    with pytest.raises(ValueError, match=rf"folds is {folds!r}; expected a whole number from 2 to 100"):
        many(models, small, folds=folds)
    assert same(models[0], dense(0))


# --- Which weights are kept, and ends that nobody wants -------------------------------------------------------


def test_each_model_keeps_the_weights_that_did_best_on_validation(small):
    images = SimpleNamespace(train=small.train[:10], valid=small.valid)
    starts = [0.0, 0.1, 0.2, -3.0]
    models, histories = agree(
        lambda: [Walker(start) for start in starts], images, epochs=20, batch=1, lr=5e-3, objective=lambda: past(0.25)
    )
    best = [history.best.epoch for history in histories]
    assert 20 > best[0] > best[1] > best[2] > 1 and best[3] == 20
    for model, history in zip(models[:3], histories, strict=False):
        assert history.best.valid == pytest.approx((model.w.item() - 0.25) ** 2, rel=1e-4, abs=1e-9)
        assert history.valid[-1] > 100 * history.best.valid


def test_models_end_in_eval_mode_on_the_device_without_gradients(small):
    models = [dense(i, code) for i, code in enumerate((2, 3))]
    many(models, small, epochs=1)
    for model in models:
        assert not any(module.training for module in model.modules())
        assert all(w.device.type == "cpu" and w.grad is None and w.requires_grad for w in model.parameters())


class Pressed:
    """An objective during which, after so many validations, the second training step is broken off."""

    def __init__(self, after, error=KeyboardInterrupt):
        self.after, self.error, self.validations, self.steps = after, error, 0, 0

    def __call__(self, model, x):
        if torch.is_grad_enabled():
            self.steps += len(x) > 8  # fit_many has a look with 8 images first
            if self.validations == self.after and self.steps % 4 == 2:
                raise self.error
        else:
            self.validations += 1
        return train.reconstruct(model, x)


def test_the_stop_button_hands_back_the_best_weights_and_the_histories_so_far(small):
    images = SimpleNamespace(train=small.train, valid=small.valid)
    models, histories = agree(
        lambda: [dense(0), dense(1)], images, epochs=9, batch=25, lr=[4e-3, 1e-2], objective=lambda: Pressed(3)
    )
    for number, (model, history) in enumerate(zip(models, histories, strict=True)):
        assert len(history) == 3 and history.stopped == "interrupted in epoch 4"
        assert not model.training and not same(model, dense(number))


def test_the_stop_button_in_the_first_epoch_leaves_the_models_as_they_were(small):
    models = [dense(0), dense(1)]
    histories = many(models, small, batch=25, objective=Pressed(0))
    for number, (model, history) in enumerate(zip(models, histories, strict=True)):
        assert (len(history), history.best, history.stopped) == (0, None, "interrupted in epoch 1")
        assert same(model, dense(number)) and not model.training


def test_an_error_in_the_objective_is_passed_on_with_torch_set_back_and_the_best_weights_loaded(small):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    models, expected = [dense(0), dense(1)], [dense(0), dense(1)]
    with pytest.raises(ZeroDivisionError):
        many(models, small, epochs=9, batch=25, objective=Pressed(2, ZeroDivisionError))
    many(expected, small, epochs=9, batch=25, objective=Pressed(2))
    assert all(map(same, models, expected)) and not any(model.training for model in models)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


@pytest.mark.parametrize("lr", [1e30, 3e38])
def test_one_model_that_diverges_says_so_and_the_others_are_as_if_it_had_not_been_there(small, lr):
    def make(number):
        return dense(number, output="none")

    models = [make(i) for i in range(3)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        histories = many(models, small, lr=[4e-3, lr, 1e-2], **SHORT)
    assert [str(w.message) for w in caught] == ["the loss of models [1] is no longer finite; see their histories"]
    assert caught[0].filename == __file__
    assert histories[1].stopped == "diverged in epoch 1; the best weights from before are kept"
    assert len(histories[1]) == 1 and same(models[1], make(1)) and not models[1].training
    for number, its_lr in [(0, 4e-3), (2, 1e-2)]:
        other = make(number)
        assert_alike(models[number], histories[number], other, fit(other, small, lr=its_lr, **SHORT))


def wall(model, x):
    """Less with every step towards 0.3, and not a number beyond it."""
    return (0.3 - model.w).sqrt().expand(len(x))


def test_a_model_that_diverges_late_keeps_its_best_weights_from_before(small):
    images = SimpleNamespace(train=small.train[:10], valid=small.valid)
    how = {"epochs": 12, "batch": 1, "objective": wall}
    models = [Walker(), Walker(), Walker(-0.1)]
    with pytest.warns(UserWarning, match=r"models \[1\]"):
        histories = many(models, images, lr=[1e-4, 5e-3, 2e-4], **how)
    alone = Walker()
    with pytest.raises(TrainingDiverged) as raised:
        fit(alone, images, lr=5e-3, **how)
    epoch = len(histories[1])
    assert (
        2 < epoch < 12 and histories[1].stopped == f"diverged in epoch {epoch}; the best weights from before are kept"
    )
    assert str(raised.value).startswith(f"epoch {epoch}, ")
    assert math.isnan(histories[1].valid[-1]) and histories[1].best.epoch == epoch - 1
    assert models[1].w.item() == pytest.approx(alone.w.item(), rel=1e-4) and 0.1 < alone.w.item() < 0.3
    for number, start, lr in [(0, 0.0, 1e-4), (2, -0.1, 2e-4)]:
        other = Walker(start)
        assert_alike(models[number], histories[number], other, fit(other, images, lr=lr, **how))


def test_an_epoch_with_an_infinite_training_loss_is_not_kept_though_its_validation_is_fine(small):
    def spoilt():
        seen = []

        def objective(model, x):
            if not torch.is_grad_enabled():
                seen.append(1)
            return train.reconstruct(model, x) + (math.inf if torch.is_grad_enabled() and len(seen) == 2 else 0.0)

        return objective

    models, alone = [dense(0), dense(1)], [dense(0), dense(1)]
    with pytest.warns(UserWarning, match=r"models \[0, 1\]"):
        histories = many(models, small, epochs=5, batch=32, objective=spoilt())
    for model, history, other in zip(models, histories, alone, strict=True):
        with pytest.raises(TrainingDiverged, match="epoch 3, "):
            fit(other, small, epochs=5, batch=32, objective=spoilt())
        assert history.valid[2] < history.valid[1] < history.valid[0] and history.train[2] == math.inf
        assert history.stopped.startswith("diverged in epoch 3")
        torch.testing.assert_close(weights(model), weights(other), rtol=1e-4, atol=1e-5)


def test_the_stop_button_does_not_hide_that_a_model_diverged(small):
    press = Pressed(2)

    def objective(model, x):
        return press(model, x)

    models = [dense(i, output="none") for i in range(2)]
    with pytest.warns(UserWarning, match=r"models \[0\]"):
        broken, stopped = many(models, small, epochs=9, batch=25, lr=[1e30, 4e-3], objective=objective)
    assert broken.stopped.startswith("diverged in epoch 1") and stopped.stopped == "interrupted in epoch 3"


def test_when_all_models_have_diverged_training_ends(small):
    validations = []

    def objective(model, x):
        if not torch.is_grad_enabled():
            validations.append(1)
        return train.reconstruct(model, x)

    models = [dense(i, output="none") for i in range(2)]
    with pytest.warns(UserWarning, match=r"models \[0, 1\]"):
        histories = many(models, small, epochs=9, lr=1e30, objective=objective)
    assert len(validations) == len(histories[0]) == len(histories[1]) == 1
    assert all(same(model, dense(i, output="none")) for i, model in enumerate(models))


# --- Refusals -------------------------------------------------------------------------------------------------


def conv_layer(**how):
    return nn.Sequential(nn.Conv2d(1, 1, **{"kernel_size": 3, "padding": 1} | how))


def sharing(*models):
    for model in models[1:]:
        model.encoder = models[0].encoder
    return list(models)


@pytest.mark.parametrize(
    ("models", "kind", "message"),
    [
        ([], TypeError, "models is list; expected a list of at least one network"),
        (dense(), TypeError, "models is DenseAutoencoder; expected a list"),
        ((dense() for _ in range(2)), TypeError, "models is generator; expected a list"),
        (DenseAutoencoder, TypeError, "models is type; expected a list"),
        (None, TypeError, "models is NoneType; expected a list"),
        ([DenseAutoencoder], TypeError, "model is the class DenseAutoencoder; expected a network"),
        ("ab", TypeError, "model is str; expected a network"),
        ([dense(), None], TypeError, "model is NoneType; expected a network"),
        ([nn.Flatten()], ValueError, "Flatten, has no weights to train"),
        ([dense().requires_grad_(False)], ValueError, "DenseAutoencoder, has no weights to train"),
        ([dense(), conv()], ValueError, "models 1 .* it is ConvAutoencoder, not DenseAutoencoder"),
        ([conv_layer(), conv_layer(stride=2)], ValueError, r"models 1 .* 0\.stride is \(2, 2\), not \(1, 1\)"),
        ([conv_layer(), conv_layer(bias=False)], ValueError, r"models 1 .* shape of 0\.bias is 'missing', not \(1,\)"),
        ([conv_layer(bias=False), conv_layer()], ValueError, r"models 0 .* shape of 0\.bias is 'missing', not \(1,\)"),
        ([dense(), dense(output="none")], ValueError, "models 1 .* output is 'none', not 'sigmoid'"),
        ([dense(), dense(activation=nn.Tanh)], ValueError, r"models 1 .* layer encoder\.2 is Tanh, not ReLU"),
        (
            [dense(activation=partial(nn.Dropout, p)) for p in (0.1, 0.2)],
            ValueError,
            r"models 1 .* encoder\.2\.p is 0\.2, not 0\.1",
        ),
        ([made(Bent, 0, torch.relu), made(Bent, 0, torch.tanh)], ValueError, "models 1 .* bend is tanh, not relu"),
        ([dense(), dense(shape=(1, 4, 16))], ValueError, r"models 1 .* shape is \(1, 4, 16\), not \(1, 8, 8\)"),
        ([dense(), dense(hidden=(16, 8))], ValueError, r"models 0 .* layer encoder\.4 is 'missing', not ReLU"),
        ([dense(hidden=(16, 4)), dense(hidden=(4, 16))], ValueError, r"models 1 .* \(16, 4\), not \(4, 16\)"),
        ([conv(width=2), conv(width=4)], ValueError, r"models 0 .*unflattened_size is \(4, 2, 2\), not \(8, 2, 2\)"),
        ([nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))], ValueError, r"models 0 has buffers \(Sequential\)"),
        ([dense().double()], ValueError, "models 0 has weights that are not float32"),
        ([dense(), dense().bfloat16()], ValueError, "models 1 has weights that are not float32"),
        ([dense(0)] * 2, ValueError, "models 1 has weights that a model before it has too"),
        (sharing(dense(0), dense(1)), ValueError, "models 1 has weights that a model before it has too"),
    ],
    ids=lambda value: None if isinstance(value, type) else value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_no_list_of_networks_of_one_kind_is_refused_and_left_as_it_was(small, models, kind, message):
    before = copy.deepcopy(models) if isinstance(models, list) else []
    with pytest.raises(kind, match=message):
        many(models, small)
    for model, was in zip(models if before else [], before, strict=True):
        if isinstance(model, nn.Module):
            assert same(model, was) and model.training and all(w.grad is None for w in model.parameters())


def test_functions_and_tensors_that_are_equal_make_no_other_kind(small):
    def make():
        models = [made(Bent, i, torch.sigmoid) for i in range(2)]
        for model in models:
            model.mean = torch.arange(3.0)
        return models

    agree(make, small)
    models = make()
    models[1].mean = torch.ones(3)
    with pytest.raises(ValueError, match=r"models 1 .* mean is tensor\(\[1\., 1\., 1\.\]\), not tensor"):
        many(models, small)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"lr": [1e-3]}, "lr holds 1 values for 2 models"),
        ({"lr": np.ones(3)}, "lr holds 3 values for 2 models"),
        ({"seed": [1, 2, 3]}, "seed holds 3 values for 2 models"),
        ({"seed": range(3)}, "seed holds 3 values for 2 models"),
        ({"lr": []}, "lr holds 0 values for 2 models"),
        ({"lr": [1e-3, 0]}, "lr is 0; expected a positive number"),
        ({"lr": [1e-3, math.nan]}, "lr is nan"),
        ({"lr": math.inf}, "lr is inf"),
        ({"lr": "ab"}, "lr is 'ab'"),
        ({"lr": None}, "lr is None"),
        ({"seed": [1, 1.5]}, "seed is 1.5; expected a whole number"),
        ({"seed": "ab"}, "seed is 'ab'"),
        ({"seed": True}, "seed is True"),
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"batch": 0}, "batch is 0"),
        ({"batch": True}, "batch is True"),
        ({"device": "gpu"}, "there is no device 'gpu' here"),
        ({"precision": torch.float16}, "precision is torch.float16"),
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_refused_by_name_before_anything_is_trained(small, how, message):
    models = [dense(0), dense(1)]
    with pytest.raises(ValueError, match=message):
        many(models, small, **how)
    assert same(models[0], dense(0)) and same(models[1], dense(1)) and models[0].training


def test_images_that_are_no_image_set_in_memory_are_refused(small):
    models = [dense(0), dense(1)]
    for images, message in [
        (small.train, "fit takes an ImageSet"),
        (SimpleNamespace(train=small.train.float(), valid=small.valid), r"images\.train: expected a uint8 tensor"),
        (
            SimpleNamespace(train=Streamed(small.train), valid=small.valid),
            "fit in memory .* not streamed files; use fit",
        ),
        (
            SimpleNamespace(train=small.train, valid=Streamed(small.valid)),
            "fit in memory .* not streamed files; use fit",
        ),
    ]:
        with pytest.raises(TypeError, match=message):
            many(models, images)
    with pytest.raises(ValueError, match="expected one shape"):
        many(models, SimpleNamespace(train=small.train, valid=small.valid[..., :4]))
    assert same(models[0], dense(0)) and models[0].training


@pytest.mark.parametrize(
    ("objective", "kind", "message"),
    [
        ("mse", TypeError, "objective is 'mse'; expected a function"),
        (lambda model, x: None, TypeError, "the objective returned NoneType"),
        (lambda model, x: train.reconstruct(model, x).mean(), ValueError, r"returned shape \(\) for 8 images"),
        (lambda model, x: (model(x) - x).square(), ValueError, r"returned shape \(8, 1, 8, 8\) for 8 images"),
        (lambda model, x: x.flatten(1).sum(1), ValueError, "does not depend on the model's weights"),
        (lambda model, x: train.reconstruct(model, x).detach(), ValueError, r"does not depend on .*\.detach\(\)"),
    ],
)
@pytest.mark.parametrize("codes", [(3, 3), (2, 8)], ids=["one size", "two sizes"])
def test_an_objective_that_gives_no_one_number_per_image_is_told_so(small, objective, kind, message, codes):
    models = [dense(i, code) for i, code in enumerate(codes)]
    with pytest.raises(kind, match=message):
        many(models, small, objective=objective)
    assert all(same(model, dense(i, code)) for i, (model, code) in enumerate(zip(models, codes, strict=True)))


# --- Bar ------------------------------------------------------------------------------------------------------


def test_there_is_one_bar_for_all_models_and_without_it_nothing_is_shown(small, capsys):
    def slow(model, x):
        time.sleep(0.25)  # the bar is drawn five times a second at most
        return train.reconstruct(model, x)

    models = [dense(0), dense(1)]
    many(models, small, epochs=1, objective=slow, progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and "1.0 of 1 epochs" in shown.err and shown.err.count("0.0 of 1 epochs") == 1
    many(models, small, epochs=1)
    assert capsys.readouterr() == ("", "")


# --- On a GPU -------------------------------------------------------------------------------------------------


@needs_cuda
def test_on_a_gpu_a_recorded_step_does_what_a_step_does(small):
    images = SimpleNamespace(train=spots(512, seed=1), valid=small.valid)
    how = {"epochs": 3, "batch": 32, "lr": [1e-3, 4e-3, 1e-2], "seed": [0, 1, 2], "device": "cuda"}
    found = []
    for record in (True, False):
        models = [dense(i, code) for i, code in enumerate((2, 8, 3))]
        found.append((models, many(models, images, record=record, **how)))
    for model, history, other, expected in zip(*found[0], *found[1], strict=True):
        assert history.train == pytest.approx(expected.train, rel=1e-3)
        assert history.valid == pytest.approx(expected.valid, rel=1e-3)
        assert {w.device.type for w in model.parameters()} == {"cuda"}
        for mine, its in zip(model.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-2, atol=1e-3)


@needs_cuda
def test_models_that_lie_on_several_devices_are_trained_on_one(small):
    models = [dense(0), dense(1).cuda(), dense(2)]
    many(models, small, epochs=1)
    assert {w.device.type for model in models for w in model.parameters()} == {"cpu"}


@needs_cuda
def test_on_a_gpu_64_small_models_take_at_most_6_times_as_long_as_one():
    images = SimpleNamespace(train=spots(20_000, side=28, seed=1), valid=spots(1000, side=28, seed=2))

    def seconds(count):
        best = math.inf
        for _ in range(3):
            models = [dense(i, 8, hidden=(64,), shape=(1, 28, 28)) for i in range(count)]
            torch.cuda.synchronize()
            start = time.perf_counter()
            many(models, images, epochs=3, device="cuda")
            torch.cuda.synchronize()
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(64) <= 6 * seconds(1)
