"""What another busy program costs training, with a fixed number of threads and with `runtime.tuned`'s yielding.

Usage: python benchmarks/threads.py

Prints seconds an epoch of the dense network on MNIST, alone and beside one busy program; medians of three. A fixed two
threads on two cores wait for each other whenever one of them loses its core (see runtime.tuning._Yielding).
"""

import multiprocessing
import statistics
import time

import torch

from aetutor import data, models, runtime, train


def keep_busy() -> None:
    while True:
        pass


def seconds(images: data.ImageSet, *, every: float) -> float:
    runtime.tuning._Yielding.every = every
    return statistics.median(
        train.fit(models.DenseAutoencoder(), images, epochs=1, progress=False).seconds for _ in range(3)
    )


def main() -> None:
    images = data.load("mnist")
    print(f"{runtime.cpus()} cores, {torch.get_num_threads()} threads; seconds an epoch, median of 3")
    print(f"{'':24}{'fixed threads':>16}{'yielding':>16}")
    for beside in (0, 1):
        others = [multiprocessing.Process(target=keep_busy, daemon=True) for _ in range(beside)]
        for other in others:
            other.start()
        time.sleep(0.5)
        fixed, yielding = seconds(images, every=1e9), seconds(images, every=0.2)
        print(f"{f'{beside} busy programs beside':24}{fixed:16.2f}{yielding:16.2f}", flush=True)
        for other in others:
            other.terminate()


if __name__ == "__main__":
    main()
