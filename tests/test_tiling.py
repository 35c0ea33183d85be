import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_jax import nets, tiling
from ae_jax.core import InputError

RANDOM = np.random.default_rng(0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 20), st.data())
def test_pieces_cover_a_length_to_its_end(size, more, data):
    stride = data.draw(st.integers(1, size))
    first = tiling.starts(size + more, size, stride)
    assert (first[0], first[-1]) == (0, more)
    assert (np.diff(first) > 0).all()
    assert (np.diff(first) <= stride).all()
    assert (np.diff(first)[:-1] == stride).all()


@pytest.mark.parametrize("stride", [1, 2, 5])
def test_untouched_patches_average_to_the_image(stride):
    image = RANDOM.random((13, 11, 3), np.float32)
    same = tiling.in_patches(lambda x: x, image, 5, stride)
    np.testing.assert_allclose(same, image, rtol=1e-6)


def test_each_pixel_is_the_mean_over_its_patches():
    """A patch comes back filled with its own mean, beside its sum."""
    image = RANDOM.random((7, 6, 1))

    def filled(patches):
        mean = jnp.mean(patches, axis=(1, 2), keepdims=True)
        return jnp.broadcast_to(jnp.concatenate([mean, 16 * mean], axis=-1), (len(mean), 4, 4, 2))

    found = tiling.in_patches(filled, image, 4, 2)
    for pixel in np.ndindex(7, 6):
        means = [
            image[row : row + 4, column : column + 4].mean()
            for row in (0, 2, 3)
            for column in (0, 2)
            if row <= pixel[0] < row + 4 and column <= pixel[1] < column + 4
        ]
        np.testing.assert_allclose(found[pixel], np.mean(means) * np.array([1, 16]), rtol=1e-5)


@pytest.mark.parametrize("shape", [(17, 30), (8, 8), (5, 3), (40, 23)])
def test_tiles_of_a_convolution_are_without_seams(shape):
    """Two convolutions, of a radius of 2; the image ends are zeros to them, as to the whole."""
    network = nets.chain(*(nets.flax_network(nets.Conv(size, (3, 3))) for size in (4, 2)))
    image = RANDOM.random((*shape, 1), np.float32)
    params = network.init(jax.random.key(0), image[None])

    def restore(x):
        return network.apply(params, x)

    whole = np.asarray(restore(image[None]))[0]
    tiled = tiling.in_tiles(restore, image, 7, 2)
    np.testing.assert_allclose(tiled, whole, rtol=1e-5, atol=1e-6)
    if max(shape) > 11:  # a narrower margin is seen
        narrow = tiling.in_tiles(restore, image, 7, 1)
        assert np.abs(narrow - whole).max() > 1e-3


def test_a_u_net_sees_tiles_that_lie_on_its_own_grid():
    network = nets.unet(1, (2, 3), dropout=0.0)
    image = RANDOM.random((50, 35, 1), np.float32)
    mirrored = np.pad(image, ((0, 2), (0, 1), (0, 0)), mode="symmetric")
    params = network.init(jax.random.key(0), mirrored[None])

    def restore(x):
        return network.apply(params, x)

    whole = np.asarray(restore(mirrored[None]))[0, :50, :35]
    tiled = tiling.in_tiles(restore, image, 14, 9, multiple=4)
    np.testing.assert_allclose(tiled, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tiling.in_patches(lambda y: y, x, 9, 1), "smaller than a patch of 9"),
        (lambda x: tiling.in_patches(lambda y: y, x, 4, 5), "leaves gaps"),
        (lambda x: tiling.in_patches(lambda y: y, x, 4, 0), "leaves gaps"),
        (lambda x: tiling.in_patches(lambda y: y, x[..., 0], 4, 2), "axis of channels"),
        (lambda x: tiling.in_tiles(lambda y: y, (255 * x).astype(np.uint8), 4, 2), r"\[0, 1\]"),
        (lambda x: tiling.in_tiles(lambda y: y, x, 0, 2), "tile is 0: use"),
    ],
)
def test_what_cannot_be_cut_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(RANDOM.random((8, 8, 1)))


@pytest.mark.parametrize("apart", [tiling.in_patches, tiling.in_tiles])
def test_pieces_of_another_size_are_refused(apart):
    """What had no place was made of memory that nobody wrote."""
    image = np.ones((5, 7, 1), np.float32)
    for restore in (lambda x: x[:, ::2, ::2], lambda x: x[..., 0], lambda x: x[0]):
        with pytest.raises(InputError, match="restore to their size"):
            apart(restore, image, 4, 2)
    with pytest.raises(InputError, match=r"is 2\.5: use a whole number"):
        apart(lambda x: x, image, 2.5, 2)
