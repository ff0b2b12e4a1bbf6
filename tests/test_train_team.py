"""What several processes that train one model promise: what one process would do, alone, with the same batches.

As a program, this file is one of two processes: `python test_train_team.py rank folder`.
"""

import contextlib
import gc
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
import torch.distributed as dist
from conftest import Streamed, spots
from torch import nn

from aetutor import runtime, train
from aetutor.models import ConvAutoencoder, DenseAutoencoder
from aetutor.train import CheckpointError, checkpoint
from aetutor.train.checkpoint import Checkpoint
from aetutor.train.run import Run
from aetutor.train.team import Team

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs torch.distributed with gloo"
)
fit = partial(train.fit, device="cpu", progress=False)


# --- What is trained, here and in the two processes -----------------------------------------------------------


class Half(DenseAutoencoder):
    """A part that the objective leaves out."""

    def __init__(self):
        super().__init__(3, hidden=(16,), shape=(1, 8, 8))
        self.aside = nn.Linear(3, 3)


class Normed(nn.Module):
    """Batch norm: running averages, that each process sees other images for."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 3, padding=1))

    def forward(self, x):
        return self.layers(x)


class Flat(nn.Sequential):
    """Batch norm over images alone, which cannot do with a single one."""

    def __init__(self):
        super().__init__(
            nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 64), nn.Unflatten(1, (1, 8, 8))
        )


class Walker(nn.Module):
    """One weight that `past` pushes up beyond the place that is best on validation."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def past(model, x):
    return (-model.w if torch.is_grad_enabled() else (model.w - 0.25) ** 2).expand(len(x))


def near(model):
    return (model.w - 0.1) ** 2


def frozen():
    model = DenseAutoencoder(3, hidden=(16,), shape=(1, 8, 8))
    model.encoder.requires_grad_(False)
    return model


KINDS = {
    "dense": lambda: DenseAutoencoder(3, hidden=(16,), shape=(1, 8, 8)),
    "conv": lambda: ConvAutoencoder(3, width=4, size=8),
    "part unused": Half,
    "frozen": frozen,
    "batch norm": Normed,
    "flat": Flat,
    "walker": Walker,
}
# name: (network, training images, validation images, how)
CASES = {
    "batches that halve": ("dense", 64, 20, {"batch": 16}),
    "batches that do not halve": ("dense", 50, 20, {"batch": 15}),
    "a last batch of one image": ("dense", 49, 20, {"batch": 16}),
    "batches of one image": ("dense", 12, 20, {"batch": 1}),
    "one batch": ("dense", 50, 20, {"batch": 600}),
    "one image": ("dense", 1, 1, {"batch": 16}),
    "many validation images": ("dense", 30, 2003, {"batch": 16}),
    "conv": ("conv", 50, 20, {"batch": 15}),
    "conv, batches of one image": ("conv", 12, 20, {"batch": 1}),
    "part unused": ("part unused", 49, 20, {"batch": 16}),
    "frozen": ("frozen", 49, 20, {"batch": 16}),
    "streamed": ("dense", 49, 20, {"batch": 16}),
    "patience": ("walker", 49, 20, {"batch": 7, "lr": 0.01, "epochs": 12, "patience": 1, "objective": past}),
    "score": (
        "walker",
        49,
        20,
        {"batch": 7, "lr": 0.01, "epochs": 12, "patience": 2, "objective": past, "score": near},
    ),
    "threshold": ("walker", 49, 20, {"batch": 7, "lr": 0.01, "epochs": 12, "threshold": 0.03, "objective": past}),
}


def network(kind, number=0):
    with runtime.seeded("weights", number):
        return KINDS[kind]()


def images_of(train, valid):
    return SimpleNamespace(train=spots(train, seed=1), valid=spots(valid, seed=2))


def trained(name):
    kind, count, valid, how = CASES[name]
    model, images = network(kind), images_of(count, valid)
    if name == "streamed":
        images = SimpleNamespace(train=Streamed(images.train), valid=Streamed(images.valid))
    return model, fit(model, images, **{"epochs": 3, "lr": 0.01} | how)


def scores(history):
    return [[row.epoch, row.train, row.valid] for row in history.rows]


class Noisy:
    """A denoiser whose noise is known, step by step."""

    def __init__(self):
        self.noise, self.last = [], []

    def __call__(self, model, x):
        noise = torch.randn_like(x)
        if torch.is_grad_enabled():
            self.last = noise[:, 0, 0, 0].tolist()
        return (model(x + 0.3 * noise) - x).square().flatten(1).sum(1)


@contextlib.contextmanager
def watched(objective, stop=None):
    """Notes the noise of every step; at step `stop`, counted from 1, somebody presses the stop button."""
    note, steps = Run.note, itertools.count(1)

    def noted(run, loss, images):
        objective.noise += objective.last
        if next(steps) == stop:
            raise KeyboardInterrupt
        note(run, loss, images)

    Run.note = noted
    try:
        yield
    finally:
        Run.note = note


# --- One of the two processes ---------------------------------------------------------------------------------


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", meeting, timedelta(seconds=60), world_size=2, rank=rank)
    found = {}

    def note(name, model, history, **more):
        found[name] = {"scores": scores(history), "stopped": history.stopped, **more}
        weights = {key: value.clone() for key, value in model.state_dict().items()}
        safetensors.torch.save_file(weights, folder / f"{name}.{rank}.safetensors")

    for name in CASES:
        note(name, *trained(name))
    if rank:  # DistributedDataParallel makes the weights those of process 0
        other = network("dense", number=5)
    else:
        other = network("dense")
    note("other first weights", other, fit(other, images_of(50, 20), batch=15, epochs=3, lr=0.01))
    for name in ("batch norm", "flat"):
        model = network(name)
        note(name, model, fit(model, images_of(48, 20), batch=16, epochs=2))

    writes, write = [], checkpoint._write

    def noted(path, content):
        writes.append(path.name)
        write(path, content)

    checkpoint._write = noted
    Checkpoint.due = lambda self: True
    how = {"batch": 15, "epochs": 4, "seed": 3}  # 50 images: 4 steps an epoch
    objective, model = Noisy(), network("dense")
    with watched(objective):
        note("noisy", model, fit(model, images_of(50, 20), **how, objective=objective), noise=objective.noise)
    for name, stops in {"stopped": [11], "stopped twice": [6, 7], "stopped at once": [1]}.items():
        writes.clear()
        for stop in [*stops, None]:
            model = network("dense", number=0 if stop == stops[0] else 7 + rank)
            objective, kept = Noisy(), folder / f"checkpoint {name}"
            with watched(objective, stop):
                history = fit(model, images_of(50, 20), **how, objective=objective, checkpoint=kept)
            if stop:
                found[f"{name} {stop}"] = {"stopped": history.stopped, "scores": scores(history)}
        note(name, model, history, writes=len(writes))

    def refused(name, **more):
        objective, model = Noisy(), network("dense")
        try:
            with watched(objective):
                fit(model, images_of(50, 20), **how, objective=objective, **more)
        except CheckpointError as error:
            found[name] = {"error": str(error), "noise": objective.noise}

    def full(path, content):
        raise OSError(28, "No space left on device")

    checkpoint._write = full
    refused("no room", checkpoint=folder / "full")
    refused("alone", checkpoint=folder / f"seen by process {rank} alone" if rank else folder / "checkpoint stopped")
    (folder / f"{rank}.json").write_text(json.dumps(found))
    gc.collect()  # engines that still hold on to the group
    dist.destroy_process_group()
    os._exit(0)  # what was to be found is found; torch, taken down with the interpreter, aborted here once


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What each of two processes found, by name, and the folder that they wrote to."""
    folder = tmp_path_factory.mktemp("team")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(folder)], env=environment, stderr=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n\n".join(errors)
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    return SimpleNamespace(found=found, folder=folder)


def weights(two, name, rank):
    return safetensors.torch.load_file(two.folder / f"{name}.{rank}.safetensors")


def assert_equal_weights(two, name):
    first, second = weights(two, name, 0), weights(two, name, 1)
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


# --- Two processes and one ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one_does_with_the_same_batches(name, two):
    model, history = trained(name)
    for found in two.found:
        assert found[name]["stopped"] == history.stopped
        assert [row[0] for row in found[name]["scores"]] == [row.epoch for row in history.rows]
        assert [row[1] for row in found[name]["scores"]] == pytest.approx(history.train, rel=1e-4)
        assert [row[2] for row in found[name]["scores"]] == pytest.approx(history.valid, rel=1e-4)
    assert two.found[0][name] == two.found[1][name]
    assert_equal_weights(two, name)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(weights(two, name, 0)[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_early_ends_above_were_early(two):
    assert two.found[1]["patience"]["stopped"].startswith("no better on validation")
    assert two.found[1]["threshold"]["stopped"].startswith("validation reached the threshold")
    assert all(1 < len(two.found[1][name]["scores"]) < 12 for name in ("patience", "threshold"))


@pytest.mark.slow
def test_the_comparison_above_would_notice_a_batch_of_another_size(two):
    kind, count, valid, how = CASES["batches that do not halve"]
    model = network(kind)
    history = fit(model, images_of(count, valid), epochs=3, lr=0.01, batch=how["batch"] + 1)
    found = two.found[0]["batches that do not halve"]["scores"]
    assert [row[1] for row in found] != pytest.approx(history.train, rel=1e-3)


@pytest.mark.slow
def test_all_begin_with_the_weights_of_process_0(two):
    assert two.found[0]["other first weights"] == two.found[1]["other first weights"]
    expected = two.found[0]["batches that do not halve"]["scores"]
    assert two.found[0]["other first weights"]["scores"] == expected
    assert_equal_weights(two, "other first weights")


@pytest.mark.slow
def test_running_averages_are_over_the_steps_and_nothing_else(two):
    for rank in (0, 1):
        for name, key in [("batch norm", "layers.1"), ("flat", "2")]:
            steps = weights(two, name, rank)[f"{key}.num_batches_tracked"]
            best = min(two.found[rank][name]["scores"], key=lambda row: row[2])[0]
            assert steps == 3 * best


@pytest.mark.slow
def test_processes_hold_the_same_running_averages_in_the_end(two):
    assert_equal_weights(two, "batch norm")


@pytest.mark.slow
def test_processes_draw_different_noise(two):
    first, second = (found["noisy"]["noise"] for found in two.found)
    assert len(first) == 4 * (8 + 8 + 8 + 3) and len(second) == 4 * (7 + 7 + 7 + 2)
    assert max(Counter(first + second).values()) == 1
    assert two.found[0]["noisy"]["scores"] == two.found[1]["noisy"]["scores"]
    assert_equal_weights(two, "noisy")


# --- Checkpoints of a team ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stopped", "stopped twice", "stopped at once"])
def test_a_team_that_was_stopped_goes_on_to_the_same_bits(name, two):
    whole = two.found[0]["noisy"]
    for rank, found in enumerate(two.found):
        assert found[name]["scores"] == whole["scores"] and found[name]["stopped"] == whole["stopped"]
        expected = weights(two, "noisy", 0)
        assert all(torch.equal(value, expected[key]) for key, value in weights(two, name, rank).items())


@pytest.mark.slow
def test_the_stops_above_were_stops(two):
    for found in two.found:
        for name, epoch in [
            ("stopped 11", 3),
            ("stopped twice 6", 2),
            ("stopped twice 7", 3),
            ("stopped at once 1", 1),
        ]:
            assert found[name]["stopped"] == f"interrupted in epoch {epoch}"
            assert found[name]["scores"] == two.found[0]["noisy"]["scores"][: epoch - 1]


@pytest.mark.slow
def test_process_0_alone_writes_the_checkpoint(two):
    for name in ("stopped", "stopped twice", "stopped at once"):
        assert two.found[0][name]["writes"] >= 10 and two.found[1][name]["writes"] == 0
        assert {path.name for path in (two.folder / f"checkpoint {name}").iterdir()} == {
            "checkpoint.json",
            "state-a.safetensors",
            "state-b.safetensors",
        }


@pytest.mark.slow
def test_where_process_0_cannot_write_all_of_them_say_so_before_the_first_step(two):
    for found in two.found:
        assert "the checkpoint cannot be written to" in found["no room"]["error"]
        assert "No space left on device" in found["no room"]["error"] and found["no room"]["noise"] == []


@pytest.mark.slow
def test_a_folder_that_one_process_alone_sees_is_refused_by_all(two):
    for found in two.found:
        assert "only some of the processes see a checkpoint in" in found["alone"]["error"]
        assert found["alone"]["noise"] == []


@pytest.mark.slow
def test_a_checkpoint_of_two_processes_is_none_for_one(two):
    folder = two.folder / "checkpoint stopped"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(CheckpointError, match=r"another training: processes was 2 and is 1\. It was left"):
        fit(network("dense"), images_of(50, 20), batch=15, epochs=4, seed=3, objective=Noisy(), checkpoint=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# --- A team of one --------------------------------------------------------------------------------------------


def test_a_process_alone_is_a_team_of_one_that_changes_nothing():
    team, lesson, index = Team(), nn.Linear(2, 2), torch.arange(5)
    assert (team.rank, team.size) == (0, 1)
    assert team.engine(lesson, None) is lesson and team.draws("objective") == "objective"
    assert torch.equal(team.share(index), index) and torch.equal(team.sum(index), index)
    assert team.gather({"a": 1}) == [{"a": 1}]


@pytest.mark.parametrize("size", [2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 24])
def test_shares_are_all_of_a_batch_with_no_image_twice_and_as_equal_as_can_be(size, count, monkeypatch):
    index, shares, names = torch.randperm(count), [], set()
    for rank in range(size):
        team = Team()
        team.rank, team.size = rank, size
        shares.append(team.share(index))
        names.add(team.draws("objective"))
    assert sorted(torch.cat(shares).tolist()) == list(range(count))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1 and len(names) == size


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
