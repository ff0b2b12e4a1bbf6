"""Made-up images, small enough that a network learns them in well under a second; and a browser."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lab import chromium


def spots(count: int, *, side: int = 8, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """(count, channels, side, side) uint8: one bright spot each, whose place and width differ."""
    random = np.random.default_rng(seed)
    centre = random.uniform(0.2, 0.8, (2, count, channels, 1, 1)) * (side - 1)
    width = random.uniform(0.1, 0.25, (count, channels, 1, 1)) * side
    rows, columns = np.arange(side)[:, None], np.arange(side)[None, :]
    distance = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2
    return torch.from_numpy((255 * np.exp(-distance / (2 * width**2))).round().astype(np.uint8))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """On a busy machine, two threads that wait for each other take a hundred times as long over tiny networks."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def browser():
    """A Chromium, for tests of what a reader sees."""
    with chromium() as driven:
        yield driven


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """.train, .valid and .test of 600, 100 and 150 images, 1 × 8 × 8."""
    return SimpleNamespace(train=spots(600, seed=1), valid=spots(100, seed=2), test=spots(150, seed=3))


class Streamed:
    """Images that are read while training goes on, as `data.folder` has them; those in `missing` cannot be read."""

    dtype = torch.uint8

    def __init__(self, pixels: torch.Tensor, missing=()):
        self.pixels, self.shape, self.missing, self.asked = pixels, pixels.shape, set(missing), []

    def __len__(self) -> int:
        return len(self.pixels)

    def batches(self, indices, *, pin: bool = False):
        for index in indices:
            self.asked.append(index.tolist())
            yield self.pixels[[i for i in index.tolist() if i not in self.missing]]

    def fingerprint(self) -> str:
        return hashlib.sha256(self.pixels.numpy()).hexdigest()[:16]
