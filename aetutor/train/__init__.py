"""`fit`, the one training loop of the course, and the `History` it returns."""

from aetutor.train.history import History, Row
from aetutor.train.loop import TrainingDiverged, fit, reconstruct

__all__ = ["History", "Row", "TrainingDiverged", "fit", "reconstruct"]
