import jax
import numpy as np

from ae_jax.methods.boltzmann.visible import visible_units


def test_visible_units_are_the_images_or_are_drawn_by_them():
    image = np.array([[[0.0, 1.0]], [[0.25, 0.25]]], np.float32) + np.zeros((2, 200, 2), np.float32)
    draw = jax.jit(visible_units, static_argnums=2)
    v, key = draw(jax.random.key(0), {"image": image}, False)
    np.testing.assert_array_equal(v, image.reshape(2, -1))
    assert key == jax.random.key(0)
    v, key = draw(jax.random.key(0), {"image": image}, True)
    v = np.asarray(v)
    assert key != jax.random.key(0)
    np.testing.assert_array_equal(v[0], image[0].ravel())
    assert set(np.unique(v)) == {0, 1}
    np.testing.assert_allclose(np.mean(v[1]), 0.25, atol=0.05)
    again, _ = draw(key, {"image": image}, True)
    assert np.any(np.asarray(again) != v)
