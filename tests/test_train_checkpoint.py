"""What `fit(checkpoint=)` promises: a training that was stopped, in whatever way, ends as if it had never been.

As a program, this file is the training that its tests kill: `python test_train_checkpoint.py train|hunt …`.
"""

import contextlib
import errno
import faulthandler
import hashlib
import itertools
import json
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors
import torch
from conftest import Streamed, spots
from torch import nn
from tqdm import tqdm

from aetutor import runtime, train
from aetutor.models import ConvAutoencoder, DenseAutoencoder
from aetutor.train import CheckpointError, TrainingDiverged, checkpoint
from aetutor.train.checkpoint import Checkpoint
from aetutor.train.team import Team

fit = partial(train.fit, device="cpu", progress=False)
NAMES = {"checkpoint.json", "state-a.safetensors", "state-b.safetensors"}
THREE = {"epochs": 3, "batch": 16}  # of 50 images: 4 steps each, the last with 2 images


# --- Networks and objectives ----------------------------------------------------------------------------------


class Tied(nn.Module):
    """One matrix that encodes and, transposed, decodes: two names for one tensor."""

    def __init__(self):
        super().__init__()
        self.into, self.back = nn.Linear(64, 5, bias=False), nn.Linear(5, 64, bias=False)
        self.back.weight = nn.Parameter(self.into.weight.detach().t())
        self.again = self.into

    def forward(self, x):
        return (self.again(self.into(x.flatten(1)) @ self.back.weight.t()) @ self.back.weight.t()).view_as(x)


class Normed(nn.Module):
    """Batch norm, whose running averages are no weights, dropout, and a buffer that holds an infinity."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(4, 1, 3, padding=1)
        )
        self.register_buffer("mask", torch.full((3,), -math.inf))
        self.register_buffer("nothing", torch.zeros(0, 2))

    def forward(self, x):
        return self.layers(x)


class Half(DenseAutoencoder):
    """A part that training does not reach, so that the optimiser has nothing to remember of it."""

    def __init__(self):
        super().__init__(3, hidden=(16,), shape=(1, 8, 8))
        self.aside = nn.Linear(3, 3)


def frozen():
    model = DenseAutoencoder(3, hidden=(16,), shape=(1, 8, 8))
    model.encoder.requires_grad_(False)
    return model


def dense(**how):
    return DenseAutoencoder(3, **{"hidden": (16,), "shape": (1, 8, 8)} | how)


def conv(**how):
    return ConvAutoencoder(3, **{"width": 4, "size": 8} | how)


KINDS = {
    "dense": dense,
    "conv": conv,
    "channels last": lambda: conv().to(memory_format=torch.channels_last),
    "batch norm": Normed,
    "tied": Tied,
    "frozen": frozen,
    "part unused": Half,
    "float64": lambda: dense().double(),
}


def network(kind="dense", number=0):
    with runtime.seeded("weights", number):
        return KINDS[kind]()


def denoise(model, x):
    x = x.to(next(model.parameters()).dtype)
    return (model(x + 0.3 * torch.randn_like(x)) - x).square().flatten(1).sum(1)


class Pressed:
    """`loss`, during which somebody presses the stop button: at a step, or at a validation, counted from 1."""

    def __init__(self, *, step=None, score=None, loss=denoise):
        self.steps, self.scores, self.step, self.score, self.loss = 0, 0, step, score, loss

    def __call__(self, model, x):
        if torch.is_grad_enabled():
            self.steps += 1
        else:
            self.scores += 1
        if self.step == self.steps or self.score == self.scores:
            raise KeyboardInterrupt
        return self.loss(model, x)


class Walker(nn.Module):
    """One weight, of no dimensions, that `past` pushes up beyond the place that is best on validation."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def past(model, x):
    noise = 1 + 0.1 * torch.randn(len(x))
    return -model.w * noise if torch.is_grad_enabled() else ((model.w - 0.25) ** 2).expand(len(x))


def never(model, x):
    raise AssertionError("a training that had ended took a step")


@contextlib.contextmanager
def knowing(objective, other):
    """Gives a function the name of another, by which a checkpoint would know it."""
    name, objective.__qualname__ = objective.__qualname__, other.__qualname__
    yield
    objective.__qualname__ = name


# --- What is compared -----------------------------------------------------------------------------------------


def sha(model: nn.Module) -> str:
    """Of every bit of the weights and buffers."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def scores(history):
    """All that must repeat from run to run: everything but the seconds."""
    return [(row.epoch, row.train, row.valid) for row in history.rows]


def held(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder, byte by byte."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


def progress(folder: Path) -> tuple[int, int]:
    """Epoch and step that a checkpoint stands at."""
    found = json.loads((folder / "checkpoint.json").read_text())["progress"]
    return found["epoch"], found["step"]


@pytest.fixture(scope="module")
def images():
    return SimpleNamespace(train=spots(50, seed=1), valid=spots(20, seed=2))


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """(history, sha of the weights) of a training that was never stopped, by kind of network."""
    found = {}

    def of(kind="dense", **how):
        key = (kind, *sorted(how.items()))
        if key not in found:
            model = network(kind)
            folder = tmp_path_factory.mktemp("whole")
            history = fit(model, images, **THREE | {"objective": Pressed()} | how, checkpoint=folder)
            found[key] = history, sha(model)
        return found[key]

    return of


@pytest.fixture
def quick(monkeypatch):
    """No waiting for the disk where nobody pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def every_step(monkeypatch, quick):
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)


# --- The stop button ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_stopped_at_every_single_step_ends_as_if_it_had_not_been(kind, images, whole, tmp_path, every_step):
    for calls in range(1, 20):
        model = network(kind, number=calls - 1)  # from the second on of no matter: the checkpoint's weights are taken
        history = fit(model, images, objective=Pressed(step=2), **THREE, checkpoint=tmp_path)
        if not history.stopped.startswith("interrupted"):
            break
    expected, weights = whole(kind)
    assert calls == 12  # one step each, and the button at the next
    assert scores(history) == scores(expected) and history.stopped == expected.stopped
    assert sha(model) == weights and not model.training


@pytest.mark.parametrize("saving", ["at every step", "at every third step", "now and then", "at the end alone"])
@pytest.mark.parametrize(
    "press", [*({"step": step} for step in range(1, 13)), *({"score": score} for score in (1, 2, 3))], ids=str
)
def test_wherever_it_was_stopped_it_goes_on_from_the_last_save(press, saving, images, whole, tmp_path, monkeypatch):
    pattern = {
        "at every step": [True],
        "at every third step": [False, False, True],
        "now and then": [False, True, False, False, False, True, False],
        "at the end alone": [False],
    }
    due = itertools.cycle(pattern[saving])
    monkeypatch.setattr(Checkpoint, "due", lambda self: next(due))
    model = network()
    first = fit(model, images, objective=Pressed(**press), **THREE, checkpoint=tmp_path)
    assert first.stopped.startswith("interrupted in epoch")
    again = network(number=7)
    history = fit(again, images, objective=Pressed(), **THREE, checkpoint=tmp_path)
    expected, weights = whole()
    assert scores(history) == scores(expected) and sha(again) == weights


def test_a_history_goes_on_where_it_was_with_the_seconds_it_had(images, tmp_path, every_step):
    class Slow(Pressed):
        def __call__(self, model, x):
            loss = super().__call__(model, x)
            if self.step and self.steps == 6:
                time.sleep(0.2)
            return loss

    first = fit(network(), images, objective=Slow(step=8), **THREE, checkpoint=tmp_path)
    history = fit(network(), images, objective=Slow(), **THREE, checkpoint=tmp_path)
    assert history.rows[0] == first.rows[0]  # seconds and all
    assert 0.2 < history.rows[1].seconds < 5 and history.rows[2].seconds < 0.2
    assert history.seconds == sum(row.seconds for row in history.rows)


def test_a_model_with_other_weights_and_buffers_ends_with_those_of_the_checkpoint(images, whole, tmp_path, every_step):
    model = network("batch norm")
    fit(model, images, objective=Pressed(step=11), **THREE, checkpoint=tmp_path)
    other = network("batch norm", number=3)
    other.layers[1].running_mean.fill_(17.0)
    other.layers[1].num_batches_tracked.fill_(1000)
    fit(other, images, objective=Pressed(), **THREE, checkpoint=tmp_path)
    assert other.layers[1].num_batches_tracked in (4, 8, 12) and sha(other) == whole("batch norm")[1]


@pytest.mark.parametrize("step", [1, 3, 4, 5, 12])
def test_images_that_are_read_from_files_go_on_too(step, images, whole, tmp_path, every_step):
    streamed = SimpleNamespace(train=Streamed(images.train), valid=Streamed(images.valid))
    fit(network(), streamed, objective=Pressed(step=step), **THREE, checkpoint=tmp_path)
    asked = len(streamed.train.asked)
    model = network(number=1)
    history = fit(model, streamed, objective=Pressed(), **THREE, checkpoint=tmp_path)
    assert len(streamed.train.asked) - asked == 12 - (step - 1)  # what was seen before is not read again
    expected, weights = whole()
    assert scores(history) == scores(expected) and sha(model) == weights


@pytest.mark.parametrize(("cost", "wait"), [(0.0, 1.0), (0.04, 1.0), (3.0, 60.0)], ids=["at once", "quick", "slow"])
def test_a_save_is_due_after_a_second_and_takes_a_twentieth_of_the_time_at_most(cost, wait, tmp_path, monkeypatch):
    now = [100.0]

    def takes_long(*_):
        now[0] += cost

    monkeypatch.setattr(checkpoint, "_sync", takes_long)
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    keeper = Checkpoint(tmp_path, {})
    keeper.write({}, {"x": torch.zeros(3)}, Team())
    for seconds, due in [(cost, False), (wait - 0.01, False), (wait + 0.01, True)]:
        now[0] = 100 + seconds
        assert keeper.due() == due


def test_keeping_a_checkpoint_changes_nothing_in_the_training(images, whole, tmp_path, every_step):
    model, kept = network(), network()
    history = fit(model, images, objective=Pressed(), **THREE)
    again = fit(kept, images, objective=Pressed(), **THREE, checkpoint=tmp_path)
    assert scores(history) == scores(again) == scores(whole()[0]) and sha(model) == sha(kept) == whole()[1]


def test_fit_leaves_torchs_generator_and_threads_alone_when_it_goes_on(images, tmp_path, every_step):
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(network(), images, objective=Pressed(step=6), **THREE, checkpoint=tmp_path)
    fit(network(), images, objective=Pressed(), **THREE, checkpoint=tmp_path)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


@pytest.mark.parametrize(("cores", "used"), [(2, 2), (1, 1)])
def test_it_goes_on_with_the_threads_it_had_if_there_are_so_many_cores(cores, used, images, tmp_path, monkeypatch):
    """Threads share the terms of a sum among them, and another order of terms changes its last bits."""
    seen = set()

    def noting(model, x):
        seen.add(torch.get_num_threads())
        if len(seen) == 1 and torch.get_num_threads() == 2:
            raise KeyboardInterrupt
        return denoise(model, x)

    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    monkeypatch.setattr(runtime.tuning, "cpus", lambda: 2)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        fit(network(), images, objective=noting, **THREE, checkpoint=tmp_path)
        assert seen == {2}
        seen.clear()
        seen.add("resumed")
        torch.set_num_threads(1)
        monkeypatch.setattr(runtime, "cpus", lambda: cores)
        fit(network(), images, objective=noting, **THREE, checkpoint=tmp_path)
        assert seen == {"resumed", used} and torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("kept", [True, False])
def test_threads_are_given_up_to_other_programs_only_where_nothing_is_to_repeat(kept, images, tmp_path, monkeypatch):
    asked, tuned = [], runtime.tuned

    def noting(where, *, share):
        asked.append(share)
        return tuned(where, share=share)

    monkeypatch.setattr(runtime, "tuned", noting)
    fit(network(), images, **THREE, checkpoint=tmp_path if kept else None)
    assert asked == [not kept]


# --- A training that has ended --------------------------------------------------------------------------------


EARLY = {"epochs": 12, "batch": 16, "lr": 0.02}
ENDS = [
    ({}, "all 12 epochs done"),
    ({"patience": 1}, "no better on validation for 1 epochs"),
    ({"patience": 3}, "no better on validation for 3 epochs"),
    ({"threshold": 0.03}, "validation reached the threshold of 0.03"),
    ({"threshold": 0.0, "patience": 2}, "no better on validation for 2 epochs"),
]


@pytest.mark.parametrize(("how", "end"), ENDS, ids=str)
def test_a_training_that_has_ended_takes_no_further_step_and_gives_the_same_again(how, end, images, tmp_path):
    how = EARLY | how
    free, model, again = Walker(), Walker(), Walker()
    expected = fit(free, images, objective=past, **how)
    history = fit(model, images, objective=past, **how, checkpoint=tmp_path)
    assert scores(history) == scores(expected) and sha(model) == sha(free)
    assert history.stopped == expected.stopped and history.stopped.startswith(end)
    assert (len(history) < 12) == (len(how) > 3)
    files = held(tmp_path)
    with knowing(never, past):
        unmoved = fit(again, images, objective=never, **how, checkpoint=tmp_path)
    assert unmoved.rows == history.rows and (unmoved.stopped, unmoved.unit) == (history.stopped, history.unit)
    assert sha(again) == sha(model) and not again.training
    assert held(tmp_path) == files


@pytest.mark.parametrize(("how", "end"), ENDS, ids=str)
def test_patience_and_threshold_count_on_over_a_stop(how, end, images, tmp_path, every_step, quick):
    model = Walker()
    expected = fit(model, images, objective=past, **EARLY | how)
    for _ in range(20):
        resumed = Walker()
        # Three steps at a time, so that stops fall on every step of an epoch, and between epochs.
        history = fit(resumed, images, objective=Pressed(step=4, loss=past), **EARLY | how, checkpoint=tmp_path)
        if not history.stopped.startswith("interrupted"):
            break
    assert history.stopped == expected.stopped and history.stopped.startswith(end)
    assert scores(history) == scores(expected) and sha(resumed) == sha(model)


# --- Killed ---------------------------------------------------------------------------------------------------


def training(kind: str, folder: str, epochs: str = "2") -> dict:
    """What is killed: epochs of 15 steps with noise, saved after each step, the last one with 2 of 100 images."""
    torch.set_num_threads(1)
    Checkpoint.due = lambda self: True
    model, images = network(kind), SimpleNamespace(train=spots(100, seed=1), valid=spots(40, seed=2))
    history = fit(model, images, epochs=int(epochs), batch=7, seed=1, objective=denoise, checkpoint=folder)
    return {"scores": scores(history), "stopped": history.stopped, "weights": sha(model)}


def trap(at: int) -> None:
    """Lets this process kill itself at the `at`-th of the places where a save touches the disk, one half written."""
    places = itertools.count(1)

    def place(before=lambda: None):
        if next(places) == at:
            before()
            os.kill(os.getpid(), signal.SIGKILL)

    write, replace, fsync = checkpoint._write, Path.replace, os.fsync

    def half_written(path, content):
        place()
        place(lambda: path.write_bytes(content[: len(content) // 2]))
        write(path, content)

    def replaced(path, target):
        place()
        replace(path, target)
        place()

    def on_disk(handle):
        place()
        fsync(handle)

    checkpoint._write, Path.replace, os.fsync = half_written, replaced, on_disk


def hunt(kind: str, folder: str, seed: str, kills: str) -> None:
    """Prints how a training ends that is never stopped, and how others end that are killed, as one line of JSON.

    Each attempt is a process of its own, forked from this one: torch takes seconds to start.
    """
    folder, chance, kills, ends, seen = Path(folder), random.Random(int(seed)), int(kills), [], []

    def attempt(where: Path, *, seconds=math.inf, at=0) -> int:
        end, child = time.monotonic() + seconds, os.fork()
        if child == 0:
            code = 1
            faulthandler.dump_traceback_later(60, exit=True)  # one that hangs says where
            try:
                trap(at)
                where.with_suffix(".json").write_text(json.dumps(training(kind, where)))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        while time.monotonic() < end:
            done, status = os.waitpid(child, 0 if seconds == math.inf else os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.0005)
        os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    tqdm.set_lock(threading.RLock())  # its own is shared by all processes, and one killed while it holds it stops all
    training(kind, folder / "warm")  # all that torch sets up at the first step, set up once for all
    start = time.monotonic()
    codes = [attempt(folder / "whole")]
    took = time.monotonic() - start
    while len(seen) < kills and set(codes) <= {0, -signal.SIGKILL}:
        where = folder / f"killed {len(ends)}"
        while len(seen) < kills:
            by_clock = chance.random() < 0.5
            how = {"seconds": chance.uniform(0, took / 2)} if by_clock else {"at": chance.randrange(1, 100)}
            codes.append(attempt(where, **how))
            if codes[-1] != -signal.SIGKILL:
                break
            seen.append(progress(where) if where.exists() and (where / "checkpoint.json").exists() else None)
        else:
            codes.append(attempt(where))
        if codes[-1] == 0:
            ends.append(json.loads(where.with_suffix(".json").read_text()))
    unlike = json.loads((folder / "whole.json").read_text())
    print(json.dumps({"whole": unlike, "ends": ends, "codes": codes, "seen": seen, "seconds": took}))


def here(*command) -> list[str]:
    return [sys.executable, __file__, *map(str, command)]


CALM = {**os.environ, "OMP_NUM_THREADS": "1"}
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@pytest.mark.slow
@forks
@pytest.mark.parametrize(("kind", "kills"), [("dense", 20), ("conv", 10)])
def test_a_training_killed_again_and_again_ends_with_the_same_bits(kind, kills, tmp_path):
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # shown by pytest when the test fails
    command = here("hunt", kind, tmp_path, seed, kills)
    no_gpu = {"CUDA_VISIBLE_DEVICES": ""}  # CUDA does not survive a fork
    run = subprocess.run(command, env=CALM | no_gpu, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert set(found["codes"]) == {0, -signal.SIGKILL}, run.stderr
    assert found["codes"].count(-signal.SIGKILL) == kills
    assert found["ends"] and all(end == found["whole"] for end in found["ends"])
    # Kills fell on many different steps, or all this would say little.
    assert len({tuple(place) for place in found["seen"] if place}) >= kills // 3


@pytest.mark.slow
def test_a_killed_training_goes_on_in_a_fresh_interpreter_to_the_same_bits(tmp_path):
    """As readers do it: kill, start again. The seed of hash(), addresses in memory and the like are other ones then."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance, folder, answers = random.Random(seed), tmp_path / "killed", []

    def start(where):
        return subprocess.Popen(here("train", "conv", where, 6), env=CALM, stdout=subprocess.PIPE, text=True)

    unstopped = start(tmp_path / "whole")
    for _ in range(2):
        before, process = held(folder).get("checkpoint.json"), start(folder)
        while process.poll() is None and held(folder).get("checkpoint.json") == before:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.06))
        process.kill()
        answers.append((process.wait(), process.communicate()[0]))
    assert answers == [(-signal.SIGKILL, "")] * 2
    assert (1, 0) < progress(folder) < (7, 0)
    last = start(folder)
    end, expected = (process.communicate(timeout=60)[0] for process in (last, unstopped))
    assert last.returncode == unstopped.returncode == 0
    assert json.loads(end) == json.loads(expected)


# --- Crashes within a save ------------------------------------------------------------------------------------


class Crash(BaseException):
    """The end of the process, as far as this can be had without one: nothing catches it."""


class Disk:
    """Counts the places where a save touches the disk, and fails at those in `at`, half-way through where that can be.

    `at` maps the number of a place, from 1 on, to the error that is raised there.
    """

    def __init__(self, monkeypatch, at: dict[int, BaseException]):
        self.places, self.at = 0, at
        self.replace = Path.replace
        monkeypatch.setattr(checkpoint, "_write", self.write)
        monkeypatch.setattr(Path, "replace", lambda path, target: self.replaced(path, target))
        monkeypatch.setattr(os, "fsync", lambda handle: self.place())

    def place(self, before=lambda: None) -> None:
        self.places += 1
        if self.places in self.at:
            before()
            raise self.at[self.places]

    def write(self, path, content) -> None:
        self.place()
        for part in (0, len(content) // 2, len(content) - 1):
            self.place(lambda part=part: path.write_bytes(content[:part]))
        path.write_bytes(content)
        self.place()

    def replaced(self, path, target) -> None:
        self.place()
        self.replace(path, target)
        if not isinstance(self.at.get(self.places + 1), OSError):  # it would not be refused after it was done
            self.place()


def saved(number: int) -> tuple[dict, dict[str, torch.Tensor]]:
    return {"epoch": number}, {"x": torch.full((5,), float(number)), "y": torch.arange(number)}


def loaded(folder) -> int:
    """Which of the `saved` ones is found, complete."""
    found, tensors = Checkpoint(folder, {"a": 1}).load()
    expected, others = saved(found["epoch"])
    assert found == expected and tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    return found["epoch"]


def test_a_crash_at_any_place_of_a_save_leaves_the_checkpoint_before_or_the_one_after(tmp_path, monkeypatch):
    ends = []
    for at in itertools.count(1):
        folder = tmp_path / str(at)
        with monkeypatch.context() as patch:
            keeper, disk = Checkpoint(folder, {"a": 1}), Disk(patch, {})
            for number in (1, 2):
                keeper.write(*saved(number), Team())
            disk.at = {disk.places + at: Crash()}
            try:
                keeper.write(*saved(3), Team())
            except Crash:
                ends.append(loaded(folder))
            else:
                break
            after = Checkpoint(folder, {"a": 1})  # the process that comes next
            assert after.load()[0]["epoch"] == ends[-1]
            for number in (4, 5):
                after.write(*saved(number), Team())
                assert loaded(folder) == number
    assert ends == sorted(ends) and set(ends) == {2, 3} and len(ends) >= 12
    assert loaded(folder) == 3


def test_a_crash_after_a_save_that_failed_leaves_a_complete_checkpoint_too(tmp_path, monkeypatch):
    """The disk refuses one save, training goes on, and the next save is cut short."""
    with monkeypatch.context() as patch:
        disk = Disk(patch, {})
        Checkpoint(tmp_path / "count", {}).write(*saved(1), Team())
        places = disk.places
    for refused, crashed in itertools.product(range(1, places + 1), repeat=2):
        folder = tmp_path / f"{refused} {crashed}"
        with monkeypatch.context() as patch:
            keeper, disk = Checkpoint(folder, {"a": 1}), Disk(patch, {})
            keeper.write(*saved(1), Team())
            keeper.write(*saved(2), Team())
            disk.at = {disk.places + refused: OSError(errno.EIO, "refused")}
            try:
                keeper.write(*saved(3), Team())
            except OSError:
                here = loaded(folder)
                assert here in (2, 3)
            else:
                here = 3
            disk.at = {disk.places + crashed: Crash()}
            with pytest.raises(Crash):
                keeper.write(*saved(4), Team())
            assert loaded(folder) in (here, 4)


@pytest.mark.parametrize("before", [1, 2])
def test_a_process_that_goes_on_and_crashes_in_its_turn_leaves_a_complete_checkpoint(before, tmp_path, monkeypatch):
    for at in itertools.count(1):
        folder = tmp_path / str(at)
        for number in range(before):  # processes, each with one save
            keeper = Checkpoint(folder, {"a": 1})
            keeper.load()
            keeper.write(*saved(number), Team())
        with monkeypatch.context() as patch:
            keeper = Checkpoint(folder, {"a": 1})
            keeper.load()
            Disk(patch, {at: Crash()})
            try:
                keeper.write(*saved(before), Team())
            except Crash:
                assert loaded(folder) in (before - 1, before)
            else:
                break
    assert loaded(folder) == before and at > 12


def test_a_training_that_crashes_at_any_place_of_any_save_goes_on_to_the_same_bits(images, tmp_path, monkeypatch):
    how = {"epochs": 2, "batch": 25, "objective": denoise}
    model = network()
    expected = fit(model, images, **how)
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    for at in itertools.count(1, 2):
        folder, resumed = tmp_path / str(at), network(number=1)
        with monkeypatch.context() as patch:
            Disk(patch, {at: Crash()})
            try:
                fit(network(), images, **how, checkpoint=folder)
            except Crash:
                pass
            else:
                break
            if not (folder / "checkpoint.json").exists():  # not even the first save was finished
                resumed = network()
            history = fit(resumed, images, **how, checkpoint=folder)
        assert scores(history) == scores(expected) and sha(resumed) == sha(model), at
    assert at > 70


@pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="where a folder cannot be synced")
def test_everything_is_on_the_disk_before_it_is_relied_upon(tmp_path, monkeypatch):
    """For the day on which the power fails, which no test can try."""
    done, fsync, replace = [], os.fsync, Path.replace

    def synced(handle):
        (name,) = (p.name for p in [tmp_path, *tmp_path.iterdir()] if os.path.samestat(p.stat(), os.fstat(handle)))
        done.append((name, os.fstat(handle).st_size if name != tmp_path.name else "folder"))
        fsync(handle)

    def replaced(path, target):
        done.append((path.name, target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    Checkpoint(tmp_path, {}).write(*saved(3), Team())
    tensors, note = (tmp_path / name for name in ("state-a.safetensors", "checkpoint.json"))
    assert done == [
        (tensors.name, tensors.stat().st_size),
        ("checkpoint.new", note.stat().st_size),
        ("checkpoint.new", note.name),
        (tmp_path.name, "folder"),
    ]


def test_a_file_system_that_cannot_sync_a_folder_does_for_checkpoints(images, whole, tmp_path, monkeypatch, every_step):
    """Some network drives and FUSE file systems refuse it."""
    fsync = os.fsync

    def only_files(handle):
        if Path(f"/proc/self/fd/{handle}").is_dir() or not os.path.isfile(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", only_files)
    handles = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    model = network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, images, objective=Pressed(step=7), **THREE, checkpoint=tmp_path)
        fit(model, images, objective=Pressed(), **THREE, checkpoint=tmp_path)
    assert sha(model) == whole()[1]
    assert not handles or len(os.listdir("/proc/self/fd")) <= handles


# --- Disks without room ---------------------------------------------------------------------------------------


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", range(1, 12))
def test_a_folder_that_cannot_be_written_is_refused_before_the_first_step(place, images, whole, tmp_path, monkeypatch):
    model, folder, pressed = network("batch norm"), tmp_path / "a", Pressed()
    before = sha(model)
    with monkeypatch.context() as patch:
        disk = Disk(patch, {place: OSError(errno.ENOSPC, "No space left on device")})
        with pytest.raises(CheckpointError, match=r"cannot be written to '.*a' \(.*No space left.*\); give check"):
            fit(model, images, objective=pressed, **THREE, checkpoint=folder)
        assert disk.places == place
    assert (pressed.steps, pressed.scores) == (0, 0) and sha(model) == before and model.training
    fit(model, images, objective=Pressed(), **THREE, checkpoint=folder)  # there is room again
    assert sha(model) == whole("batch norm")[1]


@pytest.mark.parametrize("name", ["file/below", "file/far/below", "dangling", "x" * 300], ids=lambda name: name[:9])
def test_a_folder_that_cannot_be_made_is_refused_before_the_first_step(name, images, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    model, pressed, files = network(), Pressed(), held(tmp_path)
    with pytest.raises(CheckpointError, match="the checkpoint cannot be written to"):
        fit(model, images, objective=pressed, **THREE, checkpoint=tmp_path / name)
    assert pressed.steps == 0 and sha(model) == sha(network()) and held(tmp_path) == files


def test_a_checkpoint_that_names_a_file_is_refused(images, tmp_path):
    file = tmp_path / "model.pt"
    file.write_text("mine")
    model, pressed = network(), Pressed()
    with pytest.raises(CheckpointError, match=r"model\.pt', which is a file; expected the name of a folder"):
        fit(model, images, objective=pressed, **THREE, checkpoint=file)
    assert pressed.steps == 0 and sha(model) == sha(network()) and file.read_text() == "mine"


@pytest.mark.parametrize("saves", [1, 2, 5, 14])
@pytest.mark.parametrize("again", [False, True], ids=["full to the end", "full for a while"])
def test_a_disk_that_fills_up_during_training_is_a_warning(
    saves, again, images, whole, tmp_path, monkeypatch, every_step
):
    write, calls = checkpoint._write, itertools.count(1)

    def fills_up(path, content):
        call = next(calls)
        if call > 2 * saves and not (again and call > 2 * saves + 3):
            path.write_bytes(content[: len(content) // 3])
            full()
        write(path, content)

    monkeypatch.setattr(checkpoint, "_write", fills_up)
    model = network()
    with pytest.warns(UserWarning, match=r"no checkpoint could be written to '.*': .*No space left") as caught:
        history = fit(model, images, objective=Pressed(), **THREE, checkpoint=tmp_path)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert scores(history) == scores(whole()[0]) and sha(model) == whole()[1]
    assert progress(tmp_path) == ((4, 0) if again and saves < 13 else (1 + (saves - 1) // 5, (saves - 1) % 5))
    monkeypatch.setattr(checkpoint, "_write", write)
    resumed = network(number=1)
    history = fit(resumed, images, objective=Pressed(), **THREE, checkpoint=tmp_path)
    assert scores(history) == scores(whole()[0]) and sha(resumed) == whole()[1]


# --- Checkpoints that are damaged -----------------------------------------------------------------------------


@pytest.fixture
def stopped(images, tmp_path, monkeypatch, quick):
    """A folder with the checkpoint of a training that was stopped in its second epoch, and other things."""
    folder = tmp_path / "checkpoint"
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "due", lambda self: True)
        fit(network(), images, objective=Pressed(step=7), **THREE, checkpoint=folder)
    (folder / "notes").mkdir()
    (folder / "notes" / "lab.txt").write_text("mine")
    return folder


def refused(folder, images, message, *, model=None, **how):
    """fit says no, before it does anything."""
    model = network(number=9) if model is None else model
    files, weights, mode = held(folder), sha(model), model.training
    objective = how.pop("objective", None) or Pressed()
    with pytest.raises(CheckpointError, match=message) as caught:
        fit(model, images, **THREE | {"objective": objective} | how, checkpoint=folder)
    assert str(folder) in str(caught.value) and "give checkpoint= another folder" in str(caught.value)
    assert held(folder) == files and sha(model) == weights and model.training == mode
    assert getattr(objective, "steps", 0) == 0


def rewritten(change):
    def damage(folder):
        note = json.loads((folder / "checkpoint.json").read_text())
        (folder / "checkpoint.json").write_text(json.dumps(change(note)))

    return damage


def cut(name, keep):
    def damage(folder):
        content = (folder / name(folder)).read_bytes()
        (folder / name(folder)).write_bytes(content[: int(keep * len(content))])

    return damage


def flipped(name, place):
    def damage(folder):
        content = bytearray((folder / name(folder)).read_bytes())
        content[int(place * (len(content) - 1))] ^= 4
        (folder / name(folder)).write_bytes(content)

    return damage


def tensors_of(folder):
    return json.loads((folder / "checkpoint.json").read_text())["file"]["name"]


def note_of(folder):
    return "checkpoint.json"


NOTHINGS = (None, 3, "x", [], {}, True)
DAMAGE = {
    **{f"note cut at {keep}": cut(note_of, keep) for keep in (0, 0.1, 0.5, 0.99)},
    **{f"tensors cut at {keep}": cut(tensors_of, keep) for keep in (0, 0.001, 0.5, 0.9999)},
    **{f"tensors flipped at {place}": flipped(tensors_of, place) for place in (0, 0.001, 0.01, 0.5, 0.9, 1)},
    "tensors gone": lambda folder: (folder / tensors_of(folder)).unlink(),
    "tensors of before": lambda folder: (
        (folder / "state-a.safetensors").replace(folder / "state-b.safetensors")
        if tensors_of(folder) == "state-b.safetensors"
        else (folder / "state-b.safetensors").replace(folder / "state-a.safetensors")
    ),
    "note no text": lambda folder: (folder / "checkpoint.json").write_bytes(b"\xff\xfe\x00"),
    **{f"note is {thing!r}": rewritten(lambda note, thing=thing: thing) for thing in NOTHINGS},
    "note is in a list": rewritten(lambda note: [note]),
    **{
        f"{part} is {thing!r}": rewritten(lambda note, part=part, thing=thing: note | {part: thing})
        for part in ("settings", "progress", "file", "check")
        for thing in NOTHINGS
    },
    **{
        f"without {part}": rewritten(lambda note, part=part: {k: v for k, v in note.items() if k != part})
        for part in ("settings", "progress", "file", "check")
    },
    **{
        f"progress without {name}": rewritten(
            lambda note, name=name: (
                note | {"progress": {key: value for key, value in note["progress"].items() if key != name}}
            )
        )
        for name in ("epoch", "step", "seen", "rows", "threads")
    },
    **{
        f"{part} with {change}": rewritten(
            lambda note, part=part, change=change: note | {part: note[part] | change},
        )
        for part, change in [
            ("progress", {"epoch": 3}),
            ("progress", {"step": "2"}),
            ("progress", {"rows": [[1, 2.0]]}),
            ("settings", {"lr": 0.5}),
            ("file", {"sha256": None}),
            ("file", {"name": "."}),
            ("file", {"name": ["x"]}),
        ]
    },
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_and_left_as_it_is(damage, stopped, images):
    before = held(stopped)
    DAMAGE[damage](stopped)
    assert held(stopped) != before
    refused(stopped, images, r"is damaged \(\w+: .*\)\. It was left as it is; .* remove this one to start anew$")


def test_the_checkpoint_that_the_tests_above_damage_is_a_good_one(stopped, images, whole):
    model = network(number=9)
    fit(model, images, objective=Pressed(), **THREE, checkpoint=stopped)
    assert sha(model) == whole()[1]


def test_somebody_elses_checkpoint_json_is_left_alone(images, tmp_path):
    (tmp_path / "checkpoint.json").write_text('{"my": "file"}')
    refused(tmp_path, images, "is damaged")


def test_a_checkpoint_json_that_is_a_folder_is_left_alone(images, tmp_path):
    (tmp_path / "checkpoint.json").mkdir()
    refused(tmp_path, images, "is damaged")


def test_a_checkpoint_of_another_version_is_refused(stopped, images, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    refused(stopped, images, "format was 1 and is 2")


# --- Checkpoints of other trainings ---------------------------------------------------------------------------


def other_pixel(part):
    part = part.clone()
    part[3, 0, 2, 2] ^= 1
    return part


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"batch": 17}, "batch was 16 and is 17"),
        ({"epochs": 4}, "epochs was 3 and is 4"),
        ({"lr": 0.003}, r"lr was 0\.004 and is 0\.003"),
        ({"momentum": 0.5}, r"momentum was None and is 0\.5"),
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"patience": 3}, "patience was None and is 3"),
        ({"threshold": 3.0}, r"threshold was None and is 3\.0"),
        ({"precision": torch.bfloat16}, r"precision was 'torch\.float32' and is 'torch\.bfloat16'"),
        ({"objective": denoise}, "objective was 'Pressed' and is 'denoise'"),
        ({"objective": train.reconstruct}, "objective was 'Pressed' and is 'reconstruct'"),
        ({"batch": 17, "lr": 1.0}, r"batch was 16 and is 17; lr was 0\.004 and is 1\.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),  # str of a function differs from run to run
)
def test_a_checkpoint_of_another_training_is_refused_with_what_differs(how, message, stopped, images):
    refused(stopped, images, rf"belongs to another training: {message}\. It was left as it is; ", **how)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (lambda: dense(hidden=(17,)), "DenseAutoencoder"),
        (lambda: dense(activation=nn.Tanh), "DenseAutoencoder"),
        (lambda: dense(output="none"), "DenseAutoencoder"),
        (lambda: dense().double(), "DenseAutoencoder"),
        (lambda: type("Other", (DenseAutoencoder,), {})(3, hidden=(16,), shape=(1, 8, 8)), "Other"),
        (frozen, "DenseAutoencoder"),
        (Half, "Half"),
        (conv, "ConvAutoencoder"),
    ],
    ids=["width", "activation", "output", "type", "class", "frozen", "one layer more", "conv"],
)
def test_a_checkpoint_of_another_network_is_refused(model, name, stopped, images):
    message = rf"another training: network was 'DenseAutoencoder \w+' and is '{name} \w+'\. It"
    refused(stopped, images, message, model=model())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda train, valid: (other_pixel(train), valid), r"training images was '50×1×8×8 \w+' and is '50×1×8×8 \w+'"),
        (lambda train, valid: (train[:49], valid), r"training images was '50×1×8×8 \w+' and is '49×1×8×8 \w+'"),
        (lambda train, valid: (train.flip(0), valid), "training images was"),
        (lambda train, valid: (train, other_pixel(valid)), "validation images was"),
        (lambda train, valid: (train, valid[1:]), "validation images was"),
        (lambda train, valid: (Streamed(other_pixel(train)), valid), "training images was .* and is '50×1×8×8 "),
    ],
    ids=["a pixel", "an image fewer", "another order", "a pixel in validation", "one fewer in validation", "streamed"],
)
def test_a_checkpoint_of_other_images_is_refused(other, message, stopped, images):
    train, valid = other(images.train, images.valid)
    refused(stopped, SimpleNamespace(train=train, valid=valid), f"belongs to another training: {message}")


def test_images_from_files_are_known_by_their_fingerprint(images, tmp_path):
    streamed = SimpleNamespace(train=Streamed(images.train), valid=Streamed(images.valid))
    fit(network(), streamed, objective=Pressed(), **THREE, checkpoint=tmp_path)
    other = SimpleNamespace(train=streamed.train, valid=Streamed(other_pixel(images.valid)))
    refused(tmp_path, other, r"another training: validation images was '20×1×8×8 \w+' and is '20×1×8×8 \w+'\. It")


def test_a_checkpoint_of_another_aetutor_seed_is_refused(stopped, images, monkeypatch):
    for same in ("0", " 0 ", ""):
        monkeypatch.setenv("AETUTOR_SEED", same)
        assert checkpoint.settings(network(), images.train, images.valid)["AETUTOR_SEED"] == "0"
    monkeypatch.setenv("AETUTOR_SEED", "5")
    refused(stopped, images, r"another training: AETUTOR_SEED was '0' and is '5'\. It")


def test_a_checkpoint_of_a_training_that_has_ended_is_refused_to_another_too(images, tmp_path):
    fit(network(), images, objective=Pressed(), **THREE, checkpoint=tmp_path)
    refused(tmp_path, images, "belongs to another training: epochs was 3 and is 4", epochs=4)


def test_the_same_images_as_a_tensor_laid_out_otherwise_are_the_same(stopped, images, whole):
    model, train = network(), images.train.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)
    assert torch.equal(train, images.train) and not train.is_contiguous()
    fit(model, SimpleNamespace(train=train, valid=images.valid), objective=Pressed(), **THREE, checkpoint=stopped)
    assert sha(model) == whole()[1]


def test_numpys_whole_numbers_are_kept_as_pythons_are(images, tmp_path):
    how = {"epochs": 3, "batch": 16, "patience": 5, "seed": 2}
    model, again = network(), network(number=1)
    numpys = {name: np.int64(value) for name, value in how.items()}
    fit(model, images, objective=denoise, lr=np.float64(4e-3), **numpys, checkpoint=tmp_path)
    with knowing(never, denoise):
        fit(again, images, objective=never, **how, checkpoint=tmp_path)
    assert sha(again) == sha(model)


# --- Divergence -----------------------------------------------------------------------------------------------


class Diverging(Pressed):
    """`denoise` that goes wrong from a step on: in the loss, in its gradient alone, or in all but the gradient."""

    def __init__(self, since: int, what: str):
        super().__init__()
        self.since, self.what = since, what

    def __call__(self, model, x):
        loss = super().__call__(model, x)
        if torch.is_grad_enabled() and self.steps >= self.since:
            if self.what == "gradient":
                return loss + (0 * sum(weight.sum() for weight in model.parameters())).sqrt()  # 0, whose slope is 0/0
            return loss * math.nan if self.what == "loss" else loss + math.inf
        return loss


@pytest.mark.parametrize("what", ["loss", "gradient", "constant"])
@pytest.mark.parametrize("since", [1, 4, 5, 6, 11, 12])
def test_a_training_that_diverges_leaves_the_last_good_checkpoint(since, what, images, tmp_path, every_step):
    model = network()
    with pytest.raises(TrainingDiverged):
        fit(model, images, objective=Diverging(since, what), **THREE, checkpoint=tmp_path)
    done = since - 1  # good steps
    at_end = done % 4 == 0 and done > 0
    assert progress(tmp_path) == ((done // 4 + 1, 0) if at_end else (1 + done // 4, done % 4))
    content = (tmp_path / tensors_of(tmp_path)).read_bytes()
    assert all(value.isfinite().all() for value in safetensors.torch.load(content).values())
    assert all(weight.isfinite().all() for weight in model.state_dict().values())
    files, again = held(tmp_path), network(number=1)
    objective = Diverging(1, what)
    with pytest.raises(TrainingDiverged):
        fit(again, images, objective=objective, **THREE, checkpoint=tmp_path)
    assert objective.steps == 4 * (1 + done // 4) - done and sha(again) == sha(model) and held(tmp_path) == files


# --- Folders --------------------------------------------------------------------------------------------------


class Named:
    """Something with a path, as os.PathLike has it."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


@pytest.mark.parametrize("name", ["not/yet/there", "with a space", "Prüfung – 試 ✓", "dots.in.it", "x.safetensors"])
@pytest.mark.parametrize("kind", [str, Path, Named])
def test_any_name_of_a_folder_will_do(name, kind, images, whole, tmp_path, quick):
    for press in ({"step": 9}, {}):
        model = network()
        fit(model, images, objective=Pressed(**press), **THREE, checkpoint=kind(tmp_path / name))
    assert sha(model) == whole()[1] and set(held(tmp_path / name)) <= NAMES


def test_a_relative_name_holds_if_the_objective_changes_folders(images, whole, tmp_path, monkeypatch, every_step):
    class Wandering(Pressed):
        def __call__(self, model, x):
            os.chdir(tmp_path / "elsewhere")
            return super().__call__(model, x)

    (tmp_path / "elsewhere").mkdir()
    for press in ({"step": 9}, {}):
        monkeypatch.chdir(tmp_path)
        model = network()
        fit(model, images, objective=Wandering(**press), **THREE, checkpoint="runs/first")
    assert sha(model) == whole()[1]
    assert set(held(tmp_path)) == {"elsewhere", "runs", "runs/first", *(f"runs/first/{name}" for name in NAMES)}


def test_a_name_may_begin_at_the_readers_home(images, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fit(network(), images, objective=Pressed(), **THREE, checkpoint="~/runs")
    assert set(held(tmp_path / "runs")) <= NAMES and not (tmp_path / "~").exists()


def test_a_link_to_a_folder_will_do(images, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    fit(network(), images, objective=Pressed(), **THREE, checkpoint=tmp_path / "link")
    assert set(held(tmp_path / "real")) <= NAMES and (tmp_path / "link").is_symlink()


def test_what_else_is_in_the_folder_stays(images, whole, tmp_path, every_step):
    others = {
        "model.safetensors": b"mine",
        "state.json": b"{}",
        "deep/state-c.safetensors": b"",
        "checkpoint.txt": b"x",
    }
    for name, content in others.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for press in ({"step": 9}, {}):
        model = network()
        fit(model, images, objective=Pressed(**press), **THREE, checkpoint=tmp_path)
    files = held(tmp_path)
    assert {name: files[name] for name in others} == others and files.keys() == {*others, "deep", *NAMES}
    assert sha(model) == whole()[1]


def test_the_files_are_json_and_safetensors_and_nothing_is_pickled(images, whole, tmp_path, monkeypatch, every_step):
    def forbidden(*_, **__):
        raise AssertionError("a pickle runs whatever it holds")

    for name in ("save", "load"):
        monkeypatch.setattr(torch, name, forbidden)
    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    for press in ({"step": 9}, {}):
        model = network()
        fit(model, images, objective=Pressed(**press), **THREE, checkpoint=tmp_path)
    assert sha(model) == whole()[1]
    files = held(tmp_path)
    assert files.keys() == NAMES
    note = json.loads(files["checkpoint.json"])
    assert note["progress"]["stopped"] == "all 3 epochs done, but only 12 steps: take a smaller batch or more epochs"
    for name in NAMES - {"checkpoint.json"}:
        length = int.from_bytes(files[name][:8], "little")
        header = json.loads(files[name][8 : 8 + length])
        end = max(entry["data_offsets"][1] for entry in header.values())
        assert len(files[name]) == 8 + length + end  # numbers, and nothing behind them
    tensors = safetensors.torch.load(files[note["file"]["name"]])
    assert {name.partition(".")[0] for name in tensors} == {"model", "best", "optimiser", "losses", "random"}


def test_tied_weights_stay_tied(images, tmp_path, every_step):
    model = network("tied")
    for press in ({"step": 9}, {}):
        model = network("tied")
        fit(model, images, objective=Pressed(**press), **THREE, checkpoint=tmp_path)
    assert model.again.weight is model.into.weight


def test_frozen_weights_stay_as_they_were(images, tmp_path, every_step):
    start = network("frozen").state_dict()
    for press in ({"step": 9}, {}):
        model = network("frozen")
        fit(model, images, objective=Pressed(**press), **THREE, checkpoint=tmp_path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, start[name]) == name.startswith("encoder")
    assert not any(weight.requires_grad for weight in model.encoder.parameters())


if __name__ == "__main__":
    if sys.argv[1] == "hunt":
        hunt(*sys.argv[2:])
    else:
        print(json.dumps(training(*sys.argv[2:])))
