"""`fit`, the one training loop of the course, the `History` it returns, and `fit_many` for many models at once.

`loop` is the place to start reading; each other file holds one part of it.
"""

from aetutor.train.checkpoint import CheckpointError
from aetutor.train.history import History, Row
from aetutor.train.loop import fit
from aetutor.train.many import fit_many
from aetutor.train.objective import reconstruct
from aetutor.train.run import TrainingDiverged

__all__ = ["CheckpointError", "History", "Row", "TrainingDiverged", "fit", "fit_many", "reconstruct"]
