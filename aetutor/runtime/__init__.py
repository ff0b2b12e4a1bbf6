"""The machine a lesson runs on: device, precision, CPU tuning, named random streams, and a report on all of it."""

from aetutor.runtime.environment import Report, report, start
from aetutor.runtime.machine import budget, cpus, device, memory, precision, to_unit, trim
from aetutor.runtime.streams import seed, seeded, stream
from aetutor.runtime.tuning import tuned

__all__ = [
    "Report",
    "budget",
    "cpus",
    "device",
    "memory",
    "precision",
    "report",
    "seed",
    "seeded",
    "start",
    "stream",
    "to_unit",
    "trim",
    "tuned",
]
