"""Evaluation of what was learned: pure functions of arrays that can be jitted and vmapped."""

from ae_jax.metrics.disentanglement import mig, mutual_information
from ae_jax.metrics.summary import active_units, latent_summary

__all__ = ["active_units", "latent_summary", "mig", "mutual_information"]
