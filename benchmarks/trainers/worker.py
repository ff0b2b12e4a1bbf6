"""One measurement, in a process of its own."""

import platform
import resource
import sys
import time
from argparse import Namespace
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from aetutor import data, measure, runtime
from benchmarks.trainers.names import EPOCHS
from benchmarks.trainers.rivals import TRAINERS
from benchmarks.trainers.terms import Terms, network


def one(asked: Namespace) -> dict:
    """Trains once; what it took, and how good the network is."""
    trainer, model, batch, device = asked.one
    terms = Terms(int(batch), asked.epochs or EPOCHS[model], asked.images, device, asked.seed)
    _settle(device)
    first = replace(terms, images=20 * terms.batch, epochs=1)
    TRAINERS[trainer](network(model), first)()  # imports, thread pools, kernels: what a process does only once

    torch.manual_seed(terms.seed)  # the same first weights for every trainer
    net = network(model)
    train = TRAINERS[trainer](net, terms)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = _now(device)
    train()
    seconds = _now(device) - start
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else _most_memory()
    return {
        "trainer": trainer,
        "model": model,
        "batch": terms.batch,
        "epochs": terms.epochs,
        "images": terms.images,
        "seed": terms.seed,
        "seconds": seconds,  # of the whole call
        "memory": memory,  # bytes
        "error": measure.reconstruction_error(net, data.load("mnist").test),  # per pixel
        "work": _work(model),  # operations per training image
    }


def peak(device: str) -> dict:
    """The machine, and how fast it multiplies large matrices."""
    _settle(device)
    rates = []
    for size in (1024, 2048, 4096) if device == "cpu" else (4096, 8192, 16384):
        a, b = torch.randn(2, size, size, device=device)
        for _ in range(5):
            start = _now(device)
            a @ b
            rates.append(2 * size**3 / (_now(device) - start))
    names = ("torch", "torchvision", "numpy", "lightning", "skorch", "keras", "aetutor")
    machine = {
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else f"{_processor()}, {torch.get_num_threads()} threads",
        "cores": runtime.cpus(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in names},
    }
    return {"machine": machine, "operations_per_second": max(rates)}


# --- Parts ------------------------------------------------------------------------------------------------------


def _settle(device: str) -> None:
    # What fit sets for itself, for everybody. Threads inherit the first, so it comes before there are any.
    torch.set_flush_denormal(True)
    torch.set_num_threads(min(torch.get_num_threads(), runtime.cpus()))
    if device == "cuda":
        torch.set_float32_matmul_precision("high")


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _most_memory() -> int:
    kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kept if sys.platform == "darwin" else 1024 * kept  # macOS counts bytes, Linux kibibytes


def _work(model: str) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(model)(torch.zeros(1, 1, 28, 28))
    return 3 * counter.get_total_flops()  # backward: once for the weights' gradients, once for the layers'


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
