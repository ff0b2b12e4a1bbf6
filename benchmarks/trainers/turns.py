"""Trainers taking turns, each time in a process of its own."""

import datetime
import json
import os
import subprocess
import sys
from argparse import Namespace
from itertools import product
from pathlib import Path

from benchmarks.trainers.names import EPOCHS, LABELS

ROOT = Path(__file__).resolve().parents[2]


def devices(asked: str) -> list[str]:
    """The devices to measure on."""
    if asked == "cpu":
        return ["cpu"]
    answer = subprocess.run([sys.executable, "-c", "import sys, torch; sys.exit(not torch.cuda.is_available())"])
    if answer.returncode and asked == "cuda":
        sys.exit("There is no GPU here that torch can use through CUDA.")
    return ["cuda"] if asked == "cuda" else ["cpu"] if answer.returncode else ["cpu", "cuda"]


def measure(asked: Namespace, device: str) -> dict:
    """All turns on one device: the first measurement of everything, then the second of everything, …"""
    plan = list(product(range(asked.repeats), asked.models, asked.batches, asked.trainers))
    measured = {"kind": device, "date": datetime.date.today().isoformat(), "peaks": [], "runs": []}
    for number, (repeat, model, batch, trainer) in enumerate(plan, start=1):
        if repeat == len(measured["peaks"]):
            found = _worker(device, "--peak", device)
            measured["machine"] = found["machine"]
            measured["peaks"].append(found["operations_per_second"])
            rate = found["operations_per_second"] / 1e9
            print(f"turn {repeat + 1} of {asked.repeats}: large matrix products at {rate:,.0f} GFLOP/s", flush=True)
        epochs = asked.epochs or EPOCHS[model]
        run = _worker(
            device, "--one", trainer, model, batch, device,
            "--epochs", epochs, "--images", asked.images, "--seed", repeat,
        )  # fmt: skip
        measured["runs"].append(run)
        print(
            f"{number:3}/{len(plan)}  {model:5} {batch:4}  {LABELS[trainer]:22} {run['seconds'] / epochs:7.3f} s/epoch"
            f"  {run['memory'] / 1e6:6.0f} MB  test error {run['error']:.5f}",
            flush=True,
        )
    return measured


def _worker(device: str, *arguments) -> dict:
    # On a machine with a GPU, some libraries would take it unasked.
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})
    command = [sys.executable, "-m", "benchmarks.trainers", *map(str, arguments)]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if answer.returncode:
        sys.exit(f"{answer.stderr}\nThis measurement failed: {' '.join(command)}")
    return json.loads(answer.stdout.splitlines()[-1])
