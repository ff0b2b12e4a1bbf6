"""The learning rate, step by step."""

import math


def warmup_cosine(steps: int, lr: float) -> list[float]:
    # Up over the first tenth of the steps, since Adam's averages mean little at first; then down half a cosine to zero.
    warm = max(1, steps // 10)
    rise = [lr * (step + 1) / warm for step in range(warm)]
    return rise + [lr * 0.5 * (1 + math.cos(math.pi * step / (steps - warm))) for step in range(steps - warm)]
