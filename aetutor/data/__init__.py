"""Images as uint8 tensors: the MNIST that ships with the course, three sets to download, and a reader's own."""

from aetutor.data.images import DataError, ImageSet, from_arrays
from aetutor.data.places import NAMES, load, where

__all__ = ["NAMES", "DataError", "ImageSet", "from_arrays", "load", "where"]
