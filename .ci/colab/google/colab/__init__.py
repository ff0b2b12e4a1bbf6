"""Stands in for Colab's own module where `make test-colab` runs notebooks; what a notebook may ask of it is here."""

from google.colab import output

__all__ = ["output"]
