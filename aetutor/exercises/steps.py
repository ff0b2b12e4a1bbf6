"""Checks of assignment 02: training steps, and the parameters that they do not move.

An answer's step is compared with steps made here, one for each fault, so that the fault can be named.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .answers import call, close, kind, require, same
from .faults import _devices

_cat, _full_like, _generator, _no_grad = torch.cat, torch.full_like, torch.Generator, torch.no_grad
_rand, _randint, _randn, _fork = torch.rand, torch.randint, torch.randn, torch.random.fork_rng
_Adam, _SGD, _Linear, _Module = torch.optim.Adam, torch.optim.SGD, nn.Linear, nn.Module
_same_values = torch.equal
_NO_GRADIENT, _NO_STEP, _HIDDEN = "no gradient", "no step", "hidden tests run when this is graded."


def check_idle(
    idle: Callable, *, cases: Sequence[str] = ("healthy", "cut", "left out", "frozen"), steps: int = 3
) -> str:
    """Whether idle(model, step, steps=…) names the parameters that training leaves where they were, and says why.

    idle       : (model, step, *, steps) -> {name: "no gradient" or "no step"}
    cases      : strs        how the steps go: healthy, cut, left out, frozen, late, small, silent, border, stops,
                             balanced, turning
    steps      : int         how often step is to be called
    returns    : str         what was verified
    raises     : Wrong       with a hint: alias, frozen, tolerance, element, steps, sum, reason, missed, mode, …
    source     : the course's own
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    for case in cases:
        model, step, count = _still(case)
        found = call(idle, model, step, name="idle", steps=steps)
        require(
            isinstance(found, dict), "type", f"idle should return a dict {{name: reason}}, but it is {kind(found)}."
        )
        hint = f"idle called step() {len(count)} times where steps={steps} asks for {steps}."
        require(len(count) == steps, "steps", hint)
        encoder, decoder = ("encoder.weight", "encoder.bias"), ("decoder.weight", "decoder.bias")
        want = {"cut": dict.fromkeys(encoder, _NO_GRADIENT), "left out": dict.fromkeys(decoder, _NO_STEP)}.get(case, {})
        if case == "silent":
            want = dict.fromkeys((*encoder, "decoder.weight"), _NO_GRADIENT)
        if case == "balanced":
            want = {"balance": _NO_STEP}
        require(model.training, "mode", "idle leaves the network in eval mode, which changes what later steps do.")
        extra, missed = sorted(set(found) - set(want)), sorted(set(want) - set(found))
        trainable = sorted(name for name, p in model.named_parameters() if p.requires_grad)
        frozen = "encoder.bias" not in trainable and "encoder.bias" in extra
        require(not frozen, "frozen", "idle names a parameter with requires_grad=False, which is meant to stay.")
        hint = f"idle names {extra}, which moved by about a millionth. A small step is a step: compare exactly."
        require(not (extra and case == "small"), "tolerance", hint)
        hint = f"idle names {extra}, which moved in the first step and rest from then on."
        require(not (extra and case == "stops"), "steps", hint)
        hint = "idle names every parameter. Is each compared with itself? Training changes the tensors in place."
        require(not (set(trainable) <= set(found) and extra), "alias", hint)
        hint = f"idle names {extra}, which rest in the first step and move in the next. Compare the end with the start."
        require(not (extra and case == "late"), "steps", hint)
        hint = f"idle names {extra}, of which some elements rest and others move. It asks for all of them."
        require(not (extra and case == "border"), "element", hint)
        hint = f"idle names {extra}, whose elements moved and have the same sum as before. Compare each element."
        require(not (extra and case == "turning"), "sum", hint)
        require(not extra, "value", f"idle names {extra}, which moved or do not exist.")
        require(not missed, "missed", f"idle leaves out {missed}, which did not move.")
        off = [f"{name} ({found[name]!r})" for name in want if found[name] != want[name]]
        hint = f"idle gives the wrong reason for {', '.join(off)}: is .grad None, all zero, or neither after the steps?"
        require(not (off and case == "balanced"), "sum", hint + " Elements of +1 and −1 sum to zero.")
        require(not off, "reason", hint)
    return f"idle: right for {len(cases)} ways to train; {_HIDDEN}"


def check_train_step(
    train_step: Callable,
    *,
    seed: int = 0,
    shape: Sequence[int] = (1, 6, 5),
    batches: Sequence[int] = (8, 8),
    stale: bool = False,
) -> str:
    """Whether train_step(model, optimiser, batch) makes the same steps as a training without a fault.

    train_step : (model, optimiser, batch) -> float; batch (B, C, H, W) uint8
    seed       : int         of weights and images
    shape      : (C, H, W)   of one image
    batches    : ints        images in each step
    stale      : bool        whether gradients of something else lie about at the start
    returns    : str         what was verified
    raises     : Wrong       with a hint: scaled-twice, detached, not-cleared, fixed-batch, two-steps, own-optimiser, …
    source     : the course's own
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    draw = _generator().manual_seed(seed)
    data = [_randint(0, 256, (count, *shape), generator=draw, dtype=torch.uint8) for count in batches]
    hints = {
        "no-step": "the weights did not move. In which order do backward(), zero_grad() and step() come?",
        "scaled-twice": "x looks divided by 255 twice. What is the largest value in it?",
        "unscaled": "x looks as if it had not been scaled. What is the largest value in it?",
        "detached": "the encoder learns nothing. Where is the graph cut?",
        "not-cleared": "gradients of an earlier step are still in .grad when backward() adds to them.",
        "pixels": "the loss is averaged over pixels. Sum over an image's pixels, mean over images.",
        "batch": "the loss is summed over images. Sum over an image's pixels, mean over images.",
    }
    for where in _devices():
        paths = {fault: _trained(data, seed, stale, where, fault) for fault in (None, *hints)}
        model, optimiser = _linear(shape, seed, stale, where)
        for turn, batch in enumerate(data):
            before, made = _weights(model), []
            handle = optimiser.register_step_post_hook(lambda *_, made=made: made.append(1))
            loss = call(train_step, model, optimiser, batch.to(where), name="train_step")
            handle.remove()
            hint = " A tensor would hold on to the step's graph." if isinstance(loss, Tensor) else ""
            hint = f"train_step should return a Python float, but it is {kind(loss)}.{hint}"
            require(isinstance(loss, float), "type", hint)
            size, (want, right) = math.prod(shape), paths[None][turn]
            mistakes = {fault: (paths[fault][turn][1], hint) for fault, hint in hints.items() if "scaled" in fault}
            others = {8, *batches} - {1, len(batch), size, size * len(batch)}
            for count in others:
                hint = f"the loss of step {turn + 1} is a sum divided by {count}; the batch holds {len(batch)} images."
                require(not close(loss, right * len(batch) / count, rtol=1e-3), "fixed-batch", hint)
            name = f"the loss of step {turn + 1}"
            same(loss, right, name=name, rtol=1e-3, batch=len(batch), pixels=size, mistakes=mistakes)
            hint = f"train_step makes {len(made)} steps with the optimiser; one is asked for."
            require(len(made) < 2, "two-steps", hint)
            hint = "the weights move, but not by the optimiser that is given. Whoever calls the function chooses how."
            require(made or _same_values(_weights(model), before), "own-optimiser", hint)
            mistakes = {fault: (paths[fault][turn][0], hint) for fault, hint in hints.items()}
            same(_weights(model), want, name=f"after step {turn + 1}, the model", rtol=1e-3, mistakes=mistakes)
    return f"train_step: {len(batches)} steps as they should be; {_HIDDEN}"


# --- What the checks measure with ------------------------------------------------------------------------------


class _Plain(_Module):
    """The smallest autoencoder: one linear layer each way."""

    def __init__(self, shape: tuple[int, ...], *, seed: int, code: int = 3):
        super().__init__()
        self.shape, size = tuple(shape), math.prod(shape)
        with _fork(devices=[]):  # the student's random numbers stay as they are
            self.encoder, self.decoder = _Linear(size, code), _Linear(code, size)
        draw = _generator().manual_seed(seed)
        with _no_grad():
            for weights in self.parameters():
                weights.copy_(0.3 * _randn(weights.shape, generator=draw))

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1))

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z).unflatten(1, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


_Plain.__name__ = "network"  # what a hint calls it


def _still(case: str) -> tuple[nn.Module, Callable[[], float], list]:
    """A network, its training step with one thing wrong, and a list that grows with each call of the step."""
    model, draw, calls = _Plain((1, 3, 2), seed=1), _generator().manual_seed(2), []
    with _no_grad():
        for weights in model.parameters():
            weights.sign_()  # of size 1, where a millionth is small
        if case == "late":
            model.decoder.weight.zero_()
    model.encoder.bias.requires_grad_(case != "frozen")
    moving = list((model.encoder if case == "left out" else model).parameters())
    if case in ("balanced", "turning"):
        model.balance = nn.Parameter(torch.zeros(2))  # its gradient is (1, −1)
        moving += [model.balance] if case == "turning" else []
    optimiser = _Adam(moving, lr=1e-6 if case == "small" else 1e-2)

    def step() -> float:
        calls.append(case)
        x = _rand(5, 1, 3, 2, generator=draw)
        if case == "border":
            x[..., 0] = 0.0  # pixels that are always black, so that their weights get no gradient
        z = model.encode(x)
        z = z.detach() if case == "cut" else z * 0.0 if case == "silent" else z
        loss = (model.decode(z) - x).square().flatten(1).sum(1).mean()
        if case in ("balanced", "turning"):
            loss = loss + model.balance[0] - model.balance[1]
        optimiser.param_groups[0]["lr"] *= case != "stops" or len(calls) == 1
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return model, step, calls


def _linear(shape, seed: int, stale: bool, where: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = _Plain(shape, seed=seed).to(where)
    for weights in model.parameters():
        weights.grad = _full_like(weights, 0.5) if stale else None
    return model, _SGD(model.parameters(), lr=1e-3)


def _trained(data, seed: int, stale: bool, where: str, fault: str | None) -> list[tuple[Tensor, float]]:
    """(all weights, loss) after each step of a training with one fault, or none."""
    model, optimiser = _linear(data[0].shape[1:], seed, stale, where)
    rows = []
    for batch in data:
        x = batch.to(where).float() / {"scaled-twice": 255.0**2, "unscaled": 1.0}.get(fault, 255.0)
        z = model.encode(x)
        squares = (model.decode(z.detach() if fault == "detached" else z) - x) ** 2
        loss = {"pixels": squares.mean(), "batch": squares.sum()}.get(fault, squares.sum() / len(x))
        if fault != "not-cleared":
            optimiser.zero_grad()
        loss.backward()
        if fault != "no-step":
            optimiser.step()
        rows.append((_weights(model), float(loss.detach())))
    return rows


def _weights(model: nn.Module) -> Tensor:
    return _cat([weights.detach().flatten() for weights in model.parameters()])
