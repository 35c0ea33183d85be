"""Densities as pure functions of arrays: sample, log_prob, kl, entropy; in nats."""

from ae_jax.probability import bernoulli, gaussian

__all__ = ["bernoulli", "gaussian"]
