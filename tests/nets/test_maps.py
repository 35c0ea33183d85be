"""Networks from images to maps of latents, and back."""

import jax
import jax.numpy as jnp
import pytest

from ae_jax import nets
from ae_jax.core import InputError


def test_maps_are_halved_by_each_width_and_doubled_again():
    x = jax.ShapeDtypeStruct((2, 12, 8, 3), jnp.float32)
    encoder, decoder = nets.map_encoder(5, (4, 6), 1), nets.map_decoder(3, (6, 4), 1)

    def both(x):
        params = encoder.init(jax.random.key(0), x)
        latent = encoder.apply(params, x)
        return params, latent, decoder.apply(decoder.init(jax.random.key(1), latent), latent)

    params, latent, made = jax.eval_shape(both, x)
    assert latent.shape == (2, 3, 2, 5)
    assert made.shape == x.shape
    # two strided, two of a block, one 1x1
    kernels = [own["kernel"].shape for own in params.values()]
    assert kernels == [(4, 4, 3, 4), (4, 4, 4, 6), (3, 3, 6, 6), (1, 1, 6, 6), (1, 1, 6, 5)]


def test_refuses():
    with pytest.raises(InputError, match="by one strided convolution or more"):
        nets.map_encoder(2, ())
    with pytest.raises(InputError, match=r"widths\[1\] is 0"):
        nets.map_decoder(1, (4, 0))
    with pytest.raises(InputError, match="blocks is -1: use a whole number, 0 or more"):
        nets.map_encoder(2, (4,), -1)
