"""Densities as pure functions of arrays: sample, log_prob, kl, entropy; in nats.

Of parameters in half precision, nats are computed and returned in float32.
"""

from ae_jax.probability import bernoulli, gaussian, priors, sampling

__all__ = ["bernoulli", "gaussian", "priors", "sampling"]
