"""Images as uint8 tensors: the MNIST that ships with the course, sets to download, and a reader's own, also on disk."""

from aetutor.data.disk import Files
from aetutor.data.folders import FolderSet, folder
from aetutor.data.images import DataError, ImageSet, from_arrays
from aetutor.data.letters import printed
from aetutor.data.places import NAMES, load, where

__all__ = ["NAMES", "DataError", "Files", "FolderSet", "ImageSet", "folder", "from_arrays", "load", "printed", "where"]
