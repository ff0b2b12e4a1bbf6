"""Checkers for the assignments: they answer with a hint, never with the solution."""

from .answers import Wrong
from .bounds import check_divergence, check_draws, check_elbo, check_weighted_bound
from .budget import check_deliver, check_pca_numbers_needed
from .decoders import check_autoencoder, check_footprint
from .denoisers import check_camera_settings, check_trained_denoiser, check_unbiased_risk
from .descent import check_descend, check_largest_step, check_uncorrelated
from .evidence import check_name_fault
from .faults import check_aligned, check_leaks
from .features import check_frechet, check_matrix_root, check_precision_recall
from .gradient import check_numeric_gradient, check_tied_gradient, check_tied_loss
from .intervals import check_interval
from .noise import check_clipped_noise_level, check_kind_of_noise, check_noise_level, check_psnr_of_set
from .posterior import check_charge, check_diagnosis, check_mended, check_told
from .saddles import check_way_out
from .samplers import check_share_nearer, check_shifted_distance, check_verdict
from .sizes import check_cost, check_even_layer, check_output_paddings, check_sizes, check_writes
from .steps import check_idle, check_train_step

# Each file holds the checks of one assignment; the chapters' numbers are in their docstrings.

__all__ = [
    "Wrong",
    "check_aligned",
    "check_autoencoder",
    "check_camera_settings",
    "check_charge",
    "check_clipped_noise_level",
    "check_cost",
    "check_deliver",
    "check_descend",
    "check_diagnosis",
    "check_divergence",
    "check_draws",
    "check_elbo",
    "check_even_layer",
    "check_footprint",
    "check_frechet",
    "check_idle",
    "check_interval",
    "check_kind_of_noise",
    "check_largest_step",
    "check_leaks",
    "check_matrix_root",
    "check_mended",
    "check_name_fault",
    "check_noise_level",
    "check_numeric_gradient",
    "check_output_paddings",
    "check_pca_numbers_needed",
    "check_precision_recall",
    "check_psnr_of_set",
    "check_share_nearer",
    "check_shifted_distance",
    "check_sizes",
    "check_tied_gradient",
    "check_tied_loss",
    "check_told",
    "check_train_step",
    "check_trained_denoiser",
    "check_unbiased_risk",
    "check_uncorrelated",
    "check_verdict",
    "check_way_out",
    "check_weighted_bound",
    "check_writes",
]
