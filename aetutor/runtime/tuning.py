"""torch set up to train small networks fast, and to leave other programs their cores."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator

import torch

from aetutor.runtime.machine import cpus, trim


@contextlib.contextmanager
def tuned(where: torch.device | str, *, share: bool = True) -> Iterator[Callable[[], None]]:
    """Inside the `with`, torch is set up to train small networks fast; afterwards it is as before, and memory trimmed.

    where      : device      that the training runs on
    share      : bool        leave other programs their cores; False: always the same number of threads, since sums that
                             are split in another way differ in their last bits
    returns    : context manager that gives a function without arguments, to be called at every training step: it
                 keeps torch to the CPU cores that other programs leave free
    raises     : nothing
    source     : Intel 64 and IA-32 SDM vol. 1, 10.2.3 (flush-to-zero); torch.set_float32_matmul_precision
    taught in  : notebooks/02_dense_autoencoder.ipynb
    """
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    cuda = torch.device(where).type == "cuda"
    # Pixels that are always 0 leave numbers near 1e-40 in Adam's averages; the CPU handles those very slowly.
    # torch cannot be asked for the old setting; its default is off.
    torch.set_flush_denormal(True)
    if cuda:
        torch.set_float32_matmul_precision("high")  # TF32: ten bits of mantissa are plenty for 8-bit pixels
    # Of several GPUs, the one meant becomes the current one, which torch's random numbers and streams refer to.
    current = torch.cuda.device(where) if cuda and torch.cuda.is_available() else contextlib.nullcontext()
    try:
        torch.set_num_threads(min(threads, cpus()))
        with current:
            yield _Yielding() if share and torch.device(where).type == "cpu" else lambda: None
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
        torch.set_float32_matmul_precision(precision)
        trim()


class _Yielding:
    """Finds how many threads serve a training best, and gives up threads while other programs use the cores.

    Threads that share a small job wait for each other in a busy loop, at every layer. If one of them has to wait for
    its core, all stand still, and beside another training an epoch takes several times as long (benchmarks/threads.py
    measures it). So once in a while we look at how many cores the others use. And for a small network the waiting may
    cost more than the sharing saves, already with two threads: so at the start, half as many get a try, and half of
    those, as long as that makes for clearly more steps a second.
    """

    every, on_trial = 0.2, 0.1  # seconds between looks; a look takes about 0.1 ms

    def __init__(self):
        self.most = torch.get_num_threads()
        self.trial = self._trial()
        self.asked = next(self.trial) if self.most > 1 else None  # threads that are on trial
        self.steps, self.seen = 0, self._clocks()

    def __call__(self) -> None:
        self.steps += 1
        if self.most == 1 or time.perf_counter() - self.seen[0] < (self.on_trial if self.asked else self.every):
            return
        then, (now, busy, own) = self.seen, self._clocks()
        rate, self.seen, self.steps = self.steps / (now - then[0]), (now, busy, own), 0  # steps a second
        others = ((busy - then[1]) - (own - then[2])) / (now - then[0])  # cores
        free = max(1, round((os.cpu_count() or 1) - others))
        if self.asked and free >= self.most and torch.get_num_threads() == self.asked:
            self.asked = self.trial.send(rate)  # where others use the cores, it would be no fair trial
        threads = min(free, self.asked or self.most)
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    def _trial(self) -> Iterator[int | None]:
        """Asks for a number of threads, is sent the steps a second that they made, and ends with None."""
        yield self.most  # a warm-up
        best = yield self.most
        while self.most > 1 and (rate := (yield self.most // 2)) > 1.05 * best:
            self.most, best = self.most // 2, rate
        yield None

    @staticmethod
    def _clocks() -> tuple[float, float, float]:
        import psutil

        machine = psutil.cpu_times()
        # Linux counts the time of virtual machines twice, as guest and as user.
        not_ours = sum(getattr(machine, name, 0.0) for name in ("idle", "iowait", "guest", "guest_nice"))
        return time.perf_counter(), sum(machine) - not_ours, time.process_time()
