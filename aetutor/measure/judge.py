"""A classifier that judges new images: what it sees in them makes features, and which class it takes them for."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aetutor import losses, runtime
from aetutor.measure.pixels import _over, _split, _whole


class Judge(nn.Module):
    """A small convolutional classifier; `Judge.fit(images)` makes one that has learnt the images' classes.

    Two convolutions of 5 × 5 that each halve the picture → width, then 2·width maps → features → classes.

    classes    : int         at least 2
    width      : int         feature maps after the first convolution; the second has twice as many
    channels   : int         of an image: 1 for grey, 3 for colour
    size       : int or (H, W)  of an image in pixels, at least 5
    features   : int         numbers that describe an image: what the last layer, which names the class, is given
    returns    : nn.Module   call it with x (B, C, H, W) for logits (B, classes)
    raises     : ValueError  if one is no whole number or too small
    source     : features of a classifier as a measure of images: Heusel et al. 2017, arXiv:1706.08500; on digits:
                 Bińkowski et al. 2018, arXiv:1801.01401
    taught in  : notebooks/04_denoising_and_generation.ipynb
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        width: int = 16,
        channels: int = 1,
        size: int | Sequence[int] = 28,
        features: int = 64,
    ):
        super().__init__()
        size = tuple(size) if hasattr(size, "__len__") else (size, size)
        if len(size) != 2:
            raise ValueError(f"Judge: size is {size}; expected pixels, as in 28, or (height, width)")
        # From 5 pixels on, two halvings leave 2 × 2, and batch norm has more than one number to average for any batch.
        _check_whole("Judge", 5, size=size[0])
        _check_whole("Judge", 5, size=size[1])
        _check_whole("Judge", 2, classes=classes)
        _check_whole("Judge", 1, width=width, channels=channels, features=features)
        self.shape = (int(channels), *map(int, size))
        rows, columns = (math.ceil(side / 4) for side in self.shape[1:])  # halved twice, each time rounded up
        how = {"kernel_size": 5, "stride": 2, "padding": 2}
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, **how),
            nn.ReLU(),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, 2 * width, **how),
            nn.ReLU(),
            nn.BatchNorm2d(2 * width),
            nn.Flatten(),
            nn.Linear(2 * width * rows * columns, features),
            nn.ReLU(),
        )
        self.head = nn.Linear(features, classes)

    @classmethod
    def fit(
        cls,
        images,
        *,
        epochs: int = 2,
        batch: int = 128,
        lr: float = 0.005,
        seed: int = 0,
        device: torch.device | str | None = None,
    ) -> "Judge":
        """A judge trained on the training images and their labels, by AdamW with a warm-up and a cosine.

        images     : ImageSet    with train_labels
        epochs     : int         passes over the training images
        batch      : int         images per step
        lr         : float       the highest learning rate, reached after a fifth of the steps
        seed       : int         number of the random streams that draw the first weights and shuffle
        device     : device      where to train, and where the judge stays; by default the fastest there is
        returns    : Judge       in eval mode
        raises     : TypeError   if images is no ImageSet, or its pixels are not a uint8 tensor
        raises     : ValueError  if there is no image, labels are missing or do not fit, there is only one class, or
                                 epochs, batch, lr or device is out of range
        source     : Loshchilov & Hutter 2019, arXiv:1711.05101 (AdamW) and 2017, arXiv:1608.03983 (cosine)
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        pixels, labels = _split("Judge.fit", images, "train"), _labels(images)
        _check_whole("Judge.fit", 1, epochs=epochs, batch=batch)
        if isinstance(lr, bool) or not isinstance(lr, int | float) or not 0 < lr < math.inf:
            raise ValueError(f"Judge.fit: lr is {lr!r}; expected a number above 0, such as 0.005")
        where = runtime.device(device)
        classes = max(int(labels.max()) + 1, len(getattr(images, "classes", None) or ()))
        with runtime.seeded("judge", seed):
            judge = cls(classes, channels=pixels.shape[1], size=pixels.shape[2:])
        judge.to(where).train()
        pixels, labels = pixels.to(where), labels.to(where)  # as bytes
        steps = int(epochs) * math.ceil(len(pixels) / batch)
        optimiser = torch.optim.AdamW(judge.parameters(), lr=lr, fused=where.type in ("cpu", "cuda"))
        rates = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _warmup_cosine(step, steps))
        shuffler = runtime.stream("judge batches", seed)
        with runtime.tuned(where) as yield_cores:
            for _ in range(int(epochs)):
                order = torch.randperm(len(pixels), generator=shuffler).to(where)
                for index in order.split(int(batch)):
                    yield_cores()
                    optimiser.zero_grad()
                    F.cross_entropy(judge(runtime.to_unit(pixels[index])), labels[index]).backward()
                    optimiser.step()
                    rates.step()
        return judge.eval()

    def features(self, x: Tensor) -> Tensor:
        """What the last layer is given: numbers that say what is on an image, rather than how bright each pixel is.

        x          : (B, C, H, W)   floating, intensity in [0, 1]
        returns    : (B, features)  at least 0, without a unit
        raises     : TypeError      if x is no floating tensor
        raises     : ValueError     if its shape is not (B, *shape)
        source     : Heusel et al. 2017, arXiv:1706.08500
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        losses._check_floating("Judge", x=x)
        if x.dim() != 4 or tuple(x.shape[1:]) != self.shape:
            raise ValueError(
                f"Judge: x has shape {tuple(x.shape)}; this judge knows images of"
                f" (B, {', '.join(map(str, self.shape))})"
            )
        return self.body(x.to(self.head.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Image to the classes' scores.

        x          : (B, C, H, W)  floating, intensity in [0, 1]
        returns    : (B, classes)  logits; their softmax is the judge's probability of each class
        raises     : TypeError     if x is no floating tensor
        raises     : ValueError    if its shape is not (B, *shape)
        source     : this course
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        return self.head(self.features(x))

    def describe(self, x: Tensor, *, batch: int = 500) -> Tensor:
        """The features of a whole set, real or new, ready for `frechet` and `precision_recall`.

        x          : (N, C, H, W)   uint8 pixels such as images.test, data.Files, or floating in [0, 1] such as samples
        batch      : int            images described at once
        returns    : (N, features)  on the CPU
        raises     : TypeError      if x is neither
        raises     : ValueError     if there is no image, its shape is not (N, *shape), or batch is below 1
        source     : Heusel et al. 2017, arXiv:1706.08500
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        return _over("Judge.describe", self, x, batch, self.features, what="x", floats=True)

    def labels(self, x: Tensor, *, batch: int = 500) -> Tensor:
        """The class that the judge takes each image for; it names one for noise, too.

        x          : (N, C, H, W)  uint8 pixels such as images.test, data.Files, or floating in [0, 1] such as samples
        batch      : int           images judged at once
        returns    : (N,)          int64, 0…classes − 1; on the CPU
        raises     : TypeError     if x is neither
        raises     : ValueError    if there is no image, its shape is not (N, *shape), or batch is below 1
        source     : this course
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        return self._named("Judge.labels", x, batch)

    def accuracy(self, x: Tensor, labels: Tensor, *, batch: int = 500) -> float:
        """Share of images whose class the judge gets right: how far its word can be trusted.

        x          : (N, C, H, W)  uint8 pixels such as images.test, data.Files, or floating in [0, 1]
        labels     : (N,)          whole numbers, such as images.test_labels
        batch      : int           images judged at once
        returns    : float         0…1
        raises     : TypeError     if x is neither, or labels is no tensor of whole numbers
        raises     : ValueError    if there is no image, its shape is not (N, *shape), labels is not (N,), or batch is
                                   below 1
        source     : this course
        taught in  : notebooks/04_denoising_and_generation.ipynb
        """
        if not isinstance(labels, Tensor) or labels.is_floating_point():
            found = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(
                f"Judge.accuracy: labels is {found}; expected a tensor of whole numbers such as images.test_labels"
            )
        named = self._named("Judge.accuracy", x, batch)
        if named.shape != labels.shape:
            raise ValueError(
                f"Judge.accuracy: labels has shape {tuple(labels.shape)}; expected {tuple(named.shape)}, one for each"
                " image"
            )
        return (named == labels.cpu()).double().mean().item()

    def _named(self, name: str, x: Tensor, batch: int) -> Tensor:
        return _over(name, self, x, batch, lambda part: self(part).argmax(1), what="x", floats=True)


# --- Parts ------------------------------------------------------------------------------------------------------


def _warmup_cosine(step: int, steps: int) -> float:
    done = (step + 1) / (steps + 1)
    return 5 * done if done < 0.2 else 0.5 + 0.5 * math.cos(math.pi * (done - 0.2) / 0.8)


def _labels(images) -> Tensor:
    labels = getattr(images, "train_labels", None)
    if labels is None:
        raise ValueError(
            "Judge.fit: images has no train_labels, and a judge learns from them; expected such a set as data.load"
            " makes, or data.from_arrays(train, test, train_labels=…)"
        )
    whole = isinstance(labels, Tensor) and not labels.is_floating_point()
    if not whole or labels.shape != images.train.shape[:1] or labels.min() < 0:
        found = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(
            f"Judge.fit: images.train_labels is {found}; expected ({len(images.train)},) whole numbers from 0, one for"
            " each training image"
        )
    return labels.long()


def _check_whole(name: str, least: int, **numbers) -> None:
    for what, value in numbers.items():
        if not _whole(value) or value < least:
            raise ValueError(f"{name}: {what} is {value!r}; expected a whole number of {least} or more")
