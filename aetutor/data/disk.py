"""Image files that read like a tensor: decoded by worker processes, in order, when they are asked for."""

import hashlib
import itertools
import multiprocessing
import numbers
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aetutor import runtime
from aetutor.data.images import DataError, _by
from aetutor.data.pictures import _pixels

_FEW = 64  # images: to load these, worker processes are not worth their start
_UNIT = 32  # images that a worker decodes at a time, fewer if they are large


class Files(Dataset):
    """Image files that read like a uint8 tensor (N, C, H, W): decoded when they are asked for, never kept.

    `files[3]` is one image (C, H, W); `files[:8]`, `files[[5, 2]]` and `files[index]` are several, (n, C, H, W),
    without those that turn out to be unreadable. For many, `batches` keeps all cores busy.

    disk       : object               what the three parts of a folder share; `folder` makes it
    rows       : (N,) int64           which of its files belong to this part
    returns    : Files                with .shape, .dtype, len(), .dim() and .split(batch), as a tensor has them
    raises     : DataError            if the one image asked for cannot be read
    source     : this course
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """

    dtype = torch.uint8

    def __init__(self, disk: "_Disk", rows: Tensor):
        self._disk, self._rows = disk, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Files of {self._disk.root}: {_count(len(self))} images, {_by(self.shape[1:])} uint8, read from disk"

    def __getitem__(self, key) -> Tensor:
        rows = self._rows[key.cpu() if isinstance(key, Tensor) else key]  # torch knows all ways to index
        if rows.dim() == 1:
            (images,) = self._stream([rows], pin=False)
            return images
        if rows.dim() > 1:
            raise IndexError(f"files are indexed by a number, a slice or a list of numbers, not by {key!r}")
        ((image, _),) = self._disk.read([[int(rows)]])
        if not len(image):
            self._disk.bad[rows] = True
            raise DataError(
                f"{self._disk.root / self._disk.names[rows]} cannot be read as a picture: delete or mend it."
            )
        return torch.from_numpy(image[0])

    @property
    def shape(self) -> torch.Size:
        """Number of files, and size of one image.

        returns    : torch.Size           (N, C, H, W)
        raises     : nothing
        source     : this course
        taught in  : notebooks/03_convolutional_autoencoder.ipynb
        """
        return torch.Size((len(self), *self._disk.decoder.shape))

    def dim(self) -> int:
        """Number of axes, as of a tensor.

        returns    : int                  4
        raises     : nothing
        source     : this course
        taught in  : notebooks/03_convolutional_autoencoder.ipynb
        """
        return len(self.shape)

    @property
    def names(self) -> tuple[str, ...]:
        """The files, in order, so that an image can be found again.

        returns    : tuple of str         names below the folder, with forward slashes
        raises     : nothing
        source     : this course
        taught in  : notebooks/03_convolutional_autoencoder.ipynb
        """
        return tuple(self._disk.names[row] for row in self._rows.tolist())

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Those of `names` that could be opened, but turned out to be broken when they were first decoded.

        returns    : tuple of str         names below the folder, with forward slashes
        raises     : nothing
        source     : this course
        taught in  : notebooks/03_convolutional_autoencoder.ipynb
        """
        return tuple(self._disk.names[row] for row in self._rows[self._disk.bad[self._rows]].tolist())

    def batches(self, indices: Sequence[Tensor], *, pin: bool = False) -> Iterator[Tensor]:
        """One batch after the other, decoded ahead by worker processes that are kept for the next call.

        Unreadable files are left out; after a pass that found new ones, a warning says how many and which.

        indices    : list of (b,) int64   one for each batch: which images, in which order
        pin        : bool                 in pinned memory, from where a GPU fetches while it computes
        returns    : iterator             of uint8 (b, C, H, W) on the CPU, in the order of `indices`; b is smaller
                                          where files are unreadable, and may be 0
        raises     : DataError            if indices are no list of one-dimensional tensors of whole numbers
        source     : torch.utils.data.DataLoader
        taught in  : notebooks/03_convolutional_autoencoder.ipynb
        """
        indices = list(indices)
        for index in indices:
            if not isinstance(index, Tensor) or index.dim() != 1 or index.dtype != torch.int64:
                found = f"{index.dtype} {tuple(index.shape)}" if isinstance(index, Tensor) else type(index).__name__
                raise DataError(f"batches takes a list of int64 tensors (b,), one for each batch; found {found}.")
        return self._stream([self._rows[index.cpu()] for index in indices], pin)

    def split(self, batch: int) -> Iterator[Tensor]:
        """All images in order, as `tensor.split(batch)` gives them, but one batch at a time.

        batch      : int                  images at once, at least 1
        returns    : iterator             of uint8 (b, C, H, W) on the CPU
        raises     : DataError            if batch is below 1 or no whole number
        source     : this course
        taught in  : notebooks/03_convolutional_autoencoder.ipynb
        """
        if not _is_whole(batch):
            raise DataError(f"batch is {batch!r}; expected a whole number of 1 or more.")
        return self._stream(self._rows.split(int(batch)), pin=False)

    def fingerprint(self) -> str:
        """A short text that changes with the files' names and sizes in bytes, and with the size of the images.

        returns    : str                  16 hexadecimal digits
        raises     : nothing
        source     : this course
        taught in  : notebooks/03_convolutional_autoencoder.ipynb
        """
        facts = [(self._disk.names[row], self._disk.sizes[row]) for row in self._rows.tolist()]
        return hashlib.sha256(ascii((tuple(self.shape), facts)).encode()).hexdigest()[:16]

    def _stream(self, batches: Sequence[Tensor], pin: bool) -> Iterator[Tensor]:
        disk, new = self._disk, []
        batches = [rows[~disk.bad[rows]] for rows in batches]
        unit = max(1, min(_UNIT, 2**22 // self.shape[1:].numel()))  # of at most 4 MB, since several lie in wait
        units = [[part.tolist() for part in rows.split(unit) if len(part)] for rows in batches]
        pieces = disk.read(list(itertools.chain(*units)))
        for count in map(len, units):
            images = []
            for piece, bad in itertools.islice(pieces, count):
                images.append(torch.from_numpy(piece))
                disk.bad[torch.tensor(bad, dtype=torch.int64)] = True
                new += bad
            total = sum(map(len, images))
            out = torch.empty(total, *self.shape[1:], dtype=self.dtype, pin_memory=pin and torch.cuda.is_available())
            yield torch.cat(images, out=out) if images else out
        _warn(disk.root, sorted(disk.names[row] for row in set(new)), stacklevel=3)


# ---- what reads: a decoder, which travels to the worker processes, and what keeps those ----


class _Decoder:
    def __init__(self, root: Path, names: list[str], shape: tuple[int, int, int]):
        self.root, self.names, self.shape = root, names, shape

    def __getitem__(self, rows: list[int]) -> tuple[np.ndarray, list[int]]:
        """The images that can be read, (b, C, H, W) uint8, and the rows of the files that cannot."""
        images, count, bad = np.empty((len(rows), *self.shape), np.uint8), 0, []
        for row in rows:
            try:
                images[count] = _pixels(self.root / self.names[row], self.shape)
                count += 1
            except Exception:  # as in _header: whatever Pillow stumbles over
                bad.append(row)
        return images[:count], bad


class _Disk:
    """What the parts of a folder share: its files, which of them are broken, and the worker processes."""

    def __init__(self, root: Path, names: list[str], sizes: list[int], shape: tuple[int, int, int]):
        self.root, self.names, self.sizes = root, names, sizes  # sizes in bytes
        self.decoder = _Decoder(root, names, shape)  # all that a worker gets: it must not hold the workers, nor we it
        self.bad = torch.zeros(len(names), dtype=torch.bool)
        self.idle: list[DataLoader] = []  # at most one; not here while it works, so passes may be nested or given up
        self.alone = False  # no worker processes here

    def __getstate__(self) -> dict:
        return self.__dict__ | {"idle": []}

    def read(self, plan: list[list[int]]) -> Iterator[tuple[np.ndarray, list[int]]]:
        """What the decoder gives for each list of rows, in order."""
        done, loader = 0, self._workers() if sum(map(len, plan)) > _FEW else None
        if loader is not None:
            loader.sampler[:] = plan
            try:
                for done, piece in enumerate(itertools.islice(loader, len(plan)), 1):
                    if done == len(plan):
                        self.idle[:] = [loader]
                    yield piece
            except (RuntimeError, OSError) as error:  # a worker was killed, for want of memory perhaps
                self._do_without(error)
        for rows in plan[done:]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                piece = self.decoder[rows]
            yield piece

    def _workers(self) -> DataLoader | None:
        if self.idle:
            return self.idle.pop()
        if self.alone or not (count := _worker_count()):
            return None
        # The plan is the sampler, a list that is filled anew for each pass, so that workers outlive a pass. Images
        # come as arrays through a pipe, since containers often have too little shared memory for torch's own way.
        # The generator is there because the loader would draw from torch's global one.
        loader = DataLoader(
            self.decoder, batch_size=None, sampler=[], num_workers=count, persistent_workers=True, prefetch_factor=4,
            collate_fn=_as_it_is, worker_init_fn=_settle, generator=torch.Generator(),
        )  # fmt: skip
        try:
            iter(loader)  # starts them
        except OSError as error:
            self._do_without(error)
            return None
        return loader

    def _do_without(self, error: Exception) -> None:
        self.alone = True
        warnings.warn(f"{self.root} is read without worker processes, which is slower: {error}", stacklevel=4)


def _worker_count() -> int:
    if multiprocessing.current_process().daemon:  # is a worker itself, and may have none
        return 0
    cores = runtime.cpus() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))  # torchrun's processes share them
    return min(cores - 1, 16) if cores > 2 else 2 if cores == 2 else 0


def _settle(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a notebook's stop button reaches all; who trains ends its workers
    warnings.simplefilter("ignore")


def _as_it_is(piece):
    return piece


# ---- words ----


def _is_whole(value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1


def _warn(root: Path, names: Sequence[str], stacklevel: int) -> None:
    if names:
        files = "1 file" if len(names) == 1 else f"{len(names)} files"
        listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        text = f"{root}: {files} cannot be read as pictures and are left out: {listed} (all of them: .unreadable)"
        warnings.warn(text, stacklevel=stacklevel)


def _count(number: int) -> str:
    return f"{number:_}".replace("_", " ")
