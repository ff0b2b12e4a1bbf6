"""Helpers of the autoencoder course: one module, one noun. Importing this does no work and prints nothing.

Modules are imported by name, `from aetutor import data, models, train`; nothing is re-exported here.
"""

__version__ = "0.1.0"
