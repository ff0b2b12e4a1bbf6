"""What is the same for every trainer: network, images, learning rate, loss."""

import gzip
import math
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, Subset

from aetutor import data, models, runtime

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "MNIST" / "raw"
FIRST_VALID = 55_000  # of MNIST's 60 000 training images, as in aetutor.data
PEAK_LR = 4e-3  # train.fit's default
VALID_BATCH = 250  # train.fit's


@dataclass(frozen=True)
class Terms:
    """Of one training."""

    batch: int
    epochs: int
    images: int  # to train on, the first so many
    device: str
    seed: int

    def share_of_peak(self, step: int) -> float:
        """Of the learning rate at step 0, 1, …: up over a tenth of the steps, then half a cosine, as in train.fit."""
        steps = self.epochs * math.ceil(self.images / self.batch)
        warm = max(1, steps // 10)
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def network(name: str) -> nn.Module:
    return models.DenseAutoencoder(32) if name == "dense" else models.ConvAutoencoder(32, width=16)


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Summed over an image's pixels, mean over images, in torch's fastest way of saying so."""
    return functional.mse_loss(x_hat, x, reduction="sum") / len(x)


def pictures(terms: Terms) -> tuple[Dataset, Dataset]:
    """Training and validation images as tutorials have them: each is made a tensor whenever it is asked for."""
    from torchvision.datasets import MNIST  # here, for its memory is no concern of those who do without
    from torchvision.transforms import ToTensor

    both = MNIST(_unpacked(), transform=ToTensor())
    return Subset(both, range(terms.images)), Subset(both, range(FIRST_VALID, len(both)))


def tensors(terms: Terms) -> tuple[Tensor, Tensor]:
    """The same as two float tensors (N, 1, 28, 28), which no library has to convert again."""
    images = data.load("mnist")
    return runtime.to_unit(images.train[: terms.images]), runtime.to_unit(images.valid)


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


@cache
def _unpacked() -> str:
    # torchvision reads unpacked files only, and would leave them in the repository.
    raw = Path(_folder().name) / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in SHIPPED.glob("*.gz"):
        with gzip.open(packed) as source, open(raw / packed.stem, "wb") as target:
            shutil.copyfileobj(source, target)
    return _folder().name
