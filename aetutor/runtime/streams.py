"""Random numbers by name: each purpose has a stream of its own, and AETUTOR_SEED changes all of them."""

import contextlib
import hashlib
import os
from collections.abc import Iterator

import torch


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
