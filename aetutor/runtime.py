"""The machine a lesson runs on: device, precision, CPU tuning, named random streams, and a report on all of it."""

import contextlib
import hashlib
import importlib.metadata
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

import torch
from torch import Tensor


def device() -> torch.device:
    """The fastest device that works here: CUDA, else Apple's MPS, else the CPU.

    returns    : torch.device
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def budget(*, cpu, gpu):
    """The first value on a CPU, the second on a GPU: the same cells, better models where there is time for them.

    cpu, gpu   : anything    typically a number of epochs or a width
    returns    : cpu or gpu, as given
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    return cpu if device().type == "cpu" else gpu


def to_unit(pixels: Tensor, *, where: torch.device | str | None = None) -> Tensor:
    """uint8 pixels as the networks want them: float32, intensity in [0, 1], on one device.

    pixels     : (B, C, H, W)  uint8, 0…255
    where      : device        of the result; by default the device the pixels are on
    returns    : (B, C, H, W)  float32 in [0, 1]
    raises     : TypeError     if the pixels are not a uint8 tensor (scaling twice is a silent, common slip)
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8:
        found = pixels.dtype if isinstance(pixels, Tensor) else type(pixels).__name__
        raise TypeError(f"to_unit: expected a uint8 tensor of pixels 0…255, got {found}; floats need no scaling")
    # Moved as bytes, scaled on arrival: a quarter of the traffic.
    return pixels.to(where or pixels.device, non_blocking=True).float().div_(255)


def start(chapter: str) -> str:
    """What a chapter's set-up cell ends with: torch's global generator follows the chapter's own stream from here on.

    New networks draw their first weights from that generator, so AETUTOR_SEED changes them too.

    chapter    : str         the notebook's name, such as "02_dense_autoencoder"
    returns    : str         one line: versions, device, threads and seed
    raises     : ValueError  if AETUTOR_SEED is set to something that is no whole number
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    torch.manual_seed(seed(chapter))
    # A container often shows all cores of its host and grants one: more threads than cores wait for each other.
    torch.set_num_threads(min(torch.get_num_threads(), cpus()))
    course = os.environ.get("AETUTOR_SEED", "0").strip() or "0"
    python, here = platform.python_version(), device().type
    return (
        f"Python {python}, torch {torch.__version__}, {here}, {torch.get_num_threads()} threads, AETUTOR_SEED {course}"
    )


# --- Random streams -------------------------------------------------------------------------------------------


def seed(name: str, number: int = 0) -> int:
    """A seed that depends on a name, a number and AETUTOR_SEED, and on nothing that ran before.

    name       : str         what the random numbers are for, such as "batches"
    number     : int         0, 1, 2, … for repeated runs
    returns    : int         0 … 2³¹ − 1, fit for torch, NumPy and scikit-learn alike
    raises     : ValueError  if AETUTOR_SEED is set to something that is no whole number
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    course = os.environ.get("AETUTOR_SEED", "0").strip() or "0"
    try:
        course = int(course)
    except ValueError:
        raise ValueError(f"AETUTOR_SEED is {course!r}; expected a whole number such as 0 or 17") from None
    digest = hashlib.sha256(f"{course}/{name}/{int(number)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def stream(name: str, number: int = 0, *, where: torch.device | str = "cpu") -> torch.Generator:
    """A random generator of its own for each purpose, so that adding a figure cannot reshuffle a batch.

    name       : str         what the random numbers are for, such as "batches"
    number     : int         0, 1, 2, … for repeated runs
    where      : device      that the numbers are drawn on
    returns    : torch.Generator, seeded by `seed(name, number)`
    raises     : ValueError  if AETUTOR_SEED is set to something that is no whole number
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    return torch.Generator(device=where).manual_seed(seed(name, number))


@contextlib.contextmanager
def seeded(name: str, number: int = 0) -> Iterator[None]:
    """Inside the `with`, torch's global generators follow a named stream; afterwards they are as before.

    Networks draw their first weights from the global generator: `with runtime.seeded("weights", 3): model = …`.

    name       : str         what the random numbers are for, such as "weights"
    number     : int         0, 1, 2, … for repeated runs
    returns    : context manager
    raises     : ValueError  if AETUTOR_SEED is set to something that is no whole number
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    value = seed(name, number)
    apple = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None  # fork_rng leaves it out
    with torch.random.fork_rng(devices=[torch.cuda.current_device()] if torch.cuda.is_available() else []):
        try:
            torch.manual_seed(value)  # seeds the CPU's generator and the GPU's
            yield
        finally:
            if apple is not None:
                torch.mps.set_rng_state(apple)


# --- Tuning -----------------------------------------------------------------------------------------------------


def cpus() -> int:
    """CPU cores this process may really use: what the machine has, less what a container or scheduler withholds.

    returns    : int         at least 1
    raises     : nothing
    source     : cgroup v2 `cpu.max`, Linux kernel documentation, admin-guide/cgroup-v2
    taught in  : notebooks/00_start_here.ipynb
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = (_first_line("/sys/fs/cgroup/cpu.max").split() + ["", ""])[:2]
    if quota.isdigit() and period.isdigit():  # "max" where there is no limit
        allowed = min(allowed, math.ceil(int(quota) / int(period)))
    return max(1, allowed)


def memory() -> float:
    """Memory this process may use, in bytes: the machine's, less what a container withholds (Binder gives 2 GB).

    returns    : float       bytes
    raises     : nothing
    source     : cgroup v2 `memory.max`, Linux kernel documentation, admin-guide/cgroup-v2
    taught in  : notebooks/00_start_here.ipynb
    """
    import psutil

    limit = _first_line("/sys/fs/cgroup/memory.max")
    total = float(psutil.virtual_memory().total)
    return min(total, float(limit)) if limit.isdigit() else total


@contextlib.contextmanager
def tuned(where: torch.device | str) -> Iterator[Callable[[], None]]:
    """Inside the `with`, torch is set up to train small networks fast; afterwards it is as before.

    where      : device      that the training runs on
    returns    : context manager that gives a function without arguments, to be called at every training step: it
                 keeps torch to the CPU cores that other programs leave free
    raises     : nothing
    source     : Intel 64 and IA-32 SDM vol. 1, 10.2.3 (flush-to-zero); torch.set_float32_matmul_precision
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    # Pixels that are always 0 leave numbers near 1e-40 in Adam's averages; the CPU handles those very slowly.
    # torch cannot be asked for the old setting; its default is off.
    torch.set_flush_denormal(True)
    if torch.device(where).type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32: ten bits of mantissa are plenty for 8-bit pixels
    try:
        yield _Yielding(min(threads, cpus())) if torch.device(where).type == "cpu" else lambda: None
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
        torch.set_float32_matmul_precision(precision)


class _Yielding:
    """Gives up threads while other programs use the cores.

    Threads that share a small job wait for each other in a busy loop, at every layer. If one of them has to wait for
    its core, all stand still: with one other busy program, two threads on two cores are some twenty times slower than
    one (benchmarks/threads.py). So once in a while we look at how many cores the others use.
    """

    every = 0.2  # seconds between looks; a look takes about 0.1 ms

    def __init__(self, most: int):
        self.most = most
        torch.set_num_threads(most)
        self.seen = self._clocks()

    def __call__(self) -> None:
        if self.most == 1 or time.perf_counter() - self.seen[0] < self.every:
            return
        then, (now, busy, own) = self.seen, self._clocks()
        self.seen = (now, busy, own)
        others = ((busy - then[1]) - (own - then[2])) / (now - then[0])  # cores
        threads = max(1, min(self.most, round((os.cpu_count() or 1) - others)))
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    @staticmethod
    def _clocks() -> tuple[float, float, float]:
        import psutil

        machine = psutil.cpu_times()
        # Linux counts the time of virtual machines twice, as guest and as user.
        not_ours = sum(getattr(machine, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
        return time.perf_counter(), sum(machine) - not_ours, time.process_time()


# --- Report -----------------------------------------------------------------------------------------------------

NEEDED = ("torch", "torchvision", "numpy", "matplotlib", "ipywidgets", "scikit-learn", "scikit-image", "safetensors")


@dataclass(frozen=True)
class Report:
    """What `report` found: lines to read, and for each thing that is wrong the command that mends it.

    facts      : dict        name -> text
    problems   : list        (what is wrong, the command that mends it)
    returns    : Report      prints as aligned text; an HTML table in a notebook
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """

    facts: dict[str, str]
    problems: list[tuple[str, str]]

    def __str__(self) -> str:
        width = max(map(len, self.facts))
        lines = [f"{name:<{width}}  {text}" for name, text in self.facts.items()]
        lines += [""] + [f"✘ {wrong}\n    mend it with:  {mend}" for wrong, mend in self.problems]
        if not self.problems:
            lines += ["✔ Everything the course needs is here."]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = [*self.facts.items(), *((f"✘ {wrong}", f"mend it with: {mend}") for wrong, mend in self.problems)]
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in cells
        )
        foot = "" if self.problems else "<p>✔ Everything the course needs is here.</p>"
        return f"<table><tbody>{rows}</tbody></table>{foot}"


def report() -> Report:
    """Versions, device, memory, threads and seed, and what is wrong with them.

    returns    : Report
    raises     : nothing     what is wrong is reported, with the command that mends it
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    facts = {"Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}"}
    problems = []
    for package in NEEDED:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "missing"
            problems.append((f"{package} is not installed", f"{sys.executable} -m pip install {package}"))
    here = device()
    facts["device"] = str(here)
    if here.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        facts["device"] += f": {torch.cuda.get_device_name()}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    facts["CPU cores"] = f"{cpus()}, torch uses {min(torch.get_num_threads(), cpus())} threads"
    facts["memory"] = f"{memory() / 1e9:.1f} GB"
    if memory() < 1.5e9:
        problems.append((f"{memory() / 1e9:.1f} GB of memory; a chapter needs 1.5", "close other programs or kernels"))
    facts["AETUTOR_SEED"] = os.environ.get("AETUTOR_SEED", "not set, so 0")
    try:
        seed("report")
    except ValueError as error:
        problems.append((str(error), "unset AETUTOR_SEED"))
    try:
        import torchvision  # noqa: F401  a torch and a torchvision from two places fail only here
    except Exception as error:
        problems.append(
            (
                f"torchvision does not import ({type(error).__name__}: {error})",
                f"{sys.executable} -m pip install --force-reinstall torch torchvision",
            )
        )
    return Report(facts, problems)


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
