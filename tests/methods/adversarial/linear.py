"""Networks that can be written out, and what NumPy says of the logistic losses."""

import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from ae_jax.core import Network


def linear(weights):
    """x @ weights, [in, out]."""
    weights = jnp.asarray(weights)
    return Network(lambda key, x: {"w": weights}, lambda params, x: x @ params["w"])


def identity():
    return Network(lambda key, x: {}, lambda params, x: x)


def weights_of(state):
    return {name: np.asarray(p["w"]) for name, p in state.params.items() if p}


def softplus(x):
    return np.logaddexp(0, x)


def slope(logit):
    """The derivative of softplus(logit); that of softplus(-logit) is slope(logit) - 1."""
    return expit(logit)
