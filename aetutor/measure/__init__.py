"""Scores on images a model was not trained on, the floors to read them against, and the quality of new images."""

from aetutor.measure.baselines import floors, mean_image, pca, pca_errors
from aetutor.measure.judge import Judge
from aetutor.measure.likelihood import log_likelihood
from aetutor.measure.quality import psnr, sharpness, ssim
from aetutor.measure.samples import Neighbours, PrecisionRecall, frechet, nearest, precision_recall
from aetutor.measure.scores import codes, errors, reconstruction_error

__all__ = [
    "Judge",
    "Neighbours",
    "PrecisionRecall",
    "codes",
    "errors",
    "floors",
    "frechet",
    "log_likelihood",
    "mean_image",
    "nearest",
    "pca",
    "pca_errors",
    "precision_recall",
    "psnr",
    "reconstruction_error",
    "sharpness",
    "ssim",
]
