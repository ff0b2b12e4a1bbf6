"""What other busy programs cost training, with a fixed number of threads and with `runtime.tuned`'s yielding.

Usage: python benchmarks/threads.py

Prints seconds an epoch of the dense network on MNIST: alone, beside a program that keeps one core busy, and beside a
second training like itself; medians of three. With a fixed number of threads, all of them wait in a busy loop whenever
one has lost its core (see runtime.tuning._Yielding).
"""

import multiprocessing
import statistics
import time

import torch

from aetutor import data, models, runtime, train


def busy_loop(every: float) -> None:
    while True:
        pass


def training(every: float) -> None:
    runtime.tuning._Yielding.every = every
    runtime.tuning._Yielding.on_trial = max(every, 0.1)  # fixed threads are not tried out either
    train.fit(models.DenseAutoencoder(), data.load("mnist"), epochs=100_000, progress=False)


def seconds(images: data.ImageSet, every: float, other) -> float:
    runtime.tuning._Yielding.every = every
    runtime.tuning._Yielding.on_trial = max(every, 0.1)  # fixed threads are not tried out either
    beside = other and multiprocessing.get_context("spawn").Process(target=other, args=(every,), daemon=True)
    if beside:
        beside.start()
        time.sleep(6)  # until it has imported torch and is at work
    runs = [train.fit(models.DenseAutoencoder(), images, epochs=1, progress=False).seconds for _ in range(3)]
    if beside:
        beside.kill()
        beside.join()
    return statistics.median(runs)


def main() -> None:
    images = data.load("mnist")
    print(f"{runtime.cpus()} cores, {torch.get_num_threads()} threads; seconds an epoch, median of 3")
    print(f"{'':24}{'fixed threads':>16}{'yielding':>16}")
    for name, other in [("alone", None), ("beside a busy loop", busy_loop), ("beside another training", training)]:
        fixed, yielding = seconds(images, 1e9, other), seconds(images, 0.2, other)
        print(f"{name:24}{fixed:16.2f}{yielding:16.2f}", flush=True)


if __name__ == "__main__":
    main()
