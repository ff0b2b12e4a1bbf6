"""What `python -m aetutor` promises: what is here, what is wrong, what mends it, and an exit status that agrees."""

import gzip
import importlib.metadata
import inspect
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision  # noqa: F401  imported here, so that the time of the first test is its own
from conftest import spots
from PIL import Image
from safetensors.torch import load_file

from aetutor import __main__, data, measure, models, runtime, train

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """No dataset but the shipped one, and no seed but the course's own."""
    monkeypatch.delenv("AETUTOR_DATA", raising=False)
    monkeypatch.delenv("AETUTOR_SEED", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")


def truncated(folder: Path) -> Path:
    """A folder in torchvision's layout, with MNIST files that stop early."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x03")[:-3])
    return folder


def test_on_a_sound_machine_the_report_ends_well_and_so_does_the_command():
    environment = {name: value for name, value in os.environ.items() if name != "AETUTOR_DATA"}
    answer = subprocess.run(
        [sys.executable, "-m", "aetutor"],
        cwd=ROOT,
        env=environment | {"AETUTOR_SEED": "3", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "✔ Everything the course needs is here." in answer.stdout and "✘" not in answer.stdout
    lines = dict(line.split(maxsplit=1) for line in answer.stdout.splitlines() if len(line.split()) > 1)
    assert lines["torch"] == importlib.metadata.version("torch") and lines["AETUTOR_SEED"] == "3"
    assert (Path(lines["mnist"]) / "train-images-idx3-ubyte.gz").is_file() or list(Path(lines["mnist"]).rglob("*.gz"))


def test_every_dataset_is_listed_with_its_folder_or_how_to_get_it(capsys):
    assert __main__.main([]) == 0
    shown = capsys.readouterr().out
    for name in ("mnist", "fashion_mnist", "kmnist", "cifar10"):
        (line,) = (line for line in shown.splitlines() if line.split()[:1] == [name])
        assert "data.load downloads it" in line or data.where(name)


def test_a_broken_mnist_is_named_with_what_to_do_and_the_command_fails(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("AETUTOR_DATA", str(truncated(tmp_path / "mine")))
    assert __main__.main([]) == 1
    shown = capsys.readouterr().out
    assert "✘ mnist: " in shown and str(tmp_path / "mine") in shown and "ubyte" in shown
    assert "mend it with:" in shown and "✔" not in shown


def test_a_data_folder_that_is_none_is_reported_and_the_command_fails(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AETUTOR_DATA", str(tmp_path / "file"))
    assert __main__.main([]) == 1
    shown = capsys.readouterr().out
    assert "AETUTOR_DATA" in shown and str(tmp_path / "file") in shown
    assert shown.count("mend it with:  unset AETUTOR_DATA") == shown.count("✘") == 1


def test_a_seed_that_is_no_number_fails_with_the_command_that_mends_it(monkeypatch, capsys):
    monkeypatch.setenv("AETUTOR_SEED", "one")
    assert __main__.main([]) == 1
    shown = capsys.readouterr().out
    assert "✘ AETUTOR_SEED is 'one'" in shown and "mend it with:  unset AETUTOR_SEED" in shown


def test_an_aetutor_data_without_a_dataset_is_shown_with_what_is_expected_there_and_is_no_fault(
    monkeypatch, tmp_path, capsys
):
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("AETUTOR_DATA", str(tmp_path / "mine"))
    assert __main__.main([]) == 0
    shown = capsys.readouterr().out
    assert f"which holds none of the datasets; expected for example {tmp_path / 'mine' / 'MNIST' / 'raw'}" in shown
    (tmp_path / "mine" / "KMNIST").mkdir()
    __main__.main([])
    assert "none of the datasets" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "wrong"),
    [("torch", "OSError"), ("numpy", "ImportError"), ("psutil", "RuntimeError"), ("platformdirs", "ImportError")],
)
def test_a_package_that_is_broken_gives_a_command_and_no_traceback(tmp_path, module, wrong):
    (tmp_path / f"{module}.py").write_text(f"raise {wrong}('broken')")
    answer = subprocess.run(
        [sys.executable, "-m", "aetutor"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert answer.returncode == 1, answer.stdout
    assert "Traceback" not in answer.stderr and "✘" in answer.stdout
    (mend,) = {line for line in answer.stdout.splitlines() if "mend it with:" in line and module in line}
    assert "pip install --force-reinstall" in mend


# --- python -m aetutor train ----------------------------------------------------------------------------------

SMALL = ["train", "--device", "cpu", "--epochs", "2", "--batch", "32"]


def spoken(value) -> str:
    """A test's name: what is typed, and nothing for messages and functions."""
    return " ".join(value).replace(__file__, "FILE") if isinstance(value, list) else ""


@pytest.fixture
def small(monkeypatch):
    """What data.load gives, whatever name it is asked for: 108 / 12 / 30 images of 1 × 12 × 12."""
    images = data.from_arrays(spots(120, side=12, seed=1), spots(30, side=12, seed=2))
    monkeypatch.setattr(data, "load", lambda name: images)
    return images


@pytest.fixture
def pictures(tmp_path):
    """A folder of 60 colour pictures, larger than they will be used."""
    if not hasattr(data, "folder"):
        pytest.skip("there is no data.folder yet")
    (tmp_path / "pictures").mkdir()
    for number, pixels in enumerate(spots(60, side=12, channels=3)):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / "pictures" / f"{number:03}.png")
    return tmp_path / "pictures"


def rows(shown: str) -> list[tuple[int, float, float]]:
    """Epoch, train and valid of a printed history."""
    lines = [line.split() for line in shown.splitlines()]
    return [(int(line[0]), float(line[1]), float(line[2])) for line in lines if line and line[0].isdigit()]


def printed_error(shown: str) -> tuple[float, float]:
    found = re.search(r"^test images: squared error (\S+) per pixel, (\S+) per image$", shown, re.MULTILINE)
    return float(found[1]), float(found[2])


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ([], lambda: models.DenseAutoencoder(32, hidden=(256,), shape=(1, 12, 12))),
        (["--code", "3", "--hidden", "16"], lambda: models.DenseAutoencoder(3, hidden=(16,), shape=(1, 12, 12))),
        (["--code", "3", "--hidden", "0"], lambda: models.DenseAutoencoder(3, hidden=(), shape=(1, 12, 12))),
        (["--model", "conv"], lambda: models.ConvAutoencoder(32, width=16, size=12)),
        (
            ["--model", "conv", "--code", "3", "--width", "2", "--hidden", "9"],
            lambda: models.ConvAutoencoder(3, width=2, size=12, hidden=9),
        ),
        (
            ["--model", "conv", "--code", "3", "--width", "2", "--hidden", "0"],
            lambda: models.ConvAutoencoder(3, width=2, size=12),
        ),
    ],
    ids=spoken,
)
@pytest.mark.parametrize("numbers", [{}, {"epochs": 3, "batch": 20, "lr": 0.01, "seed": 5}], ids=["", "all numbers"])
def test_train_prints_what_fit_and_measure_find_in_a_notebook(small, capsys, asked, made, numbers):
    given = [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
    assert __main__.main([*SMALL, *asked, *given]) == 0
    shown = capsys.readouterr()
    with runtime.seeded("weights", numbers.get("seed", 0)):
        model = made()
    history = train.fit(model, small, device="cpu", progress=False, **{"epochs": 2, "batch": 32} | numbers)
    error = measure.reconstruction_error(model, small.test)
    assert rows(shown.out) == [(r.epoch, float(f"{r.train:.4g}"), float(f"{r.valid:.4g}")) for r in history.rows]
    assert printed_error(shown.out) == pytest.approx((error, 144 * error), rel=1e-3)
    assert f"{small}\n{type(model).__name__}, {models.parameters(model):,} parameters, on cpu\n" in shown.out
    assert f"; {history.stopped}\n" in shown.out and shown.err == ""


def test_the_weights_are_saved_where_asked_and_are_those_of_the_printed_error(small, tmp_path, capsys):
    file = tmp_path / "new folder" / "dense.safetensors"
    assert __main__.main([*SMALL, "--save", str(file)]) == 0
    again = models.DenseAutoencoder(32, shape=(1, 12, 12))
    again.load_state_dict(load_file(file))
    assert printed_error(capsys.readouterr().out)[0] == pytest.approx(
        measure.reconstruction_error(again, small.test), rel=1e-3
    )


def test_ctrl_c_ends_the_command_with_the_status_that_a_shell_expects(small, monkeypatch, capsys):
    fit = train.fit

    def pressed(*given, **how):
        def objective(model, x):
            raise KeyboardInterrupt

        return fit(*given, objective=objective, **how)

    monkeypatch.setattr(train, "fit", pressed)
    assert __main__.main([*SMALL]) == 130
    assert "interrupted in epoch 1" in capsys.readouterr().out


def test_a_dataset_is_asked_for_by_its_name(small, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(data, "load", lambda name: asked.append(name) or small)
    for more in ([], ["--data", "kmnist"]):
        assert __main__.main([*SMALL, "--code", "2", "--hidden", "4", *more]) == 0
    assert asked == ["mnist", "kmnist"]


def test_a_folder_of_pictures_is_cut_to_the_size_and_the_channels_asked_for(pictures, capsys):
    common = [*SMALL, "--data", str(pictures), "--code", "3", "--width", "2"]
    for more, shape, model in [
        (["--model", "conv", "--size", "9"], (3, 9, 9), models.ConvAutoencoder(3, width=2, channels=3, size=9)),
        (
            ["--size", "4", "--channels", "1", "--hidden", "5"],
            (1, 4, 4),
            models.DenseAutoencoder(3, hidden=5, shape=(1, 4, 4)),
        ),
    ]:
        assert __main__.main([*common, *more]) == 0
        shown = capsys.readouterr()
        assert f"{type(model).__name__}, {models.parameters(model):,} parameters" in shown.out
        assert "×".join(map(str, shape)) in shown.out and len(rows(shown.out)) == 2 and shown.err == ""
        per_pixel, per_image = printed_error(shown.out)
        assert per_image == pytest.approx(per_pixel * math.prod(shape), rel=1e-3)


def test_a_training_that_was_interrupted_goes_on_from_its_checkpoint_to_the_same_end(
    small, monkeypatch, tmp_path, capsys
):
    line = [*SMALL, "--epochs", "4", "--code", "3", "--hidden", "16"]
    assert __main__.main(line) == 0
    whole = capsys.readouterr().out
    line += ["--checkpoint", str(tmp_path / "run")]
    monkeypatch.setattr(train.checkpoint.Checkpoint, "due", lambda keeper: True)  # save at each step
    with monkeypatch.context() as once:

        def press(run, *given, end=train.run.Run.end_epoch):
            if run.epoch == 3:
                raise KeyboardInterrupt
            return end(run, *given)

        once.setattr(train.run.Run, "end_epoch", press)
        assert __main__.main(line) == 130
    broken_off = capsys.readouterr().out
    assert "interrupted in epoch 3" in broken_off and rows(broken_off) == rows(whole)[:2]
    note, steps = train.run.Run.note, []
    with monkeypatch.context() as counted:
        counted.setattr(train.run.Run, "note", lambda run, *given: steps.append(1) or note(run, *given))
        assert __main__.main(line) == 0
    gone_on = capsys.readouterr().out
    assert len(steps) == 4 and rows(gone_on) == rows(whole) and printed_error(gone_on) == printed_error(whole)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert __main__.main([*line, "--lr", "0.01"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert re.match(r"CheckpointError: .*another training: lr was 0\.004 and is 0\.01\b", shown.err)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--epochs", "0"], "ValueError: epochs is 0; expected"),
        (["--batch", "-1"], "ValueError: batch is -1; expected"),
        (["--lr", "nan"], "ValueError: lr is nan; expected"),
        (["--lr", "0"], "ValueError: lr is 0.0; expected"),
        (["--lr", "1e30"], "TrainingDiverged: epoch 1, "),
        (["--code", "0"], "ValueError: code holds 0; expected"),
        (["--hidden", "-4"], "ValueError: hidden holds -4; expected"),
        (["--model", "conv", "--hidden", "-4"], "ValueError: hidden holds -4; expected"),
        (["--model", "conv", "--width", "0"], "ValueError: width holds 0; expected"),
        (["--device", "gpu"], "ValueError: there is no device 'gpu' here; there is: "),
        (["--data", "nowhere"], "ValueError: --data is 'nowhere'; expected one of mnist, "),
        (["--data", __file__], f"ValueError: --data is {__file__!r}; expected one of mnist, "),
        (["--checkpoint", __file__], "CheckpointError: checkpoint is "),
    ],
    ids=spoken,
)
def test_what_cannot_be_is_told_in_one_line_on_stderr_and_the_command_fails(small, capsys, given, message):
    assert __main__.main([*SMALL, "--code", "3", "--hidden", "4", *given]) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith(message) and shown.err.count("\n") == 1


def test_a_folder_without_pictures_and_a_dataset_that_is_damaged_are_told_in_one_line_too(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("AETUTOR_DATA", str(truncated(tmp_path / "mine")))
    (tmp_path / "empty").mkdir()
    for name, part in [("mnist", str(tmp_path / "mine")), (str(tmp_path / "empty"), "no picture")]:
        if name != "mnist" and not hasattr(data, "folder"):
            continue
        assert __main__.main([*SMALL, "--data", name]) == 1
        shown = capsys.readouterr()
        assert shown.out == "" and shown.err.count("\n") == 1
        assert shown.err.startswith("DataError: ") and part in shown.err


def test_a_seed_that_is_no_number_is_told_in_one_line_too(small, monkeypatch, capsys):
    monkeypatch.setenv("AETUTOR_SEED", "one")
    assert __main__.main(SMALL) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and re.fullmatch("ValueError: AETUTOR_SEED is 'one'; expected .*\n", shown.err)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["train", "--bogus"], "unrecognized arguments: --bogus"),
        (["train", "--model", "linear"], "invalid choice: 'linear'"),
        (["train", "--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["train", "--channels", "2"], "argument --channels: invalid choice: 2"),
        (["trian"], "invalid choice: 'trian'"),
        (["--bogus"], "unrecognized arguments: --bogus"),
    ],
    ids=spoken,
)
def test_an_option_that_does_not_exist_gives_the_usage_and_exit_status_2(capsys, given, message):
    with pytest.raises(SystemExit) as ended:
        __main__.main(given)
    shown = capsys.readouterr()
    assert ended.value.code == 2 and message in shown.err and shown.err.startswith("usage: python -m aetutor")


@pytest.mark.parametrize("given", [["--help"], ["train", "--help"], ["train", "-h"]], ids=spoken)
def test_help_shows_the_examples_and_all_of_them_are_lines_that_the_command_takes(capsys, monkeypatch, given):
    with pytest.raises(SystemExit) as ended:
        __main__.main(given)
    shown = capsys.readouterr()
    assert ended.value.code == 0 and shown.err == "" and shown.out.endswith(__main__.EXAMPLES)
    lines = re.findall(
        r"^  (?:python|torchrun .*) -m aetutor *(\btrain.*?)?(?:   .*)?$", __main__.EXAMPLES, re.MULTILINE
    )
    assert len(lines) == __main__.EXAMPLES.count("-m aetutor") == 6
    taken = []
    monkeypatch.setattr(__main__, "_train", lambda asked: taken.append(asked) or 0)
    monkeypatch.setattr(__main__, "_report", lambda: taken.append(None) or 0)
    assert [__main__.main(line.split()) for line in lines] == [0] * 6
    assert taken[0] is None and [asked.model for asked in taken[1:]] == ["dense", "conv", "conv", "conv", "conv"]


def test_every_option_has_a_text_that_names_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        __main__.main(["train", "--help"])
    texts = dict(re.findall(r"^  (?:-h, )?--(\w+)(?: [A-Z{][^ ]*)?  +(\S.*)$", capsys.readouterr().out, re.MULTILINE))
    taken = []
    monkeypatch.setattr(__main__, "_train", lambda asked: taken.append(vars(asked)) or 0)
    __main__.main(["train"])
    defaults = {name: value for name, value in taken[0].items() if name != "command"}
    assert texts.keys() == defaults.keys() | {"help"} and len(texts) == 15
    for name, value in defaults.items():
        assert value is None or f"(default: {value})" in texts[name], f"--{name}: {texts[name]}, but it is {value}"
    notebooks = {"epochs": 5, "batch": 128, "lr": 4e-3, "seed": 0}
    fit = {name: each.default for name, each in inspect.signature(train.fit).parameters.items()}
    assert {name: defaults[name] for name in notebooks} == notebooks
    assert {name: fit[name] for name in notebooks} == notebooks


@pytest.mark.parametrize("name", [None, "cuda"])
def test_on_a_gpu_that_has_no_number_it_is_the_current_one(monkeypatch, capsys, name):
    def stop(_):
        raise ValueError("so far so good")

    monkeypatch.setattr(runtime, "device", lambda _: torch.device("cuda"))  # as runtime.device() says it
    monkeypatch.setattr(data, "load", stop)
    assert __main__.main(["train", *(["--device", name] if name else [])]) == 1
    assert capsys.readouterr().err == "ValueError: so far so good\n"


@pytest.mark.parametrize(
    ("asked", "expected"), [(None, "cuda:1"), ("cuda", "cuda:1"), ("cpu", "cpu"), ("cuda:0", "cuda:0")]
)
def test_under_torchrun_each_process_takes_the_gpu_of_its_number(monkeypatch, capsys, asked, expected):
    def stop(name):
        raise ValueError(f"asked for {name}")

    monkeypatch.setattr(runtime, "device", stop)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert __main__.main(["train", *(["--device", asked] if asked else [])]) == 1
    assert capsys.readouterr().err == f"ValueError: asked for {expected}\n"


@pytest.mark.slow
def test_two_processes_under_torchrun_print_what_one_process_prints(pictures, capsys):
    # 51 pictures to train on in batches of 16 and 5 to validate on: neither can be shared out evenly.
    line = ["train", "--model", "conv", "--data", str(pictures), "--size", "9", "--code", "3", "--width", "2"]
    line += ["--batch", "16", "--epochs", "3", "--lr", "0.01", "--device", "cpu"]
    answer = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "aetutor", *line],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    assert not re.search(r"warn|traceback|reducer|destroy_process_group|unused", answer.stderr, re.IGNORECASE), (
        answer.stderr
    )
    assert __main__.main(line) == 0
    shown = capsys.readouterr().out
    assert answer.stdout.count("FolderSet pictures: ") == 1  # one of the two prints
    assert [row[0] for row in rows(answer.stdout)] == [1, 2, 3]
    for found, expected in zip(rows(answer.stdout), rows(shown), strict=True):
        assert found == pytest.approx(expected, rel=1e-3)  # four digits are printed; sums in another order may differ
    assert printed_error(answer.stdout) == pytest.approx(printed_error(shown), rel=1e-3)
