"""Checks of assignment 02: answers that are right in other words pass, and each stated error comes with its hint.

The wrong answers themselves are in tests/wrong/02_budget.py.
"""

from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from aetutor import exercises
from aetutor.exercises import Wrong


def by_pairs(train, valid, *, tolerance=0):
    """All pairs at once, in whole numbers."""
    apart = (valid.int()[:, None] - train.int()).abs().flatten(2).amax(2)
    return (apart.amin(1) <= tolerance).nonzero().ravel()


def test_leaks_may_be_found_in_another_way_and_in_another_order():
    for answer in (by_pairs, lambda *parts, tolerance: by_pairs(*parts, tolerance=tolerance).flip(0)):
        assert exercises.check_leaks(answer).startswith("leaks: right")
        exercises.check_leaks(answer, seed=5, shape=(3, 4, 4), tolerance=7)
        exercises.check_leaks(answer, copies=False)


def test_leaks_must_leave_the_images_alone():
    def answer(train, valid, *, tolerance=0):
        train.clamp_(max=200)
        return by_pairs(train, valid, tolerance=tolerance)

    with pytest.raises(Wrong, match="changes the tensor") as caught:
        exercises.check_leaks(answer)
    assert caught.value.mistake == "in-place"


def by_bytes(model, step, *, steps=3):
    """Compares the bytes of what is and was."""
    old = [p.detach().numpy().tobytes() for p in model.parameters()]
    for _ in range(steps):
        step()
    found = {}
    for (name, p), was in zip(model.named_parameters(), old, strict=True):
        if p.requires_grad and p.detach().numpy().tobytes() == was:
            silent = p.grad is None or p.grad.abs().max() == 0
            found[name] = "no gradient" if silent else "no step"
    return found


def test_idle_is_right_in_each_case():
    cases = ["healthy", "cut", "left out", "frozen", "late", "small", "silent"]
    cases += ["border", "stops", "balanced", "turning"]
    assert exercises.check_idle(by_bytes, cases=cases, steps=4).startswith("idle: right for 11")
    exercises.check_idle(lambda *parts, steps: OrderedDict(by_bytes(*parts, steps=steps)), cases=cases)
    with pytest.raises(Wrong):
        exercises.check_idle(lambda model, step, steps: {}, cases=["cut"])


def by_corrcoef(inputs, targets):
    both = torch.cat([inputs, targets]).flatten(1).double()
    r = torch.nan_to_num(torch.corrcoef(both)[: len(inputs), len(inputs) :], nan=-1)
    best = r.max(dim=1)
    return ((best.indices == torch.arange(len(r)).to(r.device)) & (best.values > 1e-6)).double().mean()


@pytest.mark.parametrize(
    "settings", [{}, {"noise": 0.3, "dark": 0.7}, {"blank": True, "noise": 0.3}, {"shape": (3, 4, 7), "count": 25}]
)
def test_aligned_agrees_with_torchs_correlation_whatever_the_seed(settings):
    for seed in range(4):
        assert exercises.check_aligned(by_corrcoef, seed=seed, **settings)
    with pytest.raises(Wrong, match="for set 1 of 2, and that is too large"):  # and not how much too large
        exercises.check_aligned(lambda inputs, targets: 1.0, **settings)


def in_numbers(model, optimiser, batch):
    """Gradients by torch.autograd.grad, which adds to none."""
    x = batch.to(torch.float32) * (1 / 255)
    loss = ((x - model.decode(model.encode(x))) ** 2).flatten(1).sum(1).mean()
    for p, gradient in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
        p.grad = gradient
    optimiser.step()
    return float(loss.detach())


def test_train_step_may_be_written_otherwise_but_not_return_another_loss():
    exercises.check_train_step(in_numbers)
    exercises.check_train_step(in_numbers, seed=3, shape=(3, 2, 5), batches=[3, 1, 6], stale=True)

    def per_pixel(model, optimiser, batch):
        return in_numbers(model, optimiser, batch) / batch[0].numel()

    with pytest.raises(Wrong) as caught:
        exercises.check_train_step(per_pixel)
    assert caught.value.mistake == "pixels"


def test_train_step_says_more_about_a_tensor_than_about_another_float():
    for kind, about in ((torch.tensor, True), (np.float32, False)):
        with pytest.raises(Wrong, match="a Python float") as caught:
            exercises.check_train_step(lambda *parts, kind=kind: kind(in_numbers(*parts)))
        assert ("graph" in str(caught.value)) == about
    exercises.check_train_step(lambda *parts: np.float64(in_numbers(*parts)))  # a float as well


def tiny_run(fault, *, number=0):
    """Stands in for the notebook's runs: with the fault, nothing that the network gets is brighter than 1/255."""
    scale = 255.0**2 if fault == "dark" else 255.0
    images = torch.randint(0, 256, (40, 1, 2, 3), generator=torch.Generator().manual_seed(number), dtype=torch.uint8)
    x = images[:30] / scale
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 6), nn.Unflatten(1, (1, 2, 3)))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():
        optimiser.zero_grad()
        (model(x) - x).square().mean().backward()
        optimiser.step()

    parts = {"train": images[:30], "valid": images[30:], "inputs": x, "targets": x}
    return SimpleNamespace(model=model, step=step, scale=scale, **parts)


def test_name_fault_gets_evidence_that_was_measured():
    seen = []

    def answer(evidence):
        seen.append(evidence)
        return "dark" if evidence["brightest"] < 0.1 else "none"

    exercises.check_name_fault(answer, tiny_run, faults=["none", "dark"], count=2)
    for evidence in seen:
        assert evidence["copies"] == 0 and evidence["aligned"] == 1.0 and evidence["cleared"] is True
        assert evidence["idle"] == {} and 0 < evidence["error"] < 1 and 0 < evidence["floor"] < 0.2
    for says, mistake in (("none", "missed"), ("dark", "false-alarm"), ("grey", "unknown")):
        with pytest.raises(Wrong) as caught:
            exercises.check_name_fault(lambda evidence, says=says: says, tiny_run, faults=["none", "dark"])
        assert caught.value.mistake == mistake


def by_scikit_learn(train, valid, *, budget):
    from sklearn.decomposition import PCA

    a, b = (part.flatten(1).double().numpy() / 255 for part in (train, valid))
    for k in range(min(len(a) - 1, a.shape[1]) + 1):
        pca = PCA(k, svd_solver="full").fit(a) if k else None
        x_hat = pca.inverse_transform(pca.transform(b)) if k else a.mean(0)
        if ((b - x_hat) ** 2).mean() <= budget:
            return k
    raise ValueError("not within the budget")


@pytest.mark.parametrize("settings", [{}, {"seed": 1, "shape": (3, 2, 4)}, {"seed": 2, "ends": True}])
def test_pca_numbers_needed_are_those_of_scikit_learn(settings):
    assert exercises.check_pca_numbers_needed(by_scikit_learn, **settings)
    exercises.check_pca_numbers_needed(
        lambda *sets, budget: np.int64(by_scikit_learn(*sets, budget=budget)), **settings
    )
    with pytest.raises(Wrong):
        exercises.check_pca_numbers_needed(lambda train, valid, budget: 3, **settings)


class Mean(nn.Module):
    """A code of one number, the brightness, and an image of one grey."""

    def encode(self, x):
        return self.gain * x.mean(dim=(1, 2, 3))[:, None]

    def decode(self, z):
        return z[:, :, None, None].expand(-1, 1, 4, 4)

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))


def test_deliver_measures_what_comes_back():
    grey = torch.arange(0, 250, 10, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4)
    striped = grey.clone()
    striped[..., 1::2] = 0
    images = SimpleNamespace(train=grey, valid=grey)
    bounds = {"error": 1e-6, "code": 1, "weights": 1}
    assert "1 weights" in exercises.check_deliver(lambda images: Mean(), images, **bounds, unseen=grey.flip(0))
    cases = [({"unseen": striped}, "leak"), ({"code": 0}, "code"), ({"weights": 0}, "weights")]
    for change, mistake in cases:
        with pytest.raises(Wrong) as caught:
            exercises.check_deliver(lambda images: Mean(), images, **(bounds | change))
        assert caught.value.mistake == mistake


def test_deliver_tells_no_room_to_spare_from_a_leak_and_wants_a_network_that_can_be_copied():
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2000, 1, 4, 4), generator=draw, dtype=torch.uint8)
    work = SimpleNamespace(train=images, valid=images[:1000])
    bounds = {"error": 0.1, "code": 1, "weights": 1, "unseen": images[1000:]}
    assert exercises.check_deliver(lambda images: Mean(), work, **bounds)
    with pytest.raises(Wrong, match="without room to spare") as caught:
        exercises.check_deliver(lambda images: Mean(), work, **bounds, allowed=0.05)
    assert caught.value.mistake == "budget"

    def keeps_a_graph(images):
        model = Mean()
        model.last = model.gain * 2
        return model

    with pytest.raises(Wrong, match="cannot be copied") as caught:
        exercises.check_deliver(keeps_a_graph, work, **(bounds | {"weights": 2}))
    assert caught.value.mistake == "bypass"
