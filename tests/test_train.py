"""What `aetutor.train` promises: the loop anybody would write, the best weights kept, and honest ends."""

import copy
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from torch import nn

from aetutor import runtime, train
from aetutor.models import DenseAutoencoder
from aetutor.train import History, Row, TrainingDiverged

fit = partial(train.fit, device="cpu", progress=False)


def network(number=0, **how):
    with runtime.seeded("weights", number):
        return DenseAutoencoder(3, **{"hidden": (16,), "shape": (1, 8, 8)} | how)


def same(a: nn.Module | dict, b: nn.Module | dict) -> bool:
    a, b = (m.state_dict() if isinstance(m, nn.Module) else m for m in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def scores(history):
    """All that must repeat from run to run: everything but the seconds."""
    return [(row.epoch, row.train, row.valid) for row in history.rows]


def few(images, *, train=None, valid=None):
    return SimpleNamespace(train=images.train[:train], valid=images.valid[:valid])


class Diary:
    """An objective that notes the weights after each epoch, and what x it saw; `twist(step)` runs at each step."""

    def __init__(self, twist=lambda step: 0.0):
        self.step, self.after, self.batches, self.twist = 0, [], [], twist

    def __call__(self, model, x):
        if torch.is_grad_enabled():  # training
            self.step += 1
            self.batches.append(x)
            return train.reconstruct(model, x) + self.twist(self.step)
        self.after.append(copy.deepcopy(model.state_dict()))  # validation, once per epoch: all images in one batch
        return train.reconstruct(model, x)


class Walker(nn.Module):
    """One weight that the objective below pushes up, step by step, past the place that is best on validation."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def past(best):
    """Training always rewards a larger w; validation is least at w = best."""
    return lambda model, x: (-model.w if torch.is_grad_enabled() else (model.w - best) ** 2).expand(len(x))


# --- The loop -------------------------------------------------------------------------------------------------


def plain_loop(model, images, *, epochs, batch, lr, seed):
    """The loop of any PyTorch tutorial, with the schedule written out. Returns each epoch's mean loss and rates."""
    count, rates, losses = len(images.train), [], []
    steps = epochs * -(-count // batch)
    warm = max(1, steps // 10)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=False, foreach=False)
    shuffler = torch.Generator().manual_seed(runtime.seed("batches", seed))
    for _ in range(epochs):
        losses.append(0.0)
        for index in torch.randperm(count, generator=shuffler).split(batch):
            x, step = images.train[index].float() / 255, len(rates)
            share = (step + 1) / warm if step < warm else (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
            rates.append(lr * share)
            optimiser.param_groups[0]["lr"] = rates[-1]
            loss = ((model(x) - x) ** 2).sum((1, 2, 3))
            optimiser.zero_grad()
            loss.mean().backward()
            optimiser.step()
            losses[-1] += loss.sum().item() / count
    return losses, rates


@pytest.mark.parametrize(
    ("count", "batch", "epochs"),
    [(600, 100, 3), (600, 128, 4), (50, 600, 12), (1, 128, 12), (7, 1, 2)],
    ids=["batches that divide", "batches that do not", "one batch larger than the set", "one image", "batches of one"],
)
def test_fit_is_a_plain_pytorch_loop(tiny, count, batch, epochs):
    ours, theirs, images = network(), network(), few(tiny, train=count)
    losses, _ = plain_loop(theirs, images, epochs=epochs, batch=batch, lr=4e-3, seed=5)
    diary = Diary()
    history = fit(ours, images, epochs=epochs, batch=batch, seed=5, objective=diary)
    for name, weight in theirs.state_dict().items():
        torch.testing.assert_close(diary.after[-1][name], weight, rtol=1e-3, atol=1e-4)
    assert history.train == pytest.approx(losses, rel=1e-4)
    x = images.valid.float() / 255
    if history.best.epoch == epochs:
        assert history.best.valid == pytest.approx(((ours(x) - x) ** 2).sum((1, 2, 3)).mean().item(), rel=1e-5)


def test_the_plain_loop_ends_elsewhere_with_another_rate_so_that_the_comparison_above_means_something(tiny):
    ours, theirs = network(), network()
    plain_loop(theirs, tiny, epochs=3, batch=100, lr=3e-3, seed=5)
    fit(ours, tiny, epochs=3, batch=100, seed=5)
    assert (ours.encoder[1].weight - theirs.encoder[1].weight).abs().max() > 1e-2


@pytest.mark.parametrize(("epochs", "count", "batch"), [(5, 100, 10), (1, 7, 2), (1, 1, 1), (3, 10, 10), (2, 100, 9)])
def test_the_rate_warms_up_over_a_tenth_of_the_steps_and_falls_along_half_a_cosine(epochs, count, batch):
    steps = epochs * math.ceil(count / batch)
    rates = train.schedule.warmup_cosine(steps, 0.5)
    assert len(rates) == steps
    warm = max(1, steps // 10)
    assert rates[:warm] == pytest.approx([0.5 * (step + 1) / warm for step in range(warm)])
    assert rates[warm - 1] == 0.5 == max(rates)
    fall = [0.25 * (1 + math.cos(math.pi * step / (steps - warm))) for step in range(steps - warm)]
    assert rates[warm:] == pytest.approx(fall)


def test_every_image_is_seen_once_per_epoch_in_an_order_that_changes(tiny):
    images, diary = few(tiny, train=50), Diary()
    fit(network(), images, epochs=2, batch=16, objective=diary)
    assert [len(x) for x in diary.batches] == [16, 16, 16, 2] * 2
    first, second = (torch.cat(diary.batches[i : i + 4]).flatten(1) for i in (0, 4))
    everything = sorted((images.train.flatten(1).float() / 255).tolist())
    assert sorted(first.tolist()) == sorted(second.tolist()) == everything
    assert not torch.equal(first, second)


def test_the_model_trains_in_train_mode_is_scored_in_eval_mode_and_ends_in_eval_mode(tiny):
    modes, model = [], network()

    def objective(model, x):
        modes.append((torch.is_grad_enabled(), model.training))
        return train.reconstruct(model, x)

    fit(model, tiny, epochs=2, batch=600, objective=objective)
    assert modes == [(True, True), (False, False)] * 2
    assert not model.training and next(model.parameters()).device.type == "cpu"


def test_the_model_moves_to_the_device_that_is_named():
    class Stop(Exception):
        pass

    def objective(model, x):
        assert x.device.type == next(model.parameters()).device.type == "meta"
        raise Stop

    images = SimpleNamespace(
        train=torch.zeros(4, 1, 8, 8, dtype=torch.uint8), valid=torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    )
    model = network()
    with pytest.raises(Stop):
        train.fit(model, images, device="meta", progress=False, objective=objective)


def test_training_learns(tiny):
    model = network()
    history = fit(model, tiny, epochs=40, batch=50, lr=1e-2)
    floor = (tiny.valid.float() / 255 - (tiny.train.float() / 255).mean(0)).square().sum((1, 2, 3)).mean().item()
    assert history.best.valid < 0.5 * floor
    assert len(history) == 40 and history.stopped == "all 40 epochs done"


def test_one_validation_image_and_one_training_image_are_enough(tiny):
    history = fit(network(), few(tiny, train=1, valid=1), epochs=30, lr=0.02)
    assert history.train[-1] < 0.5 * history.train[0] and math.isfinite(history.best.valid)


# --- Which weights are kept -----------------------------------------------------------------------------------


def test_the_weights_kept_are_those_that_did_best_on_validation(tiny):
    model, seen = Walker(), []

    def objective(model, x):
        if not torch.is_grad_enabled():
            seen.append(model.w.item())
        return past(0.25)(model, x)

    history = fit(model, few(tiny, train=10), epochs=20, batch=1, lr=5e-3, objective=objective)
    assert history.best.epoch not in (1, 20)
    assert model.w.item() == seen[history.best.epoch - 1]
    assert history.best.valid == min(history.valid) == pytest.approx((model.w.item() - 0.25) ** 2, rel=1e-5)
    assert abs(model.w.item() - 0.25) < abs(seen[-1] - 0.25)


def test_among_equal_epochs_the_first_is_the_best(tiny):
    model, seen = Walker(), []

    def objective(model, x):
        if torch.is_grad_enabled():
            return -model.w.expand(len(x))
        seen.append(model.w.item())
        return torch.ones(len(x))

    history = fit(model, few(tiny, train=10), epochs=3, batch=5, objective=objective)
    assert history.best.epoch == 1 and model.w.item() == seen[0] != seen[2]


def test_numpys_whole_numbers_do_what_pythons_do(tiny):
    ours, theirs, images = network(), network(), few(tiny, train=100)
    how = {"epochs": 3, "batch": 32, "patience": 3}
    fit(ours, images, **how)
    history = fit(theirs, images, **{name: np.int64(value) for name, value in how.items()})
    assert same(ours, theirs) and history.stopped.startswith("all 3 epochs done")


def test_patience_stops_after_so_many_epochs_without_a_better_one(tiny):
    how = {"epochs": 50, "batch": 1, "lr": 2e-3, "objective": past(0.25)}
    free = fit(Walker(), few(tiny, train=10), **how)
    assert len(free) == 50 and 3 < free.best.epoch < 45
    for patience in (1, 4):
        model = Walker()
        history = fit(model, few(tiny, train=10), patience=patience, **how)
        assert history.best.epoch == free.best.epoch and len(history) == free.best.epoch + patience
        assert history.stopped == f"no better on validation for {patience} epochs, after epoch {len(history)}"
        assert scores(history) == scores(free)[: len(history)]
        assert (model.w.item() - 0.25) ** 2 == pytest.approx(min(free.valid), rel=1e-5)


def test_a_threshold_stops_at_the_first_epoch_that_reaches_it_and_equality_does(tiny):
    how = {"epochs": 8, "batch": 100}
    free = fit(network(), tiny, **how)
    assert free.valid == sorted(free.valid, reverse=True)
    model = network()
    history = fit(model, tiny, threshold=free.valid[4], **how)
    assert scores(history) == scores(free)[:5]
    assert history.stopped == f"validation reached the threshold of {free.valid[4]:g} after epoch 5"
    x = tiny.valid.float() / 255
    assert ((model(x) - x) ** 2).sum((1, 2, 3)).mean().item() == pytest.approx(free.valid[4], rel=1e-5)
    assert len(fit(network(), tiny, threshold=free.valid[-1] / 2, **how)) == 8


# --- Ends that nobody wants -----------------------------------------------------------------------------------


def test_the_stop_button_returns_the_history_so_far_and_the_best_weights(tiny):
    def press(step):
        if step == 4 * 3 + 2:  # 600 images in batches of 150: second step of the fourth epoch
            raise KeyboardInterrupt
        return 0.0

    diary, model = Diary(press), network()
    history = fit(model, tiny, epochs=9, batch=150, objective=diary)
    assert len(history) == 3 and history.stopped == "interrupted in epoch 4"
    assert same(model, diary.after[history.best.epoch - 1]) and not model.training
    assert "interrupted in epoch 4" in repr(history)


def test_the_stop_button_in_the_first_epoch_leaves_the_model_as_it_was(tiny):
    def press(step):
        if step == 2:
            raise KeyboardInterrupt
        return 0.0

    model = network()
    history = fit(model, tiny, batch=150, objective=Diary(press))
    assert len(history) == 0 and history.best is None and history.stopped == "interrupted in epoch 1"
    assert same(model, network())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_longer_finite_raises_and_the_best_earlier_weights_are_loaded(tiny, bad):
    diary, model = Diary(lambda step: bad if step >= 4 * 2 + 2 else 0.0), network()
    said = r"epoch 3, step 2 of 4: train (nan|inf), .*rate 0\.00\d+ \(peak 0\.004\)\. Usual causes"
    with pytest.raises(TrainingDiverged, match=said):
        fit(model, tiny, epochs=9, batch=150, objective=diary)
    assert len(diary.after) == 3
    assert same(model, diary.after[1]) and not model.training


def test_a_validation_loss_that_is_not_finite_raises_too(tiny):
    def objective(model, x):
        return train.reconstruct(model, x) + (0.0 if torch.is_grad_enabled() else math.nan)

    model = network()
    with pytest.raises(TrainingDiverged, match=r"epoch 1, step 5 of 5: train \d.*valid nan"):
        fit(model, tiny, objective=objective)
    assert same(model, network())


def test_an_absurd_learning_rate_diverges_out_loud_and_leaves_finite_weights(tiny):
    model = network(output="none")
    with pytest.raises(TrainingDiverged, match=r"1e\+30"):
        fit(model, tiny, lr=1e30)
    assert all(weight.isfinite().all() for weight in model.state_dict().values())


def test_an_error_in_the_objective_is_passed_on_with_torch_set_back_and_the_best_weights_loaded(tiny):
    state, threads, model = torch.get_rng_state(), torch.get_num_threads(), network()

    def fail(step):
        return 1 / 0 if step == 6 else 0.0

    diary = Diary(fail)
    with pytest.raises(ZeroDivisionError):
        fit(model, tiny, batch=150, objective=diary)
    assert same(model, diary.after[0]) and not model.training
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


@pytest.mark.parametrize(("epochs", "few"), [(1, True), (19, True), (20, False)])
def test_training_of_fewer_than_a_hundred_steps_says_so(tiny, epochs, few):
    history = fit(network(), tiny, epochs=epochs, batch=128)  # 5 steps each
    said = f"all {epochs} epochs done, but only {5 * epochs} steps: take a smaller batch or more epochs"
    assert (history.stopped == said) == (said in repr(history)) == (said in history._repr_html_()) == few
    assert few or history.stopped == "all 20 epochs done"


# --- Randomness -----------------------------------------------------------------------------------------------


def denoise(model, x):
    return (model(x + 0.3 * torch.randn_like(x)) - x).square().flatten(1).sum(1)


@pytest.mark.parametrize("objective", [train.reconstruct, denoise])
def test_the_same_seed_gives_the_same_history_and_weights_whatever_was_drawn_before(tiny, objective):
    first, again = network(), network()
    one = fit(first, tiny, epochs=2, objective=objective, seed=3)
    torch.rand(11)
    two = fit(again, tiny, epochs=2, objective=objective, seed=3)
    assert scores(one) == scores(two) and same(first, again)


@pytest.mark.parametrize("objective", [train.reconstruct, denoise])
def test_another_seed_and_another_aetutor_seed_give_another_history(tiny, objective, monkeypatch):
    monkeypatch.setenv("AETUTOR_SEED", "0")
    start = network().state_dict()
    found = []
    for course, seed in [("0", 0), ("0", 1), ("1", 0)]:
        monkeypatch.setenv("AETUTOR_SEED", course)
        model = network()
        model.load_state_dict(start)  # the same start: only the streams inside fit differ
        found.append(scores(fit(model, tiny, epochs=2, objective=objective, seed=seed)))
    assert found[0] != found[1] != found[2] != found[0]


def test_fit_leaves_torchs_global_generator_alone(tiny):
    state = torch.get_rng_state()
    fit(network(), tiny, epochs=1, objective=denoise)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_random_draw_in_the_objective_does_not_reshuffle_the_batches(tiny):
    def noting(draws):
        seen = []

        def objective(model, x):
            if torch.is_grad_enabled():
                seen.append(x)
            torch.rand(draws)
            return train.reconstruct(model, x)

        return seen, objective

    runs = []
    for draws in (0, 3):
        seen, objective = noting(draws)
        runs.append((scores(fit(network(), tiny, epochs=2, objective=objective)), seen))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(a, b) for a, b in zip(runs[0][1], runs[1][1], strict=True))


def test_validation_draws_the_same_noise_every_epoch_so_that_epochs_compare(tiny):
    drawn = []

    def objective(model, x):
        noise = torch.randn_like(x)
        drawn.append((torch.is_grad_enabled(), noise))
        return train.reconstruct(model, x)

    fit(network(), tiny, epochs=3, batch=600, objective=objective)
    valid = [noise for training, noise in drawn if not training]
    steps = [noise for training, noise in drawn if training]
    assert torch.equal(valid[0], valid[1]) and torch.equal(valid[1], valid[2])
    assert not torch.equal(steps[0], steps[1]) and not torch.equal(steps[1], steps[2])


# --- Refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (lambda model, x: train.reconstruct(model, x).mean(), r"\(\)"),
        (lambda model, x: (model(x) - x).square(), r"\(100, 1, 8, 8\)"),
        (lambda model, x: train.reconstruct(model, x)[:, None], r"\(100, 1\)"),
    ],
)
def test_an_objective_that_gives_no_one_number_per_image_is_told_so(tiny, loss, shape):
    model = network()
    with pytest.raises(ValueError, match=rf"returned shape {shape} for 100 images; expected \(100,\).*sum over"):
        fit(model, tiny, batch=100, objective=loss)
    assert same(model, network())


def test_an_objective_that_sums_over_its_batch_in_eval_mode_alone_is_told_so_too(tiny):
    def loss(model, x):
        found = train.reconstruct(model, x)
        return found if model.training else found.mean()

    with pytest.raises(ValueError, match=r"returned shape \(\) for 100 images"):
        fit(network(), tiny, objective=loss)


@pytest.mark.parametrize("given", [lambda model, x: 1.0, lambda model, x: None, lambda model, x: (x, x)])
def test_an_objective_that_gives_no_tensor_is_told_so(tiny, given):
    with pytest.raises(TypeError, match=r"the objective returned (float|NoneType|tuple); expected a tensor \(128,\)"):
        fit(network(), tiny, objective=given)


def test_an_objective_that_does_not_reach_the_weights_is_told_so(tiny):
    model = network()
    for loss in (lambda model, x: x.flatten(1).sum(1), lambda model, x: train.reconstruct(model, x).detach()):
        with pytest.raises(ValueError, match=r"does not depend on the model's weights; .*\.detach\(\)"):
            fit(model, tiny, objective=loss)
    assert same(model, network())


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        (DenseAutoencoder, TypeError, "model is the class DenseAutoencoder; expected a network"),
        (lambda x: x, TypeError, "model is function; expected a network"),
        (nn.Flatten(), ValueError, "Flatten, has no weights to train"),
        (network().requires_grad_(False), ValueError, "DenseAutoencoder, has no weights to train"),
    ],
)
def test_what_is_no_network_or_has_nothing_to_train_is_refused(tiny, model, kind, message):
    with pytest.raises(kind, match=message):
        fit(model, tiny)


@pytest.mark.parametrize(
    "images", [torch.zeros(4, 1, 8, 8, dtype=torch.uint8), (1, 2), "mnist", torch.utils.data.DataLoader([1])]
)
def test_what_is_no_image_set_is_refused_with_what_makes_one(images):
    with pytest.raises(TypeError, match=rf"fit takes an ImageSet .* got {type(images).__name__}: data\.load or data"):
        fit(network(), images)


def test_an_objective_that_is_no_function_is_refused(tiny):
    with pytest.raises(TypeError, match="objective is 'mse'; expected a function"):
        fit(network(), tiny, objective="mse")


def test_training_and_validation_images_of_two_shapes_are_refused(tiny):
    images = SimpleNamespace(train=tiny.train, valid=tiny.valid[..., :4])
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8\), images\.valid of \(1, 8, 4\); expected one shape"):
        fit(network(), images)


def test_a_reconstruction_of_another_shape_is_refused(tiny):
    with pytest.raises(ValueError, match="must be equal"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 64)), tiny)


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize(
    ("wrong", "found"),
    [(torch.zeros(4, 1, 8, 8), "torch.float32"), (torch.zeros(4, 1, 8, 8).numpy(), "ndarray"), (None, "NoneType")],
    ids=["floats", "array", "nothing"],
)
def test_images_that_are_no_uint8_tensor_are_refused(tiny, split, wrong, found):
    images = few(tiny)
    setattr(images, split, wrong)
    with pytest.raises(TypeError, match=rf"images\.{split}: expected a uint8 tensor .* got {found}"):
        fit(network(), images)


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (4, 8, 8)])
def test_a_split_that_is_empty_or_has_no_channel_axis_is_refused(tiny, split, shape):
    images = few(tiny)
    setattr(images, split, torch.zeros(shape, dtype=torch.uint8))
    with pytest.raises(ValueError, match=rf"images\.{split}: expected at least one image .* got shape"):
        fit(network(), images)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"epochs": True}, "epochs is True"),
        ({"epochs": np.True_}, "epochs is"),
        ({"batch": np.float64(8)}, "batch is"),
        ({"batch": 0}, "batch is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"seed": 1.5}, "seed is 1.5; expected a whole number"),
        ({"seed": None}, "seed is None"),
        ({"seed": "1"}, "seed is '1'"),
        ({"device": "gpu"}, r"there is no device 'gpu' here; there is: .*cpu"),
        ({"lr": math.nan}, "lr is nan"),
        ({"lr": math.inf}, "lr is inf"),
        ({"lr": 0}, "lr is 0"),
        ({"lr": "1e-3"}, "lr is '1e-3'"),
        ({"momentum": 1}, "momentum is 1; expected a number from 0 to below 1"),
        ({"momentum": math.nan}, "momentum is nan"),
        ({"momentum": -0.1}, r"momentum is -0\.1"),
        ({"momentum": "0.5"}, "momentum is '0.5'"),
        ({"threshold": math.nan}, "threshold is nan"),
    ],
)
def test_an_argument_out_of_range_is_refused_by_name_before_anything_is_trained(tiny, how, message):
    model = network()
    with pytest.raises(ValueError, match=message):
        fit(model, tiny, **how)
    assert same(model, network())


# --- History and bar ------------------------------------------------------------------------------------------


@pytest.fixture
def history():
    rows = [Row(1, 50.0, 40.0, 1.25), Row(2, 30.0, 20.123456, 1.0), Row(3, 20.0, 25.0, 0.75)]
    return History(rows=rows, stopped="all 3 epochs done", unit="nats <b> per image")


def test_a_history_is_its_columns(history):
    assert (len(history), history.train, history.valid) == (3, [50.0, 30.0, 20.0], [40.0, 20.123456, 25.0])
    assert history.seconds == 3.0 and history.best == history.rows[1]


def test_the_best_epoch_is_never_one_that_is_not_finite():
    rows = [Row(1, 1.0, math.nan, 0.1), Row(2, 1.0, 3.0, 0.1), Row(3, 1.0, -math.inf, 0.1)]
    assert History(rows=rows).best.epoch == 2
    assert History(rows=rows[:1]).best is None


def test_a_history_prints_as_a_table(history):
    lines = repr(history).splitlines()
    assert lines[0].split() == ["epoch", "train", "valid", "seconds", "weights"]
    assert lines[2].split() == ["2", "30", "20.12", "1.0", "best"]
    assert lines[4] == "train and valid: nats <b> per image; 3.0 s; all 3 epochs done"
    assert len({len(line) for line in lines[1:2] + lines[3:4]}) == 1  # columns line up


def test_a_history_is_an_escaped_table_in_a_notebook(history):
    history.stopped = "1 < 2 & 3"
    html = history._repr_html_()
    assert html.count("<tr>") == 4 and html.count(">best<") == 1
    assert "nats &lt;b&gt; per image" in html and "1 &lt; 2 &amp; 3" in html and "<b> per" not in html


def test_an_empty_history_prints_and_says_why_it_cannot_be_plotted():
    empty = History()
    assert "not started" in repr(empty) and "not started" in empty._repr_html_()
    assert (len(empty), empty.seconds, empty.best) == (0, 0, None)
    with pytest.raises(ValueError, match="no finished epoch to plot"):
        empty.plot()


def test_a_history_plots_both_curves_with_unit_and_best(history):
    axes = history.plot().axes[0]
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert ([1, 2, 3], history.train) in drawn.values() and ([1, 2, 3], history.valid) in drawn.values()
    said = f"{axes.get_title()} {axes.get_title('left')} {axes.figure.get_suptitle()}"
    assert "20.12" in said and "epoch 2" in said
    assert axes.get_ylabel() == history.unit and axes.get_xlabel() == "epoch"


def test_a_historys_plot_shows_itself_in_a_notebook_with_its_description(history):
    data, metadata = DisplayFormatter().format(history.plot())
    assert data["image/png"].startswith(b"\x89PNG") and len(data["image/png"]) < 200_000
    assert data["text/plain"] == metadata["image/png"]["alt"] != ""
    assert "20.12" in data["text/plain"] and "training from 50 to 20, validation from 40 to 25" in data["text/plain"]


def test_a_history_of_one_row_plots_and_one_without_a_finite_score_says_why_it_cannot():
    assert History(rows=[Row(1, 2.0, 3.0, 0.1)]).plot().axes
    with pytest.raises(ValueError, match="no finished epoch to plot"):
        History(rows=[Row(1, 2.0, math.nan, 0.1)]).plot()


def test_the_unit_is_known_for_the_default_objective_and_neutral_for_others(tiny):
    assert fit(network(), tiny, epochs=1).unit == "squared error per image"
    assert fit(network(), tiny, epochs=1, objective=denoise).unit == "objective per image"


def test_the_bar_shows_training_and_validation_loss_and_no_bar_shows_nothing(tiny, capsys):
    history = fit(network(), tiny, epochs=2, progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and "2.0 of 2 epochs" in shown.err
    assert f"train {history.train[-1]:.4g}, valid {history.valid[-1]:.4g} squared error per image" in shown.err
    fit(network(), tiny, epochs=2)
    assert capsys.readouterr() == ("", "")


def test_reconstruct_is_the_squared_error_of_the_models_output(tiny):
    model, x = network(), tiny.test[:9].float() / 255
    torch.testing.assert_close(train.reconstruct(model, x), ((model(x) - x) ** 2).sum((1, 2, 3)))
    with pytest.raises(ValueError, match="must be equal"):
        train.reconstruct(nn.Flatten(), x)


NOTEBOOK = """
import torch
from aetutor import data, models, train
pixels = torch.randint(256, (120, 8, 8), dtype=torch.uint8)
images = data.from_arrays(pixels[:90], pixels[90:])
network = models.DenseAutoencoder(2, shape=images.shape)
"""


@pytest.mark.slow
@pytest.mark.parametrize("call", ["fit(network, images, epochs=3)", "fit_many([network], images, epochs=2)"])
def test_a_bar_that_is_done_leaves_no_widget_in_a_saved_notebook(call):
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in (NOTEBOOK, f"history = train.{call}")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120).execute()
    assert [output.data for output in cells[1].outputs] == [{"text/plain": ""}]


@pytest.mark.slow
def test_a_bar_that_stops_early_leaves_words_and_no_widget_in_a_saved_notebook():
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    stopped = "def stop(*_):\n    raise KeyboardInterrupt"
    early = "train.fit(network, images, epochs=4, threshold=1e9)"
    calls = [
        f"assert len({early}.train) == 1",
        f"{stopped}\nhistory = train.fit(network, images, objective=stop, epochs=4)",
    ]
    cells = [nbformat.v4.new_code_cell(source) for source in (NOTEBOOK, *calls)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120).execute()
    for cell, reached in zip(cells[1:], ("1.0 of 4 epochs", "0.0 of 4 epochs"), strict=True):
        (output,) = cell.outputs
        assert set(output.data) == {"text/plain"} and reached in output.data["text/plain"]
