"""Assignment 01's checks: right answers pass in any form, and what is wrong is named."""

import functools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from aetutor import exercises
from aetutor.exercises import Wrong


def loss(X, W):
    return ((X @ W) @ W.T - X).square().sum() / len(X)


def slopes(X, W):
    residual = (X @ W) @ W.T - X
    return 2 / len(X) * (X.T @ (residual @ W) + residual.T @ (X @ W))


def steepest(X):
    return torch.linalg.matrix_norm(X, 2) ** 2 / len(X)


def mistake(check, answer, **settings) -> str:
    with pytest.raises(Wrong) as caught:
        check(answer, **settings)
    return caught.value.mistake


@pytest.mark.parametrize(
    "answer",
    [
        loss,
        lambda X, W: torch.stack([(x - (x @ W) @ W.T).square().sum() for x in X]).mean(),
        lambda X, W: X.shape[1] * F.mse_loss(torch.einsum("bz,dz->bd", X @ W, W), X),
        lambda X, W: torch.linalg.matrix_norm(X - X @ W @ W.T) ** 2 / len(X),
    ],
)
def test_any_form_of_the_loss_passes(answer):
    assert "right" in exercises.check_tied_loss(answer, images=8, pixels=300, code=2, frugal=True)
    assert exercises.check_tied_loss(answer, images=1, pixels=3, code=3, seed=4)


def test_a_pixels_by_pixels_matrix_is_found_in_whatever_way_it_is_built():
    big = {"images": 8, "pixels": 300, "code": 2, "frugal": True}
    assert mistake(exercises.check_tied_loss, lambda X, W: (X @ (W @ W.T) - X).square().sum() / len(X), **big) == (
        "expensive"
    )
    by_moment = {
        "two products": lambda X, W: slopes(X, W) + 0 * (X.T @ X) @ W,
        "einsum": lambda X, W: slopes(X, W) + 0 * torch.einsum("bd,be->de", X, X) @ W,
    }
    found = {name: mistake(exercises.check_tied_gradient, answer, **big) for name, answer in by_moment.items()}
    assert set(found.values()) == {"expensive"}


def test_the_numeric_gradient_passes_in_another_form_and_for_any_number_of_dimensions():
    def by_identity(f, W, *, step=1e-5):
        W = W.double().contiguous()
        pushes = step * torch.eye(W.numel(), dtype=W.dtype).view(-1, *W.shape)
        return torch.tensor([(f(W + p) - f(W - p)) / (2 * step) for p in pushes], dtype=W.dtype).view(W.shape)

    assert exercises.check_numeric_gradient(by_identity)
    assert exercises.check_numeric_gradient(by_identity, shape=(2, 2, 3), step=0.3, dtype="float64", seed=5)
    assert exercises.check_numeric_gradient(by_identity, shape=(), seed=6)
    assert "returns float" in exercises.check_numeric_gradient(by_identity, gives="float", seed=7)


def test_the_numeric_gradient_may_write_into_a_copy_but_not_into_what_it_was_given():
    def written(f, W, *, step=1e-5, copy=True):
        W = W.double().clone() if copy else W.double()
        slopes = torch.zeros(W.shape, dtype=W.dtype)
        for place in np.ndindex(*W.shape):
            old = W[place].item()
            W[place] = old + step
            up = f(W)
            W[place] = old - step
            slopes[place] = (up - f(W)) / (2 * step)
            W[place] = old
        return slopes

    for settings in ({}, {"dtype": "float64"}, {"gives": "(1, 1)"}, {"gives": "float", "step": 0.1}, {"shape": ()}):
        assert exercises.check_numeric_gradient(written, **settings)
    spoiling = functools.partial(written, copy=False)
    assert exercises.check_numeric_gradient(spoiling)  # float32: double() made a copy
    assert mistake(exercises.check_numeric_gradient, spoiling, dtype="float64") == "in-place"


def test_a_loss_must_send_its_gradient_to_both_places_of_the_weights():
    def half(X, W):
        return (X - X @ W.detach() @ W.T).square().sum() / len(X)

    def elsewhere(X, W):
        return loss(X, W.detach()) + 0 * torch.ones((), requires_grad=True, device=W.device, dtype=W.dtype)

    for answer in (half, elsewhere):
        assert mistake(exercises.check_tied_loss, answer) == "half-detached"
        assert mistake(exercises.check_tied_loss, answer, images=1, pixels=6, code=6) == "half-detached"


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_passes_and_autograds_does_not_however_it_is_asked(seed):
    def backward(X, W):
        W = W.detach().clone().requires_grad_()
        with torch.enable_grad():
            loss(X, W).backward()
        return W.grad

    assert exercises.check_tied_gradient(slopes, images=8, pixels=200, code=2, seed=seed, frugal=True)
    assert mistake(exercises.check_tied_gradient, backward, seed=seed) == "autograd"
    assert mistake(exercises.check_tied_gradient, lambda X, W: slopes(X, W).double()) == "dtype"
    assert mistake(exercises.check_tied_gradient, lambda X, W: W + X) == "fails"


@pytest.mark.parametrize("settings", [{}, {"centred": False}, {"images": 3, "pixels": 6}, {"images": 200, "seed": 7}])
def test_the_largest_step_passes_as_a_float_a_tensor_or_numpys_number(settings):
    for answer in (
        lambda X: 0.25 / steepest(X).item(),
        lambda X: 0.25 / steepest(X),
        lambda X: np.float32(0.25 / steepest(X).item()),
    ):
        assert exercises.check_largest_step(answer, **settings)


def test_the_step_that_is_called_right_is_where_descent_leaves_the_minimum():
    X = torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 6)
    best = torch.linalg.svd(X).Vh[:1].T
    ends = []
    for share in (0.98, 1.02):
        w = best * 1.01
        for _ in range(300):
            w = w - share * 0.25 / steepest(X) * slopes(X, w)
        ends.append((w - best).norm().item())
    assert ends[0] < 1e-4 and ends[1] > 0.02  # both started 0.01 away


def test_descent_passes_and_an_answer_that_spoils_what_it_was_handed_does_not():
    def in_gradient(gradient, W, *, lr, steps, momentum=0.0):
        velocity = 0
        for _ in range(steps):
            slope = gradient(W)
            velocity = momentum * velocity - slope.mul_(lr)
            W = W + velocity
        return W

    def by_torch(gradient, W, *, lr, steps, momentum=0.0):
        W = W.clone()
        optimiser = torch.optim.SGD([W], lr=lr, momentum=momentum)
        for _ in range(steps):
            W.grad = gradient(W.clone())
            optimiser.step()
        return W

    for settings in ({}, {"momentum": None}, {"steps": 0}, {"shape": (3,), "steps": 30, "seed": 8}):
        assert exercises.check_descend(by_torch, **settings)
    assert mistake(exercises.check_descend, in_gradient) == "in-place"


def test_uncorrelated_weights_pass_with_any_signs():
    def answer(X, W):
        _, _, Q = torch.linalg.svd(X @ W - (X @ W).mean(0))
        return -W @ Q.T

    for settings in ({}, {"trained": False}, {"trained": False, "images": 3, "code": 5}, {"code": 1}):
        assert exercises.check_uncorrelated(answer, **settings)
    assert mistake(exercises.check_uncorrelated, lambda X, W: W) == "correlated"


@pytest.mark.parametrize(
    "where", [{"axes": ()}, {"axes": (), "code": 3}, {"axes": (1, 2), "code": 2}, {"axes": (0, 1), "code": 2}]
)
def test_a_way_out_passes_in_either_direction_and_a_random_one_does_not_at_a_saddle(where):
    def answer(X, W, sign=-1.0):
        axes = torch.linalg.svd(X, full_matrices=False).Vh
        inside = (axes @ W).norm(dim=1) > 0.5
        u = int((~inside).nonzero()[0])
        carried, q = torch.linalg.eigh((X @ W).T @ (X @ W))
        return None if carried[0] > (X @ axes[u]).square().sum() else sign * torch.outer(axes[u], q[:, 0])

    assert exercises.check_way_out(answer, **where)
    if where["axes"] == (1, 2):
        assert mistake(exercises.check_way_out, lambda X, W: W / W.norm(), **where) == "uphill"
    assert mistake(exercises.check_way_out, lambda X, W: W * 0, **where) in ("length", "no-exit")
    assert mistake(exercises.check_way_out, lambda X, W: X, axes=(1,)) == "shape"


@pytest.mark.parametrize(
    "where",
    [
        {"axes": (1,), "centred": False},
        {"axes": (0,), "centred": False},
        {"axes": (0, 1), "code": 2, "pixels": 6, "seed": 5},
        {"axes": (0, 1), "code": 2, "variances": (9, 4, 4, 0.5)},
        {"axes": (1, 2), "code": 2, "variances": (9, 4, 4, 0.5)},
        {"axes": (0, 1), "code": 3, "variances": (9, 4, 0, 0, 0)},
        {"axes": (0,), "code": 3, "variances": (9, 4, 0, 0, 0)},
    ],
)
def test_where_a_way_out_is_due_agrees_with_the_curvature_that_autograd_finds(where):
    def by_curvature(X, W):
        X, shape = X.double(), W.shape
        second = torch.autograd.functional.hessian(lambda w: loss(X, w.view(shape)), W.double().flatten())
        bends, ways = torch.linalg.eigh(second)
        return None if bends[0] > -1e-2 else ways[:, 0].view(shape).to(W.dtype)

    assert exercises.check_way_out(by_curvature, **where)


def test_a_direction_that_leaves_the_loss_as_it_is_is_called_flat():
    def turned_inside(X, W):  # a rotation of the code, which no picture sees
        H = W @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=W.dtype, device=W.device)
        return H / H.norm()

    assert mistake(exercises.check_way_out, turned_inside, axes=(1, 2), code=2) == "flat"
