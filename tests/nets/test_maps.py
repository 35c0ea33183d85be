"""Networks from images to maps of latents, and back."""

import jax
import jax.numpy as jnp
import numpy as np
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
    kernels = {own["kernel"].shape for own in params.values()}
    assert kernels == {(4, 4, 3, 4), (4, 4, 4, 6), (3, 3, 6, 6), (1, 1, 6, 6), (1, 1, 6, 5)}


def test_patches_are_squares_of_the_image_and_laid_out_again():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3))
    cut = np.asarray(nets.patch_encoder(2).apply({}, x))
    assert cut.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(cut[1, 1, 2].reshape(2, 2, 3), x[1, 2:, 4:])
    np.testing.assert_array_equal(nets.patch_decoder(2).apply({}, cut), x)


def test_refuses():
    with pytest.raises(InputError, match=r"are halved 1 times, .* cannot be: use fewer widths"):
        nets.map_encoder(2, (4,)).init(jax.random.key(0), jnp.zeros((1, 4, 3, 1)))
    with pytest.raises(InputError, match="squares of 2 pixels a side are cut from images"):
        nets.patch_encoder(2).apply({}, np.zeros((1, 4, 3, 1)))
    with pytest.raises(InputError, match=r"are \[B, h, w, 4 C\], and not \[1, 2, 2, 3\]"):
        nets.patch_decoder(2).apply({}, np.zeros((1, 2, 2, 3)))
    with pytest.raises(InputError, match="by one strided convolution or more"):
        nets.map_encoder(2, ())
    with pytest.raises(InputError, match=r"widths\[1\] is 0"):
        nets.map_decoder(1, (4, 0))
    with pytest.raises(InputError, match="blocks is -1: use a whole number, 0 or more"):
        nets.map_encoder(2, (4,), -1)
