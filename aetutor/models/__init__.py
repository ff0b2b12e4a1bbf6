"""The networks that a lesson has taught, as plain modules with `.encode` and `.decode`."""

from aetutor.models.adversarial import Adversarial, Discriminator, Generator
from aetutor.models.autoencoders import Autoencoder, ConvAutoencoder, DenseAutoencoder, parameters
from aetutor.models.denoiser import Denoiser
from aetutor.models.layers import conv_size, reach, transposed_size
from aetutor.models.variational import VariationalAutoencoder

__all__ = [
    "Adversarial",
    "Autoencoder",
    "ConvAutoencoder",
    "Denoiser",
    "DenseAutoencoder",
    "Discriminator",
    "Generator",
    "VariationalAutoencoder",
    "conv_size",
    "parameters",
    "reach",
    "transposed_size",
]
