"""What a stopped training needs to go on as if nothing had happened, kept in a folder."""

import contextlib
import hashlib
import json
import os
import time
import warnings
import zlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint is damaged, belongs to another training, or cannot be written. Its folder is left as it is.

    returns    : ValueError  the message names the folder, what is wrong with it, and what to do
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """


class Checkpoint:
    """A folder with `checkpoint.json` and one file of tensors that it names.

    The tensors are written first, under the one of two names that is not in use; then the JSON file, with their
    checksum, takes the old one's place in a single step. Whenever the process is killed, the JSON file names a complete
    file of tensors.
    """

    every = 1.0  # seconds at least between two saves: what a kill can cost
    share = 0.05  # of the training time at most: large networks are saved less often

    def __init__(self, folder: str | os.PathLike, settings: dict):
        self.folder, self.settings, self.name = Path(folder).expanduser().absolute(), settings, "b"
        self.saved, self.cost, self.warned = time.monotonic(), 0.0, False
        self.note = self.folder / "checkpoint.json"

    def due(self) -> bool:
        return time.monotonic() - self.saved > max(self.every, self.cost / self.share)

    def load(self) -> tuple[dict, dict[str, Tensor]] | None:
        """Progress and tensors, or None where there is no checkpoint yet."""
        if os.path.isfile(self.folder):
            raise CheckpointError(f"checkpoint is {str(self.folder)!r}, which is a file; expected the name of a folder")
        try:
            if not os.path.exists(self.folder) or not self.note.exists():
                return None
            note = json.loads(self.note.read_text(encoding="utf-8"))
            if note.pop("check") != _digest(json.dumps(note)):
                raise ValueError("checkpoint.json is not as it was written")
            file, settings, progress = note["file"], note["settings"], note["progress"]
            packed = (self.folder / file["name"]).read_bytes()
            if hashlib.sha256(packed).hexdigest() != file["sha256"]:
                raise ValueError(f"{file['name']} has another checksum than checkpoint.json says")
            tensors = load(packed)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise CheckpointError(
                f"the checkpoint in {str(self.folder)!r} is damaged ({type(error).__name__}: {error}). It was left as"
                " it is; give checkpoint= another folder, or remove this one to start anew"
            ) from error
        if others := [
            f"{name} was {settings.get(name)!r} and is {value!r}"
            for name, value in self.settings.items()
            if settings.get(name) != value
        ]:
            raise CheckpointError(
                f"the checkpoint in {str(self.folder)!r} belongs to another training: {'; '.join(others)}. It was left"
                " as it is; give checkpoint= another folder, or remove this one to start anew"
            )
        self.name = file["name"].removeprefix("state-").removesuffix(".safetensors")
        return progress, tensors

    def open(self, run, team) -> None:
        """Takes the run up where the folder's checkpoint put it down; without one, makes the first."""
        found, error = self.load(), None
        there = team.gather(found is not None)
        if any(there) and not all(there):
            raise CheckpointError(
                f"only some of the processes see a checkpoint in {str(self.folder)!r}; give checkpoint= a folder that"
                " all of them share"
            )
        if found is not None:
            run.take_up(*found, team)
            return
        try:
            self.write(*run.put_down(team), team)
        except OSError as refused:
            error = refused
        if any(said := team.gather(error and str(error))):  # before hours of training, not after them
            raise CheckpointError(
                f"the checkpoint cannot be written to {str(self.folder)!r} ({max(filter(None, said))}); give"
                " checkpoint= a folder that can, or make room"
            ) from error

    def save(self, run, team) -> None:
        if not run.sound():  # the end of the epoch will say so; what is on the disk is better
            self.saved = time.monotonic()
            return
        try:
            self.write(*run.put_down(team), team)
        except OSError as error:
            self.saved = time.monotonic()
            if not self.warned:  # training goes on: the disk may have room again, and the weights are in memory
                warnings.warn(f"no checkpoint could be written to {str(self.folder)!r}: {error}", stacklevel=3)
            self.warned = True

    def write(self, progress: dict, tensors: dict[str, Tensor], team) -> None:
        start = self.saved = time.monotonic()
        if team.rank:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = "a" if self.name == "b" else "b"
        # Copies: two names for one tensor (tied weights) would be refused.
        packed = save({key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()})
        file = {"name": f"state-{name}.safetensors", "sha256": hashlib.sha256(packed).hexdigest()}
        note = {"format": FORMAT, "settings": self.settings, "progress": progress, "file": file}
        note["check"] = _digest(json.dumps(note, default=int))  # default: NumPy's whole numbers
        _write(self.folder / file["name"], packed)
        new = self.note.with_suffix(".new")
        _write(new, json.dumps(note, indent=1, default=int).encode())
        new.replace(self.note)
        self.name = name
        _sync(self.folder)
        self.cost = time.monotonic() - start


def settings(model, train, valid, **named) -> dict:
    # What has to be the same for a training to go on: compared on loading, and named where it differs.
    weights = repr([(name, tuple(value.shape), str(value.dtype)) for name, value in model.state_dict().items()])
    weights += repr([name for name, weight in model.named_parameters() if not weight.requires_grad])
    plain = (bool, int, float, str, tuple, type(None))  # settings that a layer's own text may leave out
    for name, module in model.named_modules():
        weights += repr([(name, k, v) for k, v in vars(module).items() if isinstance(v, plain) and k != "training"])
    return {
        "format": FORMAT,
        "network": f"{type(model).__name__} {_digest(weights + repr(model))}",
        "training images": _recognise(train),
        "validation images": _recognise(valid),
        "AETUTOR_SEED": os.environ.get("AETUTOR_SEED", "0").strip() or "0",
        **named,
    }


def _recognise(images) -> str:
    if isinstance(images, Tensor):
        found = f"{zlib.crc32(images.contiguous().cpu().numpy()):08x}"
    else:
        found = images.fingerprint()
    return f"{'×'.join(map(str, images.shape))} {found}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    # A new name outlives a power cut only when its folder is on the disk too. Some systems have no way to ask for that.
    if not hasattr(os, "O_DIRECTORY"):
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
