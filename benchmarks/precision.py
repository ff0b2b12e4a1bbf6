"""What bfloat16 buys in training, and what it costs: where `runtime.precision` draws its line.

Usage: python benchmarks/precision.py [--device DEVICE] [--batch 64 128 256] [--images 11000] [--epochs 3]

For networks of several sizes: seconds an epoch with float32 and with bfloat16, measured in turns, their ratio, and the
ratio of the errors on the validation images after as many epochs. The last column is what `fit` would choose.
"""

import argparse
import statistics
from types import SimpleNamespace

import torch

from aetutor import data, models, runtime, train

NETWORKS = {
    "dense 784-32, linear": lambda: models.DenseAutoencoder(32, hidden=(), output="none"),
    "dense 784-64-32": lambda: models.DenseAutoencoder(32, hidden=(64,)),
    "dense 784-128-32": lambda: models.DenseAutoencoder(32, hidden=(128,)),
    "dense 784-256-32": lambda: models.DenseAutoencoder(32),
    "dense 784-1024-512-32": lambda: models.DenseAutoencoder(32, hidden=(1024, 512)),
    "conv 16-32": lambda: models.ConvAutoencoder(32),
    "conv 16-32, hidden 256": lambda: models.ConvAutoencoder(32, hidden=256),
    "conv 64-128": lambda: models.ConvAutoencoder(32, width=64),
}


def trained(make, precision: torch.dtype, images, **how) -> tuple[float, float]:
    with runtime.seeded("weights"):
        model = make()
    history = train.fit(model, images, precision=precision, progress=False, **how)
    return statistics.median(row.seconds for row in history.rows), history.best.valid


def main() -> None:
    form = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    form.add_argument("--device", default=None)
    form.add_argument("--batch", type=int, nargs="+", default=[64, 128, 256])
    form.add_argument("--images", type=int, default=11_000)
    form.add_argument("--epochs", type=int, default=3)
    form.add_argument("--repeats", type=int, default=3)
    asked = form.parse_args()
    where, mnist = runtime.device(asked.device), data.load("mnist")
    images = SimpleNamespace(train=mnist.train[: asked.images], valid=mnist.valid[:1000])
    print(f"{where}, {torch.get_num_threads()} threads; seconds for {len(images.train):,} images, median of repeats")
    print(f"{'network':24}{'weights':>10}{'batch':>7}{'float32':>9}{'bfloat16':>10}{'times':>8}{'error':>8}  chosen")
    for name, make in NETWORKS.items():
        weights = models.parameters(make())
        chosen = runtime.precision(where, parameters=weights)
        for batch in asked.batch:
            how = {"epochs": asked.epochs, "batch": batch, "device": where}
            turns = [
                [trained(make, precision, images, **how) for precision in (torch.float32, torch.bfloat16)]
                for _ in range(asked.repeats)
            ]
            (full, error), (low, low_error) = ([statistics.median(part) for part in zip(*column, strict=True)]
                                               for column in zip(*turns, strict=True))  # fmt: skip
            times, errors = f"{full / low:.2f} ×", f"{low_error / error:.3f}"
            row = f"{name:24}{weights:10,}{batch:7}{full:9.3f}{low:10.3f}{times:>8}{errors:>8}"
            print(f"{row}  {str(chosen).removeprefix('torch.')}", flush=True)


if __name__ == "__main__":
    main()
