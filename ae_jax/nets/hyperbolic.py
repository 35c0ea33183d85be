"""Layers that see points of the Poincare ball, and know how far apart they are there."""

import jax.numpy as jnp
from flax import linen as nn

from ae_jax.core import COUNT, NOT_NEGATIVE, Array, Network, require
from ae_jax.nets.activations import activation as activation_named
from ae_jax.nets.layers import LECUN_NORMAL
from ae_jax.nets.mlp import flax_network
from ae_jax.probability import poincare


class Gyroplanes(nn.Module):
    """See `gyroplanes`.

    Parameters `kernel` [Z, features], directions, and `place` [Z, features], zeros: where each
    plane is seen from the origin.
    """

    features: int
    curvature: float
    activation: str

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, Z] to [B, features]."""
        shape, dtype, c = (x.shape[-1], self.features), jnp.result_type(float), self.curvature
        kernel = self.param("kernel", LECUN_NORMAL, shape, dtype).T[None]
        place = self.param("place", nn.initializers.zeros_init(), shape, dtype).T[None]
        point = poincare.reached(jnp.zeros_like(place), place, c)
        away = poincare.from_plane(x[:, None], point, kernel, c)
        return activation_named(self.activation)(away)


def gyroplanes(features: int, curvature: float = 1.0, activation: str = "relu") -> Network:
    """How far points of the Poincare ball are from planes of geodesics: a decoder's first layer.

    A feature is the signed distance from a plane through a point, times the length of the vector
    that the plane is orthogonal to there: what x.a - b is in R^Z, and with curvature 0 of 2 x.

    Args:
      features: how many planes.
      curvature: c, that of the posterior; the ball's is -c.
      activation: of the features, by name.

    Returns:
      A Network from [B, Z] to [B, features].

    Raises:
      InputError: an unknown activation, no feature, or a curvature below 0.

    Reference:
      Ganea, Becigneul and Hofmann (2018), Hyperbolic Neural Networks, theorem 5; Mathieu et al.
      (2019), Continuous Hierarchical Representations with Poincare Variational Auto-Encoders,
      section 3.3.
    """
    require(COUNT, features=features)
    require(NOT_NEGATIVE, curvature=curvature)
    activation_named(activation)
    return flax_network(Gyroplanes(features, curvature, activation))
