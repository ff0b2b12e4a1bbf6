"""What `fit` promises to players that take turns, and to a reader who brings a score of their own."""

import copy
import itertools
import json
import math
import pickle
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from conftest import Streamed, spots
from torch import nn
from torch.nn.functional import softplus

from aetutor import runtime, train
from aetutor.models import DenseAutoencoder
from aetutor.train import CheckpointError, History, Row, TrainingDiverged, loop
from aetutor.train.checkpoint import Checkpoint

fit = partial(train.fit, device="cpu", progress=False)


# --- Two games ------------------------------------------------------------------------------------------------


class Gan(nn.Module):
    """A decoder that makes images of noise, and a critic with batch norm and dropout, which change in any turn."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 64), nn.Sigmoid())
        self.critic = nn.Sequential(
            nn.Linear(64, 16), nn.BatchNorm1d(16), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(16, 1)
        )


def drawn(model, x):
    return model.decoder(torch.randn(len(x), 3, device=x.device))  # (B, 64)


def judge(model, x):
    """Cross-entropy of the critic: of images to 1, of drawn ones to 0."""
    return (softplus(-model.critic(x.flatten(1))) + softplus(model.critic(drawn(model, x)))).squeeze(1)


def fool(model, x):
    return softplus(-model.critic(drawn(model, x))).squeeze(1)


GAN = {"critic": judge, "decoder": fool}


class Adversarial(nn.Module):
    """An autoencoder whose codes a critic compares with draws from N(0, 1). The encoder is in two players' hands."""

    def __init__(self):
        super().__init__()
        self.autoencoder = DenseAutoencoder(3, hidden=(16,), shape=(1, 8, 8))
        self.critic = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))


def rebuild(model, x):
    return train.reconstruct(model.autoencoder, x)


def tell(model, x):
    drawn = torch.randn(len(x), 3, device=x.device)
    return (softplus(-model.critic(drawn)) + softplus(model.critic(model.autoencoder.encode(x)))).squeeze(1)


def blend(model, x):
    return softplus(-model.critic(model.autoencoder.encode(x))).squeeze(1)


AAE = {"autoencoder": rebuild, "critic": tell, "autoencoder.encoder": blend}
GAMES = {"gan": (Gan, GAN), "aae": (Adversarial, AAE)}
games = pytest.mark.parametrize("game", GAMES)


def network(game="gan", number=0):
    with runtime.seeded("weights", number):
        return GAMES[game][0]()


def same(a: nn.Module | dict, b: nn.Module | dict) -> bool:
    a, b = (m.state_dict() if isinstance(m, nn.Module) else m for m in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def scores(history):
    """All that must repeat from run to run: everything but the seconds."""
    return [(row.epoch, row.train, row.valid) for row in history.rows], history.players


def few(images, count=100):
    return SimpleNamespace(train=images.train[:count], valid=images.valid)


def distance(model):
    """A score: how far the mean of drawn images is from half grey."""
    return (model.decoder(torch.randn(50, 3)).mean() - 0.5).abs()


# --- Turns ----------------------------------------------------------------------------------------------------


def plain_loop(model, objectives, images, *, epochs, batch, lr=4e-3, momentum=0.9, seed=0):
    """The loop of any tutorial on the subject, with its optimisers. Returns each player's mean losses per epoch."""
    count = len(images.train)
    rates = train.schedule.warmup_cosine(epochs * -(-count // batch), lr)
    optimisers = [
        torch.optim.AdamW(model.get_submodule(part).parameters(), betas=(momentum, 0.999), weight_decay=0.0, fused=True)
        for part in objectives
    ]
    shuffler, found = torch.Generator().manual_seed(runtime.seed("batches", seed)), []
    with runtime.seeded("objective", seed):
        for _ in range(epochs):
            found.append([0.0] * len(objectives))
            for index in torch.randperm(count, generator=shuffler).split(batch):
                x, rate = images.train[index].float() / 255, rates.pop(0)
                for player, objective in enumerate(objectives.values()):
                    loss = objective(model, x)
                    model.zero_grad()
                    loss.mean().backward()
                    optimisers[player].param_groups[0]["lr"] = rate
                    optimisers[player].step()
                    found[-1][player] += loss.sum().item() / count
    return found


@games
@pytest.mark.parametrize("batch", [100, 64, 600], ids=["batches that divide", "batches that do not", "one batch"])
def test_players_take_turns_as_in_a_plain_loop_with_an_optimiser_each(tiny, game, batch):
    ours, theirs, objectives = network(game), network(game), GAMES[game][1]
    expected = plain_loop(theirs, objectives, tiny, epochs=3, batch=batch, seed=5)
    history = fit(ours, tiny, objective=objectives, epochs=3, batch=batch, seed=5)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-6, atol=1e-6)
    assert list(history.players) == list(objectives)
    for player, losses in enumerate(history.players.values()):
        assert losses == pytest.approx([epoch[player] for epoch in expected], rel=1e-5)
    assert history.train == pytest.approx([sum(epoch) for epoch in expected], rel=1e-5)


def test_momentum_is_that_of_each_players_optimiser(tiny):
    ours, theirs, objectives = network(), network(), GAMES["gan"][1]
    plain_loop(theirs, objectives, tiny, epochs=2, batch=100, momentum=0.5)
    fit(ours, tiny, objective=objectives, epochs=2, batch=100, momentum=0.5)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-6, atol=1e-6)
    other = network()
    fit(other, tiny, objective=objectives, epochs=2, batch=100)
    assert not same(ours, other)


@games
def test_another_order_of_turns_ends_elsewhere_so_that_the_comparison_above_means_something(tiny, game):
    ours, theirs, objectives = network(game), network(game), GAMES[game][1]
    plain_loop(theirs, dict(reversed(objectives.items())), tiny, epochs=3, batch=100, seed=5)
    fit(ours, tiny, objective=objectives, epochs=3, batch=100, seed=5)
    assert max((a - b).abs().max() for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)) > 1e-3


@games
def test_a_turn_leaves_no_gradient_on_other_weights_and_finds_none_on_its_own(tiny, game):
    model, seen = network(game), []

    def watched(part, objective):
        own = {id(weight) for weight in model.get_submodule(part).parameters()}

        def watching(model, x):
            if torch.is_grad_enabled():
                seen.append(part)
                for weight in model.parameters():
                    assert weight.requires_grad == (id(weight) in own)
                    assert weight.grad is None or id(weight) not in own
            return objective(model, x)

        return watching

    objectives = {part: watched(part, objective) for part, objective in GAMES[game][1].items()}
    fit(model, few(tiny), objective=objectives, epochs=2, batch=50)
    assert seen == [*objectives] * 4  # in order, four steps
    assert all(weight.requires_grad for weight in model.parameters())


@games
def test_a_player_moves_its_own_part_alone(tiny, game):
    model, moved = network(game), []

    def watched(part, objective):
        def watching(model, x):
            if torch.is_grad_enabled():
                now = {name: weight.clone() for name, weight in model.named_parameters()}
                moved.append((part, now))
            return objective(model, x)

        return watching

    objectives = {part: watched(part, objective) for part, objective in GAMES[game][1].items()}
    fit(model, few(tiny), objective=objectives, epochs=2, batch=50)
    for (part, before), (_, after) in itertools.pairwise(moved):
        for name in before:
            assert torch.equal(before[name], after[name]) != name.startswith(part + "."), (part, name)


def test_one_player_that_is_the_whole_network_is_an_ordinary_training(tiny):
    def nested():
        with runtime.seeded("weights"):
            return nn.ModuleDict({"whole": DenseAutoencoder(3, hidden=(16,), shape=(1, 8, 8))})

    ours, theirs = nested(), nested()
    history = fit(ours, tiny, objective={"whole": lambda model, x: train.reconstruct(model["whole"], x)}, epochs=3)
    expected = fit(theirs["whole"], tiny, epochs=3)
    assert history.rows[-1][:3] == expected.rows[-1][:3] and expected.best.epoch == 3 and same(ours, theirs)
    assert history.players == {"whole": history.train} and expected.players == {}


def test_weights_that_no_player_has_and_weights_that_are_frozen_stay_as_they_were(tiny):
    model = network()
    model.aside = nn.Linear(3, 3)
    model.decoder[0].requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    fit(model, few(tiny), objective=GAN | {"critic": lambda m, x: judge(m, x) + m.aside.weight.sum()})
    for name, weight in model.named_parameters():
        still = name.startswith(("aside", "decoder.0"))
        assert torch.equal(weight, before[name]) == still
        assert weight.requires_grad != name.startswith("decoder.0") and (weight.grad is None or not still)


@pytest.mark.parametrize("where", ["critic", "decoder"])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_or_the_stop_button_within_a_turn_lets_all_weights_go_again(tiny, where, error):
    def fails(model, x):
        raise error

    model = network()
    try:
        fit(model, tiny, objective=GAN | {where: fails})
    except ZeroDivisionError:
        pass
    assert all(weight.requires_grad for weight in model.parameters()) and same(model, network())


@games
def test_players_of_images_from_files_and_in_bfloat16(tiny, game):
    objectives, how = GAMES[game][1], {"epochs": 3, "batch": 100}
    ours, theirs, low = network(game), network(game), network(game)
    expected = fit(theirs, tiny, objective=objectives, **how)
    files = SimpleNamespace(train=Streamed(tiny.train), valid=Streamed(tiny.valid))
    assert scores(fit(ours, files, objective=objectives, **how)) == scores(expected) and same(ours, theirs)
    history = fit(low, tiny, objective=objectives, precision=torch.bfloat16, **how)
    assert history.train == pytest.approx(expected.train, rel=0.05) and history.train != expected.train


def test_a_turn_that_does_not_fit_in_memory_is_tried_again_and_the_turns_before_it_are_not(tiny):
    """The first player has moved by then: another step of its would be one too many."""
    turns = []

    def steady(part, room):
        def objective(model, x):
            if torch.is_grad_enabled():
                if len(x) > room:
                    raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
                turns.append((part, len(x)))
            loss = model[part](x.flatten(1)).square().sum(1)
            return loss + model["second" if part == "first" else "first"](x.flatten(1)).square().sum(1)

        return objective

    def pair():
        with runtime.seeded("weights"):
            return nn.ModuleDict({"first": nn.Linear(64, 2), "second": nn.Linear(64, 2)})

    ours, theirs, how = pair(), pair(), {"epochs": 2, "batch": 50}
    expected = fit(theirs, few(tiny), objective={"first": steady("first", 99), "second": steady("second", 99)}, **how)
    turns.clear()
    with pytest.warns(UserWarning, match="50 images at once do not fit") as caught:
        history = fit(ours, few(tiny), objective={"first": steady("first", 99), "second": steady("second", 30)}, **how)
    assert len(caught) == 1
    assert turns[:3] == [("first", 50), ("second", 25), ("second", 25)]
    assert turns[3:] == [("first", 25), ("first", 25), ("second", 25), ("second", 25)] * 3
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-4, atol=1e-4)
    assert history.train == pytest.approx(expected.train, rel=1e-4)


# --- Which weights are kept -----------------------------------------------------------------------------------


class Walker(nn.Module):
    """One weight in each of two parts, that the objectives below push up step by step."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.ParameterList([torch.zeros(())]), nn.ParameterList([torch.zeros(())])


def up(part):
    return lambda model, x: -model.get_submodule(part)[0].expand(len(x))


UP = {"a": up("a"), "b": up("b")}


def near(place):
    def nearness(model):
        return (model.a[0] - place) ** 2

    return nearness


def test_without_a_score_the_weights_of_the_last_epoch_are_kept_though_the_sum_was_lower_before(tiny):
    model, after = Walker(), []

    def rising(model, x):  # on validation, twice what the other player gains
        if torch.is_grad_enabled():
            return UP["a"](model, x)
        after.append(model.a[0].item())
        return 2 * model.a[0].expand(len(x))

    history = fit(model, few(tiny), objective={"a": rising, "b": up("b")}, epochs=4, batch=50, lr=0.01)
    assert history.valid == sorted(history.valid) and history.valid[0] < history.valid[-1]
    assert history.best is history.rows[-1] and model.a[0].item() == after[-1] > after[0]


@games
def test_without_a_score_valid_is_the_sum_of_the_objectives_on_validation(tiny, game):
    model, objectives = network(game), GAMES[game][1]
    history = fit(model, tiny, objective=objectives, epochs=2, seed=3)
    x = tiny.valid.float() / 255
    with torch.no_grad(), runtime.seeded("validation", 3):
        expected = sum(objective(model, x).mean().item() for objective in objectives.values())
    assert history.valid[-1] == pytest.approx(expected, rel=1e-5)


def test_the_stop_button_hands_back_the_last_epoch_that_was_finished(tiny):
    after = []

    def pressed(model, x):
        if torch.is_grad_enabled() and len(after) == 2:
            raise KeyboardInterrupt
        if not torch.is_grad_enabled():
            after.append(copy.deepcopy(model.state_dict()))
        return fool(model, x)

    model = network()
    history = fit(model, few(tiny), objective=GAN | {"decoder": pressed}, epochs=9)
    assert len(history) == 2 and history.stopped == "interrupted in epoch 3" and same(model, after[1])
    assert history.best is history.rows[1] and not model.training


@pytest.mark.parametrize("objective", [UP, lambda model, x: UP["a"](model, x)], ids=["players", "one objective"])
def test_a_score_decides_which_epoch_is_best(tiny, objective):
    model, seen = Walker(), []

    def score(model):
        seen.append(model.a[0].item())
        return (model.a[0] - 0.1) ** 2

    history = fit(model, few(tiny), objective=objective, score=score, epochs=12, batch=20, lr=5e-3)
    assert history.valid == pytest.approx([(place - 0.1) ** 2 for place in seen], rel=1e-5)
    assert history.best.valid == min(history.valid) and history.best.epoch not in (1, 12)
    assert model.a[0].item() == seen[history.best.epoch - 1] and history.score == "score"
    assert history.train == sorted(history.train, reverse=True)  # which had liked the last epoch best


@pytest.mark.parametrize("objective", [UP, lambda model, x: UP["a"](model, x)], ids=["players", "one objective"])
def test_patience_and_threshold_go_by_the_score(tiny, objective):
    how = {"objective": objective, "score": near(0.1), "epochs": 12, "batch": 20, "lr": 5e-3}
    free = fit(Walker(), few(tiny), **how)
    patient = fit(Walker(), few(tiny), patience=2, **how)
    assert len(patient) == free.best.epoch + 2 < 12 and scores(patient)[0] == scores(free)[0][: len(patient)]
    assert patient.stopped == f"no better on nearness for 2 epochs, after epoch {len(patient)}"
    reached = fit(Walker(), few(tiny), threshold=free.valid[2], **how)
    assert len(reached) == 3
    assert reached.stopped == f"nearness reached the threshold of {free.valid[2]:g} after epoch 3"


def test_a_score_is_asked_after_each_epoch_in_eval_mode_without_gradients_of_the_same_random_numbers(tiny):
    seen = []

    def score(model):
        seen.append((model.training, torch.is_grad_enabled(), torch.rand(3).tolist()))
        return len(seen)

    def objective(model, x):
        assert torch.is_grad_enabled(), "the objective on the validation images is not asked for"
        return judge(model, x)

    state = torch.get_rng_state()
    history = fit(network(), few(tiny), objective={"critic": objective, "decoder": fool}, score=score, epochs=3)
    assert history.valid == [1, 2, 3] and history.best.epoch == 1
    with runtime.seeded("validation", 0):
        assert seen == [(False, False, torch.rand(3).tolist())] * 3
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("number", [2, 2.0, torch.tensor(2.0), torch.tensor(2), torch.tensor(2.0).double().numpy()[()]])
def test_any_number_is_a_score(tiny, number):
    history = fit(network(), few(tiny), objective=GAN, score=lambda model: number, epochs=1)
    assert history.valid == [2.0] and type(history.valid[0]) is float and history.score == "score"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "NoneType"),
        ("0.5", "str"),
        (True, "bool"),
        (1j, "complex"),
        (torch.zeros(1), r"Tensor of shape \(1,\)"),
        (torch.zeros(2, 3), r"Tensor of shape \(2, 3\)"),
        (torch.tensor(True), r"Tensor of shape \(\)"),
        ([0.5], "list"),
    ],
)
def test_a_score_that_gives_no_number_is_told_so(tiny, answer, said):
    with pytest.raises(TypeError, match=f"score returned {said}; expected a number, lower for a better model"):
        fit(network(), few(tiny), objective=GAN, score=lambda model: answer)


@pytest.mark.parametrize("bad", [math.nan, math.inf, torch.tensor(-math.inf)])
def test_a_score_that_is_not_finite_is_a_divergence_and_the_best_epoch_before_is_kept(tiny, bad):
    answers, after = [2.0, 1.0, 3.0, bad], []

    def score(model):
        after.append(copy.deepcopy(model.state_dict()))
        return answers[len(after) - 1]

    model = network()
    with pytest.raises(TrainingDiverged, match=r"epoch 4, .*train \d.*critic \d.*, valid -?(nan|inf)"):
        fit(model, few(tiny), objective=GAN, score=score, epochs=9)
    assert len(after) == 4 and same(model, after[1])


def test_a_player_that_diverges_is_named_and_the_epoch_before_is_kept(tiny):
    after = []

    def broken(model, x):
        if not torch.is_grad_enabled():
            after.append(copy.deepcopy(model.state_dict()))
            return fool(model, x)
        return fool(model, x) + (math.nan if len(after) == 2 else 0.0)

    model = network()
    said = r"epoch 3, step 1 of 1: train nan \(critic \d\S*, decoder nan\), valid \d\S*, learning rate"
    with pytest.raises(TrainingDiverged, match=said):
        fit(model, few(tiny), objective=GAN | {"decoder": broken}, epochs=9)
    assert same(model, after[1])


# --- Checkpoints ----------------------------------------------------------------------------------------------


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    monkeypatch.setattr("os.fsync", lambda handle: None)


class Pressed:
    """A player's objective, during which somebody presses the stop button: at a turn, counted from 1."""

    def __init__(self, loss, turn=None):
        self.loss, self.turn, self.turns, self.__qualname__ = loss, turn, 0, loss.__qualname__

    def __call__(self, model, x):
        self.turns += torch.is_grad_enabled()
        if self.turns == self.turn:
            raise KeyboardInterrupt
        return self.loss(model, x)


THREE = {"epochs": 3, "batch": 16}  # of 50 images: 4 steps each


@pytest.fixture(scope="module")
def images():
    return SimpleNamespace(train=spots(50, seed=1), valid=spots(20, seed=2))


@games
@pytest.mark.parametrize("judged", [False, True], ids=["last kept", "score"])
@pytest.mark.parametrize("player", [0, 1], ids=["first", "second"])
def test_players_stopped_at_every_single_step_end_as_if_they_had_not_been(
    game, judged, player, images, tmp_path, every_step
):
    objectives, free = GAMES[game][1], network(game)
    how = THREE | {"score": (lambda model: next(model.parameters()).sum().abs()) if judged else None}
    expected = fit(free, images, objective=objectives, **how)
    for calls in range(1, 20):
        model, part = network(game, number=calls - 1), list(objectives)[player]
        pressed = objectives | {part: Pressed(objectives[part], turn=2)}
        history = fit(model, images, objective=pressed, **how, checkpoint=tmp_path)
        if not history.stopped.startswith("interrupted"):
            break
    assert calls == 12  # one step each, and the button at the next
    assert scores(history) == scores(expected) and history.stopped == expected.stopped
    assert same(model, free) and not model.training


@pytest.mark.parametrize("turn", [1, 2, 5, 8, 9, 12])
def test_wherever_players_were_stopped_they_go_on_from_the_last_save(turn, images, tmp_path, monkeypatch):
    due = itertools.cycle([False, True, False, False])
    monkeypatch.setattr(Checkpoint, "due", lambda self: next(due))
    free, model = network(), network(number=7)
    expected = fit(free, images, objective=GAN, **THREE)
    fit(network(), images, objective=GAN | {"decoder": Pressed(fool, turn)}, **THREE, checkpoint=tmp_path)
    history = fit(model, images, objective=GAN, **THREE, checkpoint=tmp_path)
    assert scores(history) == scores(expected) and same(model, free)


def test_a_training_that_has_ended_gives_the_same_history_again(images, tmp_path):
    how = {"objective": GAN, "score": distance, "checkpoint": tmp_path} | THREE
    first, again = network(), network(number=1)
    history, found = fit(first, images, **how), fit(again, images, **how)
    assert found == history and found.players == history.players and same(first, again)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {"objective": dict(reversed(GAN.items()))},
            "objective was 'critic: judge, decoder: fool' and is 'decoder: fo",
        ),
        (
            {"objective": GAN | {"critic": fool}},
            "objective was 'critic: judge, decoder: fool' and is 'critic: fool, de",
        ),
        ({"objective": judge}, "objective was 'critic: judge, decoder: fool' and is 'judge'"),
        ({"score": None}, "score was 'distance' and is None"),
        ({"score": fool}, "score was 'distance' and is 'fool'"),
    ],
    ids=["order", "function", "one objective", "no score", "another score"],
)
def test_a_checkpoint_of_other_players_is_refused(how, message, images, tmp_path):
    fit(network(), images, objective=GAN, score=distance, **THREE, checkpoint=tmp_path)
    with pytest.raises(CheckpointError, match=f"belongs to another training: {message}"):
        fit(network(), images, **{"objective": GAN, "score": distance} | how, **THREE, checkpoint=tmp_path)


def test_a_checkpoint_from_before_there_were_players_is_read(images, tmp_path, every_step):
    """It knows of no score, no players' losses, and holds one sum per step."""
    dense = partial(DenseAutoencoder, 3, hidden=(16,), shape=(1, 8, 8))
    free, model = dense(), dense()
    model.load_state_dict(free.state_dict())
    expected = fit(free, images, **THREE)
    fit(model, images, objective=Pressed(train.reconstruct, 7), **THREE, checkpoint=tmp_path)
    keeper = Checkpoint(tmp_path, {})
    progress, tensors = keeper.load()
    settings = json.loads((tmp_path / "checkpoint.json").read_text())["settings"]
    keeper.settings = {name: value for name, value in settings.items() if name != "score"}
    del progress["players"]
    tensors["losses"] = tensors["losses"].flatten()
    assert tensors["losses"].shape == (4,)
    keeper.write(progress, tensors, SimpleNamespace(rank=0))
    history = fit(model, images, **THREE, checkpoint=tmp_path)
    assert scores(history) == scores(expected) and same(model, free)


# --- Refusals -------------------------------------------------------------------------------------------------


class Strange(Gan):
    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(()))


LISTED = r"with weights to train it has: decoder, decoder\.0, decoder\.2, critic, critic\.0, critic\.1, critic\.4$"


@pytest.mark.parametrize(
    ("objective", "kind", "message"),
    [
        ({}, ValueError, r"objective is an empty mapping; expected \{part: objective\}"),
        ({3: judge}, TypeError, "objective has the key 3; expected the name of a part of the model: a str"),
        ({"critc": judge}, ValueError, f"objective has the key 'critc', but Strange has no such part; {LISTED}"),
        ({"critic": judge, "": fool}, ValueError, f"objective has the key '', but Strange has no such part; {LISTED}"),
        ({"scale": judge}, ValueError, "objective has the key 'scale', but Strange has no such part"),
        ({"critic.weight": judge}, ValueError, "has no such part"),
        ({"frozen": judge}, ValueError, "objective has the key 'frozen', a part of Strange with no weights to train"),
        ({"critic.2": judge}, ValueError, r"objective has the key 'critic\.2', a part of Strange with no weights"),
        ({"critic": judge, "decoder": "mse"}, TypeError, r"objective\['decoder'\] is 'mse'; expected a function of"),
        ({"critic": None}, TypeError, r"objective\['critic'\] is None; expected a function of"),
    ],
)
def test_a_mapping_that_names_no_players_is_refused_before_anything_is_trained(tiny, objective, kind, message):
    model = Strange()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(kind, match=message):
        fit(model, tiny, objective=objective)
    assert same(model, before) and model.training


@pytest.mark.parametrize(
    ("part", "objective"),
    [
        ("critic", lambda model, x: drawn(model, x).sum(1)),
        ("critic", lambda model, x: judge(model, x).detach()),
        ("decoder", lambda model, x: model.critic(x.flatten(1)).squeeze(1)),
        ("decoder", lambda model, x: model.critic(drawn(model, x).detach()).squeeze(1)),
    ],
    ids=["the other's weights alone", "detached", "never called", "cut off between"],
)
def test_an_objective_that_does_not_reach_its_players_weights_is_told_so(tiny, part, objective):
    said = rf"result of the objective of '{part}' does not depend on the weights of '{part}'; call the model .*\.detach"
    with pytest.raises(ValueError, match=said):
        fit(network(), tiny, objective=GAN | {part: objective})


def test_an_objective_that_gives_no_number_per_image_is_told_so_by_its_players_name(tiny):
    with pytest.raises(ValueError, match=r"the objective of 'decoder' returned shape \(\) for 128 images"):
        fit(network(), tiny, objective=GAN | {"decoder": lambda model, x: fool(model, x).mean()})
    with pytest.raises(TypeError, match=r"the objective of 'critic' returned float; expected a tensor \(128,\)"):
        fit(network(), tiny, objective=GAN | {"critic": lambda model, x: 1.0})


@pytest.mark.parametrize("how", [{"patience": 3}, {"threshold": 0.5}])
def test_players_do_not_stop_early_without_a_score(tiny, how):
    (name, value), model = *how.items(), network()
    with pytest.raises(ValueError, match=rf"{name} is {value}, but the sum of the players' objectives .* give score="):
        fit(model, tiny, objective=GAN, **how)
    assert same(model, network())
    fit(model, few(tiny), objective=GAN, score=distance, epochs=1, **how)


@pytest.mark.parametrize("score", ["fid", 0.0, torch.zeros(())])
def test_a_score_that_is_no_function_is_refused(tiny, score):
    with pytest.raises(TypeError, match=r"score is .*; expected a function of the model that gives a number, or None"):
        fit(network(), tiny, objective=GAN, score=score)


def test_players_do_not_train_in_several_processes(tiny, monkeypatch):
    monkeypatch.setattr(loop, "Team", lambda: SimpleNamespace(rank=0, size=2))
    model = network()
    with pytest.raises(ValueError, match="a mapping of players, in a team of 2 processes; expected one process"):
        fit(model, tiny, objective=GAN)
    assert same(model, network()) and model.training


def test_many_networks_at_once_have_no_players(tiny):
    with pytest.raises(TypeError, match=r"objective is a mapping of players; fit_many takes one .*with fit$"):
        train.fit_many([network(), network(number=1)], tiny, objective=GAN, device="cpu", progress=False)


# --- History and bar ------------------------------------------------------------------------------------------


@pytest.fixture
def played():
    rows = [Row(1, 2.0, 5.0, 1.25), Row(2, 2.5, 6.0, 1.0), Row(3, 1.5, 5.5, 0.75)]
    return History(rows, "all 3 epochs done", players={"critic": [1.5, 1.25, 0.5], "a<b": [0.5, 1.25, 1.0]})


@pytest.fixture
def judged(played):
    played.score = "distance"
    return played


def test_players_are_columns_of_the_table_and_the_epoch_kept_is_the_last(played):
    lines = repr(played).splitlines()
    assert lines[0].split() == ["epoch", "train", "critic", "a<b", "valid", "seconds", "weights"]
    assert lines[1].split() == ["1", "2", "1.5", "0.5", "5", "1.2"]
    assert lines[3].split() == ["3", "1.5", "0.5", "1", "5.5", "0.8", "kept"]
    assert lines[4] == "train and valid: objective per image, summed over the players; 3.0 s; all 3 epochs done"
    html = played._repr_html_()
    assert html.count(">kept<") == 1 and ">best<" not in html and "<th scope='col'>a&lt;b</th>" in html


def test_with_a_score_the_best_is_marked_and_the_score_has_its_name(judged):
    lines = repr(judged).splitlines()
    assert lines[1].split()[-1] == "best" and "kept" not in repr(judged)
    assert "train: objective per image, summed over the players; valid: distance; 3.0 s" in lines[4]
    assert "valid: distance" in judged._repr_html_() and judged._repr_html_().count(">best<") == 1


def test_long_names_keep_the_columns_in_line(judged):
    judged.players = {"autoencoder.encoder": [1.0, 2.0, 3.0], "critic": [1.0, 2.0, 3.0]}
    head, *lines = repr(judged).splitlines()[:4]
    assert head.index("seconds") + len("seconds") == len(lines[1])  # the first line has its mark behind that
    assert lines[1][: head.rindex("encoder") + len("encoder")].split() == ["2", "2.5", "2"]


def test_the_curves_of_players_are_drawn_with_the_sum_of_them(played):
    figure = played.plot()
    (axes,) = figure.axes
    assert drawn_lines(axes) == {
        "critic": played.players["critic"],
        "a<b": played.players["a<b"],
        "training images (sum)": played.train,
        "validation images (sum)": played.valid,
    }
    looks = {(line.get_color(), line.get_marker(), str(line.get_linestyle())) for line in axes.lines}
    assert len(looks) == len({look[0] for look in looks}) == len({look[1] for look in looks}) == 4
    assert axes.get_title() == "Kept: the last epoch, 3" and axes.get_ylabel() == "objective per image"
    assert "training from 2 to 1.5, critic from 1.5 to 0.5, a<b from 0.5 to 1, validation from 5 to 5.5" in figure.alt


def test_a_score_has_a_panel_of_its_own_since_its_unit_is_another(judged):
    figure = judged.plot()
    top, bottom = figure.axes
    assert set(drawn_lines(top)) == {"critic", "a<b", "training images (sum)"}
    assert drawn_lines(bottom) == {"distance": judged.valid}
    assert top.get_ylabel() == "objective per image" and bottom.get_ylabel() == "distance\n(lower is better)"
    assert (top.get_xlabel(), bottom.get_xlabel()) == ("", "epoch")
    assert top.get_title() == "Best distance: 5 after epoch 1" and "distance from 5 to 5.5" in figure.alt
    alone = History(judged.rows, score="distance").plot()  # one objective, and a score
    assert [set(drawn_lines(axes)) for axes in alone.axes] == [{"training images"}, {"distance"}]


@pytest.mark.parametrize(("factor", "scale"), [(1, "linear"), (100, "log"), (-100, "linear")])
def test_players_of_very_different_size_are_drawn_on_a_logarithmic_scale(judged, factor, scale):
    judged.players["critic"] = [factor * loss for loss in judged.players["critic"]]
    top, bottom = judged.plot().axes
    assert (top.get_yscale(), bottom.get_yscale()) == (scale, "linear")
    assert top.get_ylabel() == "objective per image" + " (log scale)" * (scale == "log")


def test_a_single_player_has_no_column_and_no_line_beside_train(played):
    played.players = {"critic": played.train}
    assert repr(played).splitlines()[0].split() == ["epoch", "train", "valid", "seconds", "weights"]
    assert set(drawn_lines(played.plot().axes[0])) == {"training images", "validation images"}
    assert played.best.epoch == 3 and "kept" in repr(played)


def test_more_players_than_colours_are_drawn_too(played):
    played.players = {str(number): [1.0, 2.0, 3.0] for number in range(6)}
    assert len(played.plot().axes[0].lines) == 8


def test_a_history_of_players_is_copied_and_pickled_whole(judged):
    for other in (copy.deepcopy(judged), pickle.loads(pickle.dumps(judged))):
        assert other == judged and repr(other) == repr(judged) and other.players is not judged.players


def test_the_last_finite_epoch_of_players_is_the_one_kept(played):
    played.rows.append(Row(4, math.nan, 5.0, 1.0))
    assert played.best.epoch == 3
    assert History(played.rows[3:], players={"a": [math.nan]}).best is None


def test_the_bar_shows_each_player_and_the_score(tiny, capsys):
    history = fit(network(), few(tiny), objective=GAN, score=distance, epochs=2, progress=True)
    critic, decoder = (losses[-1] for losses in history.players.values())
    said = f"critic {critic:.4g}, decoder {decoder:.4g} objective per image, distance {history.valid[-1]:.4g}"
    assert said in capsys.readouterr().err
    history = fit(network(), few(tiny), objective=GAN, epochs=2, progress=True)
    assert f", valid {history.valid[-1]:.4g} objective per image" in capsys.readouterr().err


def drawn_lines(axes):
    return {line.get_label(): list(line.get_ydata()) for line in axes.lines}
