"""The networks that a lesson has taught, as plain modules with `.encode` and `.decode`."""

from aetutor.models.autoencoders import Autoencoder, ConvAutoencoder, DenseAutoencoder, parameters

__all__ = ["Autoencoder", "ConvAutoencoder", "DenseAutoencoder", "parameters"]
