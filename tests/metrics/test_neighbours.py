import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.metrics import nearest_neighbours


def test_by_hand():
    latents = jnp.array([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0], [-1.0, 0.0], [0.0, 0.0]])
    places, similarity = nearest_neighbours(jnp.array([[5.0, 0.0], [0.0, 0.1]]), latents, 3)
    np.testing.assert_array_equal(places[:, :2], [[0, 1], [2, 1]])
    np.testing.assert_allclose(similarity, [[1, 0.5**0.5, 0]] * 2, atol=1e-6)


def test_it_knows_directions_only_and_agrees_with_scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    latents = np.asarray(jax.random.normal(jax.random.key(0), (50, 4)))
    scales = jnp.linspace(0.1, 9, 50)[:, None]
    places, similarity = nearest_neighbours(jnp.asarray(latents[:7]), latents * scales, 5)
    distance, expected = NearestNeighbors(metric="cosine").fit(latents).kneighbors(latents[:7])
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_allclose(similarity, 1 - distance, atol=1e-5)


def test_lengths_beyond_what_can_be_squared_do_not_matter():
    # squares of 1e-30 are 0 in float32, and those of 1e30 infinite
    latents = np.array([[1e-30, 0], [0, 1e30], [-1, 1], [0, 0]], np.float32)
    places, similarity = nearest_neighbours(latents, latents, 2)
    np.testing.assert_array_equal(places[:3, 0], [0, 1, 2])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(similarity[:3], [[1, 0], [1, half], [1, half]], atol=1e-6)
    np.testing.assert_array_equal(similarity[3], 0)


def test_similarities_are_cosines_of_any_dtype():
    latents = np.random.default_rng(0).integers(1, 9, (200, 3))
    for kind in (np.uint8, jnp.bfloat16):
        _, similarity = nearest_neighbours(latents.astype(kind), latents.astype(kind), 1)
        assert similarity.dtype == jnp.float32
        assert np.max(similarity) <= 1
        np.testing.assert_allclose(similarity, 1, rtol=1e-6)


def test_refuses_more_neighbours_than_there_are():
    with pytest.raises(InputError, match="count must be from 1 to 3"):
        nearest_neighbours(jnp.ones((1, 2)), jnp.ones((3, 2)), 4)
    with pytest.raises(InputError, match="count must be from 1 to 3"):
        nearest_neighbours(jnp.ones((1, 2)), jnp.ones((3, 2)), 0)
    assert nearest_neighbours(jnp.ones((1, 2)), jnp.ones((3, 2)), 3)[0].shape == (1, 3)
