import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.methods import bottlenecks, parts, penalties


def test_hyperparameters_are_joined_and_never_shared():
    joined = parts.joined({"rate": 1.0}, penalties.l1(2.0), bottlenecks.noise(3.0))
    assert joined == {"rate": 1.0, "l1_weight": 2.0, "latent_noise": 3.0}
    for own, second in (({"l1_weight": 1.0}, penalties.l1()), ({}, penalties.l1())):
        with pytest.raises(InputError, match="two parts share the hyperparameter l1_weight"):
            parts.joined(own, penalties.l1(), second)


def test_classified_by_hand(x64):
    logits = jnp.log(jnp.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]))
    for dtype in (jnp.int32, jnp.uint8):
        nll, wrong = parts.classified(logits, jnp.array([1, 2], dtype))
        np.testing.assert_allclose(nll, [-np.log(0.5), -np.log(0.1)], rtol=1e-12)
        np.testing.assert_array_equal(wrong, [0, 1])
        assert wrong.dtype == logits.dtype
    nll, _ = parts.classified(logits, jnp.array([-1, 3]))
    assert np.isnan(nll).all()


def test_visible_units_are_the_images_or_are_drawn_by_them():
    image = jnp.array([[[0.0, 1.0]], [[0.25, 0.25]]]) + jnp.zeros((2, 200, 2))
    v, key = parts.visible_units(jax.random.key(0), {"image": image}, False)
    np.testing.assert_array_equal(v, image.reshape(2, -1))
    assert key == jax.random.key(0)
    v, key = parts.visible_units(jax.random.key(0), {"image": image}, True)
    assert key != jax.random.key(0)
    np.testing.assert_array_equal(v[0], image[0].ravel())
    assert set(np.unique(v)) == {0, 1}
    np.testing.assert_allclose(np.mean(v[1]), 0.25, atol=0.05)
    again, _ = parts.visible_units(key, {"image": image}, True)
    assert np.any(again != v)


def test_what_is_started_from_must_fit():
    params = {"encoder": {"w": jnp.ones((2, 3))}, "decoder": {"w": jnp.ones(3)}}
    assert parts.started(params, None) == params
    given = {"encoder": {"w": jnp.zeros((2, 3))}}
    assert parts.started(params, given) == {**params, **given}
    for wrong in ({"encoder": {"w": jnp.ones((3, 2))}}, {"encoder": {"v": jnp.ones(1)}}, {"x": 1}):
        with pytest.raises(InputError, match=f"do not fit the {next(iter(wrong))}"):
            parts.started(params, wrong)
