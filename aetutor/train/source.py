"""Where the batches come from: images that fit in memory, or images that are read while training goes on."""

import math
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from aetutor import runtime


class Resident:
    # The whole set lives on the device as bytes, and a batch is an index into it: no loader, no copies.

    def __init__(self, pixels: Tensor, where: torch.device):
        self.where, self.shape = where, tuple(pixels.shape[1:])
        try:
            self.pixels = pixels.to(where)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            warnings.warn(
                f"{pixels.numel() / 1e9:.1f} GB of images do not fit on {where}: they stay in main memory, and each"
                " batch is copied; slower, but the same training",
                stacklevel=4,
            )
            self.pixels = pixels.cpu()
        self.home = self.pixels.device  # where the indices have to be

    @property
    def by_index(self) -> bool:
        return self.home.type == "cuda"

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        # What a step is handed; `take` makes a batch of it. On a GPU it is the index alone, and gathering is a part of
        # the step, so that it can be recorded with it. On a CPU, small batches are gathered several at a time: a
        # megabyte of them, which stays in the processor's cache.
        if self.by_index:
            yield from indices
            return
        pixels = math.prod(self.shape) * max([1, *map(len, indices)])
        together = max(1, 2**18 // pixels)
        for start in range(0, len(indices), together):
            group = indices[start : start + together]
            yield from self.take(torch.cat(group)).split([len(index) for index in group])

    def take(self, given: Tensor) -> Tensor:
        if given.is_floating_point():
            return given
        # index_select copies whole images; pixels[index] would do the same several times slower.
        chosen = self.pixels.index_select(0, given.flatten()).unflatten(0, given.shape)
        return runtime.to_unit(chosen, where=self.where)  # (B, C, H, W), or (M, B, C, H, W) for fit_many


class Streamed:
    # Images that are read from files while training goes on: anything with `.batches(indices, pin=)`, a length and a
    # shape (N, C, H, W), such as data.Files.

    def __init__(self, files, where: torch.device):
        self.files, self.where, self.shape = files, where, tuple(files.shape[1:])
        self.home = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.files)

    def batches(self, indices: Sequence[Tensor]) -> Iterator[Tensor]:
        return self.files.batches(indices, pin=self.where.type == "cuda")

    def take(self, pixels: Tensor) -> Tensor:
        return runtime.to_unit(pixels, where=self.where)  # (B, C, H, W)


def source(split: str, images, where: torch.device) -> Resident | Streamed:
    pixels = getattr(images, split)
    streams = not isinstance(pixels, Tensor) and callable(getattr(pixels, "batches", None))
    if getattr(pixels, "dtype", None) != torch.uint8 or not (isinstance(pixels, Tensor) or streams):
        found = pixels.dtype if isinstance(pixels, Tensor) else type(pixels).__name__
        raise TypeError(
            f"images.{split}: expected a uint8 tensor (N, C, H, W), got {found}; see data.from_arrays, and data.folder"
            " for files"
        )
    if len(pixels.shape) != 4 or len(pixels) == 0:
        raise ValueError(f"images.{split}: expected at least one image (N, C, H, W), got shape {tuple(pixels.shape)}")
    return Streamed(pixels, where) if streams else Resident(pixels, where)
