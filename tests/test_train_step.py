"""What one training step promises: its precision, its size, its recording on a GPU, and where its images come from."""

import contextlib
import math
import random
import re
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Streamed, spots
from torch import nn

from aetutor import runtime, train
from aetutor.models import ConvAutoencoder, DenseAutoencoder
from aetutor.train import loop, source
from aetutor.train.checkpoint import Checkpoint
from aetutor.train.players import Player, players
from aetutor.train.run import Run
from aetutor.train.step import FusedAdam, Recorded, Step, adam, host_randomness

fit = partial(train.fit, device="cpu", progress=False)
CPU = torch.device("cpu")


def network(number=0, **how):
    with runtime.seeded("weights", number):
        return DenseAutoencoder(3, **{"hidden": (16,), "shape": (1, 8, 8)} | how)


def same(a: nn.Module, b: nn.Module) -> bool:
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def scores(history):
    """All that must repeat from run to run: everything but the seconds."""
    return [(row.epoch, row.train, row.valid) for row in history.rows]


def denoise(model, x):
    return (model(x + 0.3 * torch.randn_like(x)) - x).square().flatten(1).sum(1)


@pytest.fixture(autouse=True)
def quiet():
    """A warning that no test expects is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


# --- More images than fit in memory ---------------------------------------------------------------------------


class Small:
    """`loss` on a GPU that holds the activations of no more than `room` images in training."""

    def __init__(self, room, loss=train.reconstruct):
        self.room, self.loss, self.seen, self.refused = room, loss, [], 0

    def __call__(self, model, x):
        if torch.is_grad_enabled():
            if len(x) > self.room:
                self.refused += 1
                assert self.refused < 100, "tried for ever"
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
            self.seen.append(len(x))
        return self.loss(model, x)


@pytest.mark.parametrize(
    ("batch", "room", "halvings"),
    [
        (100, 100, []),
        (100, 99, [(100, 50)]),
        (48, 10, [(48, 24), (24, 12), (12, 6)]),
        (25, 7, [(25, 13), (13, 7)]),
        (600, 1, [(600, 300), (300, 150), (150, 75), (75, 38), (38, 19), (19, 10), (10, 5), (5, 3), (3, 2), (2, 1)]),
        (2, 1, [(2, 1)]),
        (1, 1, []),
    ],
)
def test_a_batch_that_does_not_fit_is_taken_in_parts_and_makes_the_same_step(tiny, batch, room, halvings):
    images = SimpleNamespace(train=tiny.train[:101] if batch < 600 else tiny.train, valid=tiny.valid)
    plain, parts, objective = network(), network(), Small(room)
    expected = fit(plain, images, epochs=2, batch=batch)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(parts, images, epochs=2, batch=batch, objective=objective)
    said = [re.match(r"(\d+) images at once do not fit .*: taking (\d+) at a time", str(w.message)) for w in caught]
    assert [tuple(map(int, match.groups())) for match in said] == halvings  # and not again at the next step
    assert all(w.filename == __file__ for w in caught)
    assert sum(objective.seen) == 2 * len(images.train) and max(objective.seen) <= room
    assert history.train == pytest.approx(expected.train, rel=1e-4)
    assert history.valid == pytest.approx(expected.valid, rel=1e-4)
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], weight, rtol=1e-3, atol=1e-3)


def test_if_not_even_one_image_fits_the_error_is_passed_on_and_the_model_is_as_it_was(tiny):
    model = network()
    with pytest.raises(torch.cuda.OutOfMemoryError, match="Tried to allocate"), pytest.warns(UserWarning) as caught:
        fit(model, tiny, batch=4, objective=Small(0))
    assert [str(warning.message)[:8] for warning in caught] == ["4 images", "2 images"]
    assert same(model, network()) and not model.training


def test_in_a_team_the_error_is_passed_on_since_the_others_would_wait(tiny):
    model = network()
    pixels = source.Resident(tiny.train, CPU)
    one = Step(players(model, Small(3), 1e-3, CPU), pixels.take, torch.float32, size=2)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        one(torch.arange(4), 1e-3, 8)
    assert same(model, network())


def test_images_are_counted_where_many_networks_share_a_step():
    """fit_many hands an index (M, B) to one step: M networks, B images each."""

    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([0.5, 0.2]))

        def forward(self, x):
            if x.shape[1] > 3:
                raise torch.cuda.OutOfMemoryError
            return (x * self.scale.view(2, 1, 1, 1, 1) - x).square().flatten(2).sum(2)  # (M, B)

    pixels, index = source.Resident(spots(12), CPU), torch.stack([torch.arange(10), torch.arange(10).flip(0) + 2])
    many = Many()
    one = Step([Player(many, adam(many.parameters(), 0.1, CPU))], pixels.take, torch.float32)
    with pytest.warns(UserWarning) as caught:
        total = one(index, 0.1, 10)
    assert [str(warning.message)[:9] for warning in caught] == ["10 images", "5 images "]
    x = spots(12)[index].float() / 255
    expected = (x.square().flatten(2).sum((1, 2))) * (1 - torch.tensor([0.5, 0.2])) ** 2
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(many.scale.detach(), torch.tensor([0.6, 0.3]))  # Adam's first step is the rate


# --- Precision ------------------------------------------------------------------------------------------------


class Noting:
    """Squared error that notes in which type the network computed, in training and in validation."""

    def __init__(self):
        self.types = {True: set(), False: set()}

    def __call__(self, model, x):
        x_hat = model(x.to(next(model.parameters()).dtype))
        self.types[torch.is_grad_enabled()].add(x_hat.dtype)
        return (x_hat - x).square().flatten(1).sum(1)


@pytest.mark.parametrize(
    "build", [network, lambda: ConvAutoencoder(3, width=4, size=8, activation=nn.ReLU)], ids=["dense", "conv"]
)
def test_bfloat16_trains_about_as_well_as_float32_with_weights_and_validation_in_float32(tiny, build):
    with runtime.seeded("weights"):
        full = build()
    with runtime.seeded("weights"):
        low = build()
    noting, how = Noting(), {"epochs": 6, "batch": 50, "lr": 1e-2}
    expected = fit(full, tiny, **how, precision=torch.float32)
    history = fit(low, tiny, **how, objective=noting, precision=torch.bfloat16)
    assert noting.types == {True: {torch.bfloat16}, False: {torch.float32}}
    assert {weight.dtype for weight in low.parameters()} == {torch.float32}
    assert history.best.valid == pytest.approx(expected.best.valid, rel=0.05)
    assert history.best.valid != expected.best.valid
    # More than bfloat16's 8 bits of the weights are in use.
    assert any(not torch.equal(weight, weight.bfloat16().float()) for weight in low.parameters())
    x = tiny.valid.float() / 255
    assert history.best.valid == pytest.approx((low(x) - x).square().flatten(1).sum(1).mean().item(), rel=1e-5)


def test_a_sum_over_many_images_keeps_its_digits_under_bfloat16():
    """In bfloat16, 256 + 1 is 256, and a sum of 601 ones is 600."""
    images = SimpleNamespace(train=spots(601), valid=spots(10))

    def ones(model, x):
        return (1 + 0 * model(x).flatten(1).sum(1)).bfloat16()

    history = fit(network(), images, epochs=1, batch=601, objective=ones, precision=torch.bfloat16)
    assert history.train == [1.0] and history.valid == [1.0]


@pytest.mark.parametrize("wanted", [None, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("faster", [torch.float32, torch.bfloat16])
def test_precision_is_what_is_asked_for_and_else_what_is_faster_here(tiny, wanted, faster, monkeypatch):
    asked = []

    def precision(where, *, parameters):
        asked.append((torch.device(where), parameters))
        return faster

    monkeypatch.setattr(runtime, "precision", precision)
    noting, model = Noting(), network()
    fit(model, tiny, epochs=1, objective=noting, precision=wanted)
    assert noting.types[True] == {wanted or faster}
    assert wanted or asked == [(CPU, sum(weight.numel() for weight in model.parameters()))]


@pytest.mark.parametrize("able", [False, True])
def test_small_networks_train_in_float32_and_large_ones_in_bfloat16_where_the_processor_can(tiny, able, monkeypatch):
    monkeypatch.setattr(runtime.machine, "_cpu_multiplies_bfloat16", lambda: able)
    for model, low in [(network(), False), (network(hidden=(16_000,)), able)]:
        noting = Noting()
        fit(model, SimpleNamespace(train=tiny.train[:20], valid=tiny.valid[:5]), epochs=1, objective=noting)
        assert noting.types == {True: {torch.bfloat16 if low else torch.float32}, False: {torch.float32}}


@pytest.mark.parametrize("wrong", ["bfloat16", torch.float16, torch.float64, torch.int8, 16, float, True, ""])
def test_a_precision_that_is_none_is_refused(tiny, wrong):
    model = network()
    with pytest.raises(ValueError, match=r"precision is .*; expected torch\.float32, torch\.bfloat16, or None"):
        fit(model, tiny, precision=wrong)
    assert same(model, network()) and model.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_whose_weights_have_another_type_computes_in_that(tiny, dtype, monkeypatch):
    monkeypatch.setattr(runtime, "precision", lambda where, *, parameters: torch.bfloat16)
    noting, model = Noting(), network().to(dtype)
    history = fit(model, tiny, epochs=2, objective=noting)
    assert noting.types == {True: {dtype}, False: {dtype}}
    assert {weight.dtype for weight in model.parameters()} == {dtype}
    assert history.valid == pytest.approx(fit(network(), tiny, epochs=2, precision=torch.float32).valid, rel=0.05)


# --- What an objective may be ---------------------------------------------------------------------------------


def test_a_module_is_an_objective_and_is_not_trained(tiny):
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.layer = nn.Parameter(torch.full((64,), 2.0)), nn.Linear(2, 2)

        def forward(self, model, x):
            return ((model(x) - x).flatten(1).square() * self.weight).sum(1)

    objective, ours, theirs = Weighted(), network(), network()
    before = [weight.clone() for weight in objective.parameters()]
    history = fit(ours, tiny, epochs=2, objective=objective)
    expected = fit(theirs, tiny, epochs=2, objective=lambda model, x: 2 * train.reconstruct(model, x))
    assert history.train == pytest.approx(expected.train, rel=1e-5) and history.unit == "objective per image"
    assert all(torch.equal(a, b) for a, b in zip(objective.parameters(), before, strict=True)) and objective.training
    assert ours.state_dict().keys() == network().state_dict().keys()


def test_an_objective_may_use_any_method_of_the_network(tiny):
    def codes(model, x):
        z = model.encode(x)
        return (model.decode(z) - x).square().flatten(1).sum(1) + 0.1 * z.abs().sum(1)

    history = fit(network(), tiny, epochs=3, objective=codes)
    assert history.valid[-1] < history.valid[0]


# --- Images that are read while training goes on --------------------------------------------------------------


@pytest.mark.parametrize("objective", [train.reconstruct, denoise])
@pytest.mark.parametrize("batch", [128, 600, 7])
def test_images_from_files_train_as_images_in_memory_do(tiny, objective, batch):
    ours, theirs = network(), network()
    streamed = SimpleNamespace(train=Streamed(tiny.train), valid=Streamed(tiny.valid))
    expected = fit(theirs, tiny, epochs=2, batch=batch, objective=objective)
    history = fit(ours, streamed, epochs=2, batch=batch, objective=objective)
    assert scores(history) == scores(expected) and same(ours, theirs)
    assert [len(index) for index in streamed.train.asked] == 2 * [len(part) for part in torch.arange(600).split(batch)]


def test_images_from_files_are_pinned_for_a_gpu_alone(tiny):
    asked = []

    class Asked(Streamed):
        def batches(self, indices, *, pin):
            asked.append(pin)
            return super().batches(indices, pin=pin)

    images = Asked(tiny.train[:9])
    fit(network(), SimpleNamespace(train=images, valid=images), epochs=1)
    assert asked == [False, False]
    next(source.Streamed(images, torch.device("cuda")).batches([torch.arange(2)]))
    assert asked[2:] == [True]


@pytest.mark.parametrize("batch", [1, 3, 20])
@pytest.mark.parametrize("missing", [{0}, set(range(10)), set(range(0, 50, 2))], ids=len)
def test_images_that_cannot_be_read_are_missing_from_means_and_nothing_else(tiny, batch, missing):
    """Batches come out shorter, some of them empty; the objective is one that does not like those."""
    pixels, seen, losses = tiny.train[:50], [], []

    def objective(model, x):
        assert x.view(len(x), -1).amax() > 0
        loss = train.reconstruct(model, x)
        if torch.is_grad_enabled():
            seen.append(x)
            losses.append(loss.detach())
        return loss

    images, model = SimpleNamespace(train=Streamed(pixels, missing), valid=Streamed(tiny.valid, {3, 4})), network()
    history = fit(model, images, epochs=2, batch=batch, objective=objective)
    left = [i for i in range(50) if i not in missing]
    per_epoch = torch.cat(losses).view(2, len(left)).double().mean(1)
    assert history.train == pytest.approx(per_epoch.tolist(), rel=1e-5)
    expected = sorted((pixels[left].float() / 255).flatten(1).tolist())
    for part in torch.cat(seen).flatten(1).view(2, len(left), 64):
        assert sorted(part.tolist()) == expected
    x = tiny.valid[[0, 1, 2, *range(5, 100)]].float() / 255
    assert history.best.valid == pytest.approx(train.reconstruct(model, x).mean().item(), rel=1e-5)


def test_a_batch_of_no_image_moves_no_weight(tiny):
    model = network()
    pixels = source.Streamed(Streamed(tiny.train), CPU)
    one = Step(players(model, train.reconstruct, 0.01, CPU), pixels.take, torch.float32)
    one(tiny.train[:5], 0.01, 5)  # now Adam's averages would move the weights on their own
    before = [weight.clone() for weight in model.parameters()]
    assert one(tiny.train[:0], 0.01, 5) == 0
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
    one(tiny.train[:5], 0.01, 5)
    assert not any(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


def test_images_that_do_not_fit_on_the_gpu_stay_in_main_memory(tiny, monkeypatch):
    to = torch.Tensor.to

    def full(tensor, where, *args, **how):
        if where == torch.device("meta"):
            raise torch.cuda.OutOfMemoryError
        return to(tensor, where, *args, **how)

    monkeypatch.setattr(torch.Tensor, "to", full)
    with pytest.warns(UserWarning, match=r"0\.0 GB of images do not fit on meta: they stay in main memory"):
        images = source.Resident(tiny.train, torch.device("meta"))
    assert images.home == CPU and torch.equal(images.pixels, tiny.train) and images.where == torch.device("meta")
    assert not loop.recordable(images, torch.device("cuda"))  # the copy of each batch is none of a graph's business


# --- Random numbers drawn on the CPU --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(1),
        lambda: torch.randn(1),
        lambda: torch.randperm(3),
        lambda: nn.functional.dropout(torch.ones(3)),
        random.random,
        lambda: random.gauss(0, 1),
        lambda: random.shuffle([1, 2, 3]),
        lambda: np.random.rand(),  # noqa: NPY002
        lambda: np.random.randn(),  # noqa: NPY002
        lambda: np.random.randint(9),  # noqa: NPY002
    ],
)
def test_a_draw_from_any_global_generator_is_noticed_each_time(draw):
    for _ in range(4):  # randn and gauss make two numbers at once, and hand out the second without drawing
        before = host_randomness()
        assert host_randomness() == before
        draw()
        assert host_randomness() != before


def test_a_draw_from_a_generator_of_ones_own_is_nobodys_business():
    before = host_randomness()
    torch.rand(3, generator=runtime.stream("mine"))
    np.random.default_rng(0).normal()
    random.Random(0).random()
    assert host_randomness() == before


# --- Recording, on a pretended GPU ----------------------------------------------------------------------------


class Pretence:
    """Stands in for torch.cuda, as far as `Recorded` uses it.

    While it records, `Step.move` does not run, as on a GPU, but is kept with the tensors it was given; a replay runs it
    on what these tensors hold by then. So this tells whether steps are prepared, recorded, fed and replayed as they
    should be; it cannot tell whether CUDA would record them.
    """

    def __init__(self, monkeypatch, refuse=()):
        self.recording, self.graphs, self.replays, self.moves, self.refuse = None, [], 0, 0, list(refuse)
        self.restored = []
        generator = SimpleNamespace(clone_state=lambda: "as before", graphsafe_set_state=self.restored.append)
        pretence, move = self, Step.move

        class Stream:
            def __init__(self, device=None):
                pass

            def wait_stream(self, other):
                assert isinstance(other, Stream) and other is not self

        class Graph:
            def replay(self):
                pretence.replays += 1
                self.total.copy_(move(*self.given))

        def moved(one, given, whole, totals=None):
            if self.recording is None:
                self.moves += 1
                return move(one, given, whole, totals)
            if self.refuse:
                raise self.refuse.pop(0)
            assert all(weight.grad is None for weight in one.players[0].lesson.parameters())
            self.recording.given, self.recording.total = (one, given, whole), torch.zeros(len(one.players)).squeeze()
            return self.recording.total

        @contextlib.contextmanager
        def graph(one, stream=None):
            self.recording = one
            try:
                yield
                self.graphs.append(one)
            finally:
                self.recording = None

        here = Stream()
        stand_ins = {
            "Stream": Stream,
            "CUDAGraph": Graph,
            "graph": graph,
            "current_stream": lambda: here,
            "stream": lambda aside: contextlib.nullcontext(),
            "synchronize": lambda: None,
            "current_device": lambda: 0,
            "default_generators": [generator],
        }
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        monkeypatch.setattr(Step, "move", moved)
        monkeypatch.setattr(loop, "recordable", lambda images, where: True)
        monkeypatch.setattr(source.Resident, "by_index", True)


pretended = pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA GPU, and needs not pretend one")


@pretended
@pytest.mark.parametrize(
    ("count", "batch", "eager", "replays"),
    [
        (600, 100, 3, 2 * 6 - 3),
        (600, 128, 3 + 2, 2 * 4 - 3),  # the last of an epoch has 88 images, and is not the recorded one
        (50, 64, 2, 0),  # no batch is whole
        (100, 100, 2, 0),  # over before it starts
        (7, 1, 3, 2 * 7 - 3),
    ],
)
def test_a_step_is_recorded_after_three_and_replayed_for_every_whole_batch(
    tiny, count, batch, eager, replays, monkeypatch
):
    images = SimpleNamespace(train=tiny.train[:count], valid=tiny.valid)
    ours, theirs, how = network(), network(), {"epochs": 2, "batch": batch}
    expected = fit(theirs, images, **how)
    with monkeypatch.context() as patch:
        pretence = Pretence(patch)
        history = fit(ours, images, **how)
    assert (pretence.moves, pretence.replays, len(pretence.graphs)) == (eager, replays, int(replays > 0))
    assert scores(history) == scores(expected) and same(ours, theirs)


@pretended
def test_without_record_nothing_is_recorded(tiny, monkeypatch):
    pretence, model = Pretence(monkeypatch), network()
    fit(model, tiny, epochs=2, record=False)
    assert (pretence.moves, pretence.replays, pretence.graphs) == (10, 0, [])


@pretended
def test_a_step_that_cannot_be_recorded_is_taken_as_it_is_with_one_warning(tiny, monkeypatch):
    ours, theirs, how = network(), network(), {"epochs": 3, "batch": 100}
    expected = fit(theirs, tiny, **how)
    refusal = RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore\nlines")
    pretence = Pretence(monkeypatch, [refusal])
    with pytest.warns(UserWarning) as caught:
        history = fit(ours, tiny, **how)
    (warning,) = caught
    assert re.fullmatch(
        r"the objective cannot be recorded as a CUDA graph \(CUDA error: operation not permitted when stream is"
        r" capturing\); training runs step by step, slower but alike",
        str(warning.message),
    )
    assert (pretence.moves, pretence.replays, pretence.graphs) == (18, 0, [])
    assert pretence.restored == ["as before"]
    assert scores(history) == scores(expected) and same(ours, theirs)


@pretended
@pytest.mark.parametrize(
    "draw",
    [lambda x: torch.randn(x.shape), lambda x: random.random(), lambda x: np.random.rand()],  # noqa: NPY002
    ids=["torch", "random", "numpy"],
)
@pytest.mark.parametrize("since", [1, 2, 3])
def test_an_objective_that_draws_on_the_cpu_is_not_recorded_since_a_recording_would_repeat_it(
    tiny, draw, since, monkeypatch
):
    def steps():
        taken = 0

        def objective(model, x):
            nonlocal taken
            taken += torch.is_grad_enabled()
            return train.reconstruct(model, x + (0.1 * draw(x) if taken >= since else 0.0))

        return objective

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    ours, theirs, how = network(), network(), {"epochs": 2, "batch": 100}
    expected = fit(theirs, tiny, **how, objective=steps())
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    pretence = Pretence(monkeypatch)
    with pytest.warns(UserWarning, match=r"cannot be recorded .*draws random numbers on the CPU.*repeat") as caught:
        history = fit(ours, tiny, **how, objective=steps())
    assert len(caught) == 1 and (pretence.moves, pretence.replays) == (12, 0)
    assert scores(history) == scores(expected) and same(ours, theirs)


@pretended
def test_too_little_memory_and_recording_go_together(tiny, monkeypatch):
    ours, theirs, how = network(), network(), {"epochs": 2, "batch": 100}
    expected = fit(theirs, tiny, **how)
    pretence = Pretence(monkeypatch)
    with pytest.warns(UserWarning, match="100 images at once do not fit") as caught:
        history = fit(ours, tiny, **how, objective=Small(60))
    assert len(caught) == 1 and len(pretence.graphs) == 1 and pretence.replays == 9
    assert history.valid == pytest.approx(expected.valid, rel=1e-4)


class Pair(nn.Module):
    """An autoencoder and a critic of its codes, which pull at the encoder in turn."""

    def __init__(self):
        super().__init__()
        self.autoencoder, self.critic = network(), nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))


def tell(model, x):
    drawn, z = torch.randn(len(x), 3, device=x.device), model.autoencoder.encode(x)
    return (nn.functional.softplus(-model.critic(drawn)) + nn.functional.softplus(model.critic(z))).squeeze(1)


TURNS = {
    "autoencoder": lambda model, x: train.reconstruct(model.autoencoder, x),
    "critic": tell,
    "autoencoder.encoder": lambda model, x: nn.functional.softplus(-model.critic(model.autoencoder.encode(x))).squeeze(
        1
    ),
}


def pair():
    with runtime.seeded("weights"):
        return Pair()


@pretended
@pytest.mark.parametrize("batch", [100, 128], ids=["batches that divide", "a last batch of 88"])
def test_all_turns_of_a_step_are_recorded_as_one(tiny, batch, monkeypatch):
    codes = {"critic": lambda model, x: (model.critic(model.autoencoder.encode(x)) ** 2).squeeze(1)}
    ours, theirs, how = pair(), pair(), {"epochs": 3, "batch": batch, "objective": TURNS | codes}  # draws nothing
    expected = fit(theirs, tiny, **how)
    pretence = Pretence(monkeypatch)
    history = fit(ours, tiny, **how)
    assert (len(pretence.graphs), pretence.replays) == (1, 3 * (600 // batch) - 3)
    assert scores(history) == scores(expected) and history.players == expected.players and same(ours, theirs)


@pretended
def test_a_recording_that_fails_within_a_turn_leaves_no_turn_out(tiny, monkeypatch):
    codes = {"critic": lambda model, x: (model.critic(model.autoencoder.encode(x)) ** 2).squeeze(1)}
    ours, theirs, how = pair(), pair(), {"epochs": 2, "batch": 100, "objective": TURNS | codes}
    expected = fit(theirs, tiny, **how)
    pretence = Pretence(monkeypatch, [RuntimeError("operation not permitted when stream is capturing")])
    with pytest.warns(UserWarning, match="cannot be recorded"):
        history = fit(ours, tiny, **how)
    assert pretence.replays == 0 and scores(history) == scores(expected) and same(ours, theirs)


# --- Recording, on a GPU --------------------------------------------------------------------------------------

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
on_gpu = partial(train.fit, device="cuda", progress=False)


@pytest.fixture
def recordings(monkeypatch):
    """Whether each attempt to record a step succeeded."""
    found, record = [], Recorded.record

    def noted(self, whole):
        found.append(record(self, whole))
        return found[-1]

    monkeypatch.setattr(Recorded, "record", noted)
    return found


def about_recording(caught) -> int:
    return sum("the objective cannot be recorded as a CUDA graph (" in str(warning.message) for warning in caught)


def dense_and_conv():
    for build in (network, partial(ConvAutoencoder, 3, width=4, size=8)):
        with runtime.seeded("weights"):
            first = build()
        with runtime.seeded("weights"):
            again = build()
        yield first, again


@gpu
@pytest.mark.parametrize("batch", [50, 128], ids=["batches that divide", "a last batch of 88"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("objective", [train.reconstruct, denoise])
def test_on_a_gpu_recorded_and_plain_steps_train_equally_well(tiny, batch, precision, objective, recordings):
    for ours, theirs in dense_and_conv():
        how = {"epochs": 20, "batch": batch, "lr": 0.01, "precision": precision, "objective": objective}
        expected = on_gpu(theirs, tiny, **how, record=False)
        assert recordings == []
        history = on_gpu(ours, tiny, **how)
        assert recordings == [True]
        recordings.clear()
        close = 0.01 if precision == torch.float32 and objective is train.reconstruct else 0.03
        assert history.best.valid == pytest.approx(expected.best.valid, rel=close)
        assert history.train == pytest.approx(expected.train, rel=0.05)
        assert {weight.device.type for weight in ours.parameters()} == {"cuda"} and not ours.training


@gpu
@pytest.mark.parametrize("batch", [50, 128], ids=["batches that divide", "a last batch of 88"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_on_a_gpu_players_recorded_train_as_players_step_by_step(tiny, batch, precision, recordings):
    how = {"epochs": 20, "batch": batch, "lr": 0.003, "precision": precision, "objective": TURNS}
    ours, theirs = pair(), pair()
    expected = on_gpu(theirs, tiny, **how, record=False)
    assert recordings == []
    history = on_gpu(ours, tiny, **how)
    assert recordings == [True] and list(history.players) == list(TURNS)
    for name, losses in history.players.items():
        assert losses == pytest.approx(expected.players[name], rel=0.1)
    assert all(weight.requires_grad and weight.device.type == "cuda" for weight in ours.parameters())


@gpu
def test_on_a_gpu_the_rates_of_all_players_are_written_at_every_replay(tiny, recordings):
    """At a rate that changes nothing, each player's mean is that of the weights it began with, epoch after epoch."""
    codes = {"critic": lambda model, x: (model.critic(model.autoencoder.encode(x)) ** 2).squeeze(1)}
    model, how = pair(), {"epochs": 4, "batch": 50, "precision": torch.float32}
    history = on_gpu(model, tiny, **how, lr=1e-12, objective=TURNS | codes)
    for losses in history.players.values():
        assert losses == pytest.approx([losses[0]] * 4, rel=2e-3)
    for before, after in zip(pair().parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(after.cpu(), before, rtol=1e-5, atol=1e-6)
    assert recordings == [True]


@gpu
def test_on_a_gpu_every_image_of_every_replay_counts_once(tiny, recordings):
    """The mean over an epoch, at a learning rate that changes nothing, is the mean over the images."""
    for batch in (50, 128, 600):
        model = network()
        history = on_gpu(model, tiny, epochs=4, batch=batch, lr=1e-12, precision=torch.float32)
        x = tiny.train.float() / 255
        expected = train.reconstruct(network(), x).mean().item()
        assert history.train == pytest.approx([expected] * 4, rel=2e-3)  # TF32 has 10 bits
    assert recordings == [True, True, True]


class Log:
    """Keeps numbers on the GPU, one at each call, replays included."""

    def __init__(self, size):
        self.numbers = torch.zeros(size, device="cuda")
        self.place = torch.zeros(1, dtype=torch.int64, device="cuda")

    def __call__(self, number):
        self.numbers.scatter_(0, self.place, number.detach().reshape(1).float())
        self.place += 1

    def distinct(self):
        found = self.numbers[: int(self.place)].tolist()
        return len(found), len(set(found))


@gpu
def test_on_a_gpu_noise_and_codes_are_drawn_anew_at_every_replay(tiny, recordings):
    noises, codes, first = Log(1000), Log(1000), Log(1000)

    class Drawing(DenseAutoencoder):
        def encode(self, x):
            mu = super().encode(x)
            epsilon = torch.randn_like(mu)
            if torch.is_grad_enabled():
                codes(epsilon[0, 0])
            return mu + 0.1 * epsilon

    def objective(model, x):
        noise = torch.randn_like(x)
        if torch.is_grad_enabled():
            noises(noise[0, 0, 0, 0])
            first(x[0].sum())
        return train.reconstruct(model, x + 0.1 * noise)

    images = SimpleNamespace(train=tiny.train, valid=tiny.valid)
    on_gpu(Drawing(3, hidden=(16,), shape=(1, 8, 8)), images, epochs=5, batch=50, objective=objective)
    assert recordings == [True]
    assert noises.distinct() == codes.distinct() == (60, 60)
    assert first.distinct()[1] > 50  # and other images each time


@gpu
def test_on_a_gpu_the_same_seed_draws_the_same_noise_and_another_seed_other_noise(tiny, recordings):
    def drawn(seed):
        log = Log(1000)

        def objective(model, x):
            noise = torch.randn_like(x)
            if torch.is_grad_enabled():
                log(noise[0, 0, 0, 0])
            return train.reconstruct(model, x + 0.1 * noise)

        on_gpu(network(), tiny, epochs=2, batch=50, objective=objective, seed=seed)
        return log.numbers.tolist()

    first, again, other = drawn(0), drawn(0), drawn(1)
    assert first == again != other and recordings == [True] * 3


@gpu
def test_on_a_gpu_an_objective_that_waits_for_a_number_falls_back_with_one_warning(tiny, recordings):
    log = Log(1000)

    def objective(model, x):
        noise = torch.randn_like(x)
        if torch.is_grad_enabled():
            log(noise[0, 0, 0, 0])
        loss = train.reconstruct(model, x + 0.1 * noise)
        assert math.isfinite(loss.sum().item())
        return loss

    how = {"epochs": 5, "batch": 50, "lr": 0.01, "objective": objective}
    expected = on_gpu(network(), tiny, **how, record=False)
    log.place.zero_()
    with pytest.warns(UserWarning) as caught:
        history = on_gpu(network(), tiny, **how)
    assert about_recording(caught) == 1 and recordings == [False]
    assert history.best.valid == pytest.approx(expected.best.valid, rel=0.01)
    assert log.distinct() == (60, 60)
    # The generator is as usable as before.
    torch.manual_seed(3)
    numbers = torch.randn(5, device="cuda")
    torch.manual_seed(3)
    assert torch.equal(torch.randn(5, device="cuda"), numbers)
    assert not torch.equal(torch.randn(5, device="cuda"), numbers)
    on_gpu(network(), tiny, epochs=2, batch=50)  # and the next training can be recorded
    assert recordings == [False, True]


@gpu
@pytest.mark.parametrize(
    "draw",
    [lambda x: torch.randn(x.shape).to(x.device), lambda x: random.random(), lambda x: np.random.rand()],  # noqa: NPY002
    ids=["torch", "random", "numpy"],
)
def test_on_a_gpu_an_objective_that_draws_on_the_cpu_falls_back_with_one_warning(tiny, draw, recordings):
    log = Log(1000)

    def objective(model, x):
        noise = draw(x)
        if torch.is_grad_enabled():
            log(torch.as_tensor(noise, device="cuda").flatten()[0])
        return train.reconstruct(model, x + 0.1 * noise)

    with pytest.warns(UserWarning, match=r"draws random numbers on the CPU, which a recording would repeat") as caught:
        history = on_gpu(network(), tiny, epochs=5, batch=50, lr=0.01, objective=objective)
    assert about_recording(caught) == 1 and recordings == [] and log.distinct() == (60, 60)
    assert history.valid[-1] < history.valid[0]


@gpu
@pytest.mark.parametrize("stop", [2, 14, 15, 24, 25, 40])
@pytest.mark.parametrize("objective", [train.reconstruct, denoise])
def test_on_a_gpu_a_stopped_training_goes_on_from_its_checkpoint(
    tiny, stop, objective, recordings, tmp_path, monkeypatch
):
    how = {"epochs": 5, "batch": 50, "lr": 0.01, "objective": objective}  # 12 steps each
    expected = on_gpu(network(), tiny, **how)
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    note, notes = Run.note, 0

    def pressed(run, loss, images):  # the objective's Python does not run in a replay
        nonlocal notes
        notes += 1
        if notes == stop:
            raise KeyboardInterrupt
        note(run, loss, images)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "note", pressed)
        stopped = on_gpu(network(), tiny, **how, checkpoint=tmp_path)
    assert stopped.stopped.startswith("interrupted")
    model = network(number=1)
    history = on_gpu(model, tiny, **how, checkpoint=tmp_path)
    assert len(history) == 5 and history.rows[: len(stopped)] == stopped.rows and recordings[-1]
    close = 0.01 if objective is train.reconstruct else 0.05
    assert history.train == pytest.approx(expected.train, rel=close)
    assert history.best.valid == pytest.approx(expected.best.valid, rel=close)
    x = (tiny.valid.float() / 255).cuda()
    if objective is train.reconstruct:
        assert train.reconstruct(model, x).mean().item() == pytest.approx(history.best.valid, rel=0.01)


@gpu
def test_on_a_gpu_images_from_files_train_as_images_on_the_gpu_do(tiny):
    streamed = SimpleNamespace(train=Streamed(tiny.train, {5}), valid=Streamed(tiny.valid))
    how = {"epochs": 5, "batch": 50, "lr": 0.01}
    expected, history = on_gpu(network(), tiny, **how), on_gpu(network(), streamed, **how)
    assert history.best.valid == pytest.approx(expected.best.valid, rel=0.05)


@gpu
def test_on_a_gpu_a_recorded_step_leaves_the_generator_and_the_settings_as_they_were(tiny):
    states, precision = (torch.get_rng_state(), torch.cuda.get_rng_state()), torch.get_float32_matmul_precision()
    on_gpu(network(), tiny, epochs=2, batch=50, objective=denoise)
    assert torch.equal(torch.get_rng_state(), states[0]) and torch.equal(torch.cuda.get_rng_state(), states[1])
    assert torch.get_float32_matmul_precision() == precision


# --- Adam -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float32", "float64", "one weight frozen", "one weight without a gradient"])
def test_our_step_of_adam_is_torchs_to_the_last_bit(kind):
    def trained(optimiser):
        model = network()
        model = model.double() if kind == "float64" else model
        weights = list(model.parameters())
        weights[1].requires_grad_(kind != "one weight frozen")
        one = optimiser(weights, lr=3e-3, weight_decay=0.0, fused=True)
        draw = torch.Generator().manual_seed(1)
        for number in range(5):
            one.zero_grad()
            assert all(weight.grad is None for weight in weights)
            for weight in weights:
                if weight.requires_grad:
                    weight.grad = torch.randn(weight.shape, generator=draw, dtype=weight.dtype)
            if kind == "one weight without a gradient" and number < 3:
                weights[0].grad = None
            one.param_groups[0]["lr"] = 3e-3 / (number + 1)
            one.step()
        return weights, one.state_dict()["state"]

    (ours, state), (theirs, expected) = trained(FusedAdam), trained(torch.optim.AdamW)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert state.keys() == expected.keys()
    for number in expected:
        assert all(torch.equal(state[number][name], expected[number][name]) for name in expected[number])


def test_weights_of_two_types_are_left_to_torchs_adam():
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.float64))]
    assert type(adam(weights, 1e-3, torch.device("cpu"))) is torch.optim.AdamW
    assert type(adam(weights[:1], 1e-3, torch.device("cpu"))) is FusedAdam
