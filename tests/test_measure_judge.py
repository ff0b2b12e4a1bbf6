"""What `aetutor.measure.Judge` promises: a classifier that learns, repeats itself, and describes bytes as floats."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Streamed, spots
from torch import nn
from torch.nn import functional as F

from aetutor import data, measure, runtime


def halves(count, *, size=(8, 8), channels=1, seed=0):
    """Noise that is bright in the upper half (class 0) or in the lower (class 1)."""
    random = np.random.default_rng(seed)
    labels, level = random.integers(0, 2, count), random.integers(0, 120, (count, channels, *size))
    upper = (np.arange(size[0]) < size[0] // 2)[:, None]
    level += 100 * np.where(labels[:, None, None, None] == 0, upper, ~upper)
    return torch.from_numpy(level.astype(np.uint8)), torch.from_numpy(labels)


def problem(**how):
    (train, train_labels), (test, test_labels) = halves(400, seed=1, **how), halves(100, seed=2, **how)
    return SimpleNamespace(train=train, train_labels=train_labels, test=test, test_labels=test_labels)


def fitted(images, **how):
    return measure.Judge.fit(images, **{"batch": 50, "device": "cpu"} | how)


@pytest.fixture(scope="module")
def judge():
    return fitted(problem())


# --- Learning -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"channels": 3, "size": (9, 5)}, {"size": (6, 13)}])
def test_a_judge_learns_classes_that_can_be_told_apart_whatever_the_images_size(how):
    images = problem(**how)
    judge = fitted(images)
    assert judge.accuracy(images.test, images.test_labels) >= 0.98
    assert not judge.training and judge.shape == tuple(images.train.shape[1:])


def test_the_same_seed_gives_the_same_judge_and_another_seed_another(judge):
    again, other = fitted(problem()), fitted(problem(), seed=1)
    for name, weight in judge.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert not torch.equal(judge.head.weight, other.head.weight)


def test_the_loop_is_that_of_plain_pytorch():
    images, steps = problem(), 2 * 8
    with runtime.seeded("judge", 3):
        plain = measure.Judge(2, size=8).train()
    optimiser = torch.optim.AdamW(plain.parameters(), lr=0.004)
    shuffler, step = runtime.stream("judge batches", 3), 0
    for _ in range(2):
        for index in torch.randperm(400, generator=shuffler).split(50):
            step += 1
            done = step / (steps + 1)
            rate = done / 0.2 if done < 0.2 else (1 + np.cos(np.pi * (done - 0.2) / 0.8)) / 2
            optimiser.param_groups[0]["lr"] = 0.004 * rate
            optimiser.zero_grad()
            F.cross_entropy(plain(images.train[index] / 255), images.train_labels[index]).backward()
            optimiser.step()
    found = fitted(images, seed=3, lr=0.004)
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], weight, rtol=1e-3, atol=1e-5)


def test_fitting_changes_neither_the_images_nor_the_random_numbers_of_others(judge):
    images = problem()
    state, before = torch.get_rng_state(), images.train.clone()
    fitted(images, epochs=1)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(images.train, before)


@pytest.mark.parametrize("count", [1, 2, 51])
def test_a_last_batch_of_one_image_is_no_trouble(count):
    images = problem(size=(5, 5))
    few = SimpleNamespace(train=images.train[:count], train_labels=torch.arange(count) % 2 if count > 1 else
                          torch.ones(1, dtype=torch.int64))  # fmt: skip
    assert all(weight.isfinite().all() for weight in fitted(few, epochs=1).parameters())


def test_a_judge_has_a_class_for_every_name_even_where_no_image_has_it():
    images = problem()
    named = data.ImageSet(
        "own", images.train, images.test, images.test, images.train_labels, classes=("up", "down", "both")
    )
    assert fitted(named, epochs=1)(torch.zeros(1, 1, 8, 8)).shape == (1, 3)


@pytest.mark.slow
def test_a_judge_of_mnist_is_right_for_98_of_100_test_images():
    images = data.load("mnist")
    judge = measure.Judge.fit(images, device="cpu")
    assert judge.accuracy(images.test, images.test_labels) >= 0.98


# --- Judging --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7, 100, 1000])
def test_features_and_classes_do_not_depend_on_the_batch(judge, batch):
    x = problem().test
    with torch.no_grad():
        features, logits = judge.features(x / 255), judge(x / 255)
    found = judge.describe(x, batch=batch)
    assert found.shape == (100, 64) and not found.requires_grad and found.min() >= 0
    torch.testing.assert_close(found, features, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(judge.head(found), logits, rtol=1e-4, atol=1e-4)
    assert torch.equal(judge.labels(x, batch=batch), logits.argmax(1))


def test_bytes_floats_doubles_and_files_are_judged_alike(judge):
    images = problem()
    x, labels = images.test, images.test_labels
    for same in (runtime.to_unit(x), x.double() / 255):
        torch.testing.assert_close(judge.describe(same), judge.describe(x), rtol=1e-5, atol=1e-6)
        assert torch.equal(judge.labels(same), judge.labels(x))
        assert judge.accuracy(same, labels) == judge.accuracy(x, labels)
    files = Streamed(x)
    files.split = x.split
    assert torch.equal(judge.describe(files), judge.describe(x))


def test_accuracy_is_the_share_of_labels_that_are_right(judge):
    images = problem()
    named = judge.labels(images.test)
    assert judge.accuracy(images.test, named) == 1 and judge.accuracy(images.test, 1 - named) == 0
    half = torch.where(torch.arange(100) < 25, named, 1 - named)
    assert judge.accuracy(images.test, half) == 0.25


def test_a_judge_judges_in_eval_mode_and_is_left_as_it_was():
    judge = fitted(problem(), epochs=1)
    calm = judge.describe(problem().test)
    judge.train()
    assert torch.equal(judge.describe(problem().test), calm) and judge.training


def test_a_gradient_reaches_the_images_through_the_features(judge):
    x = (spots(2) / 255).requires_grad_()
    judge.features(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_the_features_are_as_many_and_the_maps_as_wide_as_asked():
    judge = measure.Judge(7, width=3, channels=2, size=(11, 6), features=5).eval()
    x = torch.rand(4, 2, 11, 6)
    assert judge.features(x).shape == (4, 5) and judge(x).shape == (4, 7)
    assert [part.out_channels for part in judge.modules() if isinstance(part, nn.Conv2d)] == [3, 6]


# --- What is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, None])
@pytest.mark.parametrize("what", ["classes", "width", "channels", "size", "features"])
def test_sizes_that_are_no_positive_whole_numbers_are_refused(what, bad):
    with pytest.raises(ValueError, match=rf"^Judge: {what} is {bad}; expected a whole number of \d or more"):
        measure.Judge(**{what: bad})


def test_too_few_classes_and_too_few_pixels_are_refused():
    with pytest.raises(ValueError, match=r"^Judge: classes is 1; expected a whole number of 2 or more"):
        measure.Judge(1)
    for size in (4, (8, 4), (4, 8)):
        with pytest.raises(ValueError, match=r"^Judge: size is 4; expected a whole number of 5 or more"):
            measure.Judge(size=size)
    with pytest.raises(ValueError, match=r"^Judge: size is \(1, 28, 28\); expected pixels, as in 28, or \(height, w"):
        measure.Judge(size=(1, 28, 28))


def changed(**how):
    return SimpleNamespace(**vars(problem()) | how)


def test_images_without_labels_are_refused_with_what_makes_some():
    bare = problem()
    del bare.train_labels
    own = data.from_arrays(problem().train, problem().test)
    for images in (bare, own):
        with pytest.raises(ValueError, match=r"^Judge\.fit: images has no train_labels.*data\.from_arrays\(train, tes"):
            fitted(images)


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(400), torch.zeros(399).long(), torch.zeros(400, 1).long(), -torch.ones(400).long(), [0] * 400],
)
def test_labels_that_do_not_fit_the_images_are_refused(labels):
    with pytest.raises(ValueError, match=r"^Judge\.fit: images\.train_labels is .*; expected \(400,\) whole numbers"):
        fitted(changed(train_labels=labels))


def test_images_of_one_class_leave_nothing_to_learn():
    with pytest.raises(ValueError, match=r"^Judge: classes is 1; expected a whole number of 2 or more"):
        fitted(changed(train_labels=torch.zeros(400).long()))


def test_what_is_no_image_set_and_a_set_of_nothing_are_refused():
    images = problem()
    with pytest.raises(TypeError, match=r"^Judge\.fit: images is Tensor, without \.train; .*ImageSet"):
        fitted(images.train)
    with pytest.raises(TypeError, match=r"^Judge\.fit: images\.train is torch\.float32; expected a uint8 tensor"):
        fitted(changed(train=images.train / 255))
    with pytest.raises(ValueError, match=r"^Judge\.fit: images\.train has shape .* at least one image"):
        fitted(changed(train=images.train[:0], train_labels=images.train_labels[:0]))


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, None])
@pytest.mark.parametrize("what", ["epochs", "batch"])
def test_epochs_and_batches_of_none_are_refused(what, bad):
    with pytest.raises(ValueError, match=rf"^Judge\.fit: {what} is {bad}; expected a whole number of 1 or more"):
        fitted(problem(), **{what: bad})


def test_a_rate_that_does_not_learn_and_a_device_that_is_not_there_are_refused():
    for bad in (0, -0.1, float("nan"), float("inf"), "fast", True):
        with pytest.raises(ValueError, match=r"^Judge\.fit: lr is .*; expected a number above 0"):
            fitted(problem(), lr=bad)
    with pytest.raises(ValueError, match="there is no device 'abacus' here"):
        fitted(problem(), device="abacus")


@pytest.mark.parametrize("name", ["describe", "labels", "accuracy"])
def test_a_judge_asked_about_anything_but_images_says_what_it_takes(judge, name):
    def ask(x, **how):
        return getattr(judge, name)(x, *([torch.zeros(len(x)).long()] if name == "accuracy" else []), **how)

    x = spots(4)
    for wrong in (x.long(), x.numpy()):
        with pytest.raises(
            TypeError, match=rf"^Judge\.{name}: x is .*; expected a uint8 tensor .*, or floats in \[0, 1"
        ):
            ask(wrong)
    for wrong in (x[:0], x[0]):
        with pytest.raises(ValueError, match=rf"^Judge\.{name}: x has shape .* at least one image"):
            ask(wrong)
    with pytest.raises(ValueError, match=r"^Judge: x has shape .*; this judge knows images of \(B, 1, 8, 8\)"):
        ask(x[:, :, :4])
    for batch in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=rf"^Judge\.{name}: batch is {batch}; expected a whole number"):
            ask(x, batch=batch)


def test_features_of_bytes_and_of_other_shapes_are_refused(judge):
    for call in (judge, judge.features):
        with pytest.raises(TypeError, match=r"^Judge: .* got torch\.uint8; runtime\.to_unit\(pixels\) makes it float"):
            call(spots(2))
        for wrong in (torch.zeros(2, 64), torch.zeros(2, 1, 8, 9), torch.zeros(1, 8, 8)):
            with pytest.raises(ValueError, match=r"^Judge: x has shape .*; this judge knows images of \(B, 1, 8, 8\)"):
                call(wrong)


def test_labels_that_are_not_one_whole_number_for_each_image_are_refused(judge):
    x = spots(4)
    for wrong in (torch.zeros(4), [0, 0, 0, 0], None):
        with pytest.raises(TypeError, match=r"^Judge\.accuracy: labels is .*; expected a tensor of whole numbers"):
            judge.accuracy(x, wrong)
    for wrong in (torch.zeros(3).long(), torch.zeros(4, 1).long()):
        with pytest.raises(ValueError, match=r"^Judge\.accuracy: labels has shape .*; expected \(4,\), one for each"):
            judge.accuracy(x, wrong)
