"""What `python -m aetutor` promises: what is here, what is wrong, what mends it, and an exit status that agrees."""

import gzip
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torchvision  # noqa: F401  imported here, so that the time of the first test is its own

from aetutor import __main__, data

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
