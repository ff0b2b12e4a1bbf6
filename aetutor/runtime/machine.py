"""What this machine has: its device, the cores and the memory that a program may use, and pixels brought there."""

import ctypes
import math
import os
from functools import cache
from pathlib import Path

import torch
from torch import Tensor


def device(name: torch.device | str | None = None) -> torch.device:
    """The device of a name or, without one, the fastest that works here: CUDA, else Apple's MPS, else the CPU.

    name       : device      such as "cuda"; None: the fastest
    returns    : torch.device
    raises     : ValueError  if there is no such device here
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    if name is not None:
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError, TypeError) as error:  # torch has one for each way of being wrong
            there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
            here = ", ".join(device for device, works in there.items() if works)
            raise ValueError(f"there is no device {name!r} here; there is: {here}") from error
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def precision(where: torch.device | str, *, parameters: int) -> torch.dtype:
    """The type in which a network's large products are best computed in training; its weights stay float32.

    bfloat16 has float32's range with 8 bits of mantissa, which the noise of training hides. It pays where the processor
    multiplies it natively, and where the network is large enough to earn back the conversion of its weights at every
    step; benchmarks/precision.py measures where.

    where      : device      that the training runs on
    parameters : int         numbers that training adjusts
    returns    : torch.float32 or torch.bfloat16
    raises     : nothing
    source     : Kalamkar et al. 2019, arXiv:1905.12322
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    kind = torch.device(where).type
    if kind == "cuda":
        low = parameters >= 4_000_000 and torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        low = kind == "cpu" and parameters >= 200_000 and _cpu_multiplies_bfloat16()
    return torch.bfloat16 if low else torch.float32


def budget(*, cpu, gpu):
    """The first value on a CPU, the second on a GPU: the same cells, better models where there is time for them.

    cpu, gpu   : anything    typically a number of epochs or a width
    returns    : cpu or gpu, as given
    raises     : nothing
    source     : this course
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    return cpu if device().type == "cpu" else gpu


def trim() -> None:
    """Hands memory that is free again back to the system, where the system's allocator would keep it.

    On Linux, tensors of some megabytes that come and go leave holes in the heap: after several trainings a process may
    hold hundreds of megabytes that nothing uses, and Binder stops a kernel at 2 GB. Elsewhere nothing is done.

    returns    : None
    raises     : nothing
    source     : malloc_trim(3), the GNU C library
    taught in  : notebooks/03_convolutional_autoencoder.ipynb
    """
    if (give_back := getattr(_c_library(), "malloc_trim", None)) is not None:
        give_back(0)


@cache
def _c_library():
    try:
        return ctypes.CDLL("libc.so.6")  # of glibc; another system, or musl, has none of this name
    except OSError:
        return None


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


# --- Parts ------------------------------------------------------------------------------------------------------


@cache
def _cpu_multiplies_bfloat16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
