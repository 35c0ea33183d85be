import jax.numpy as jnp
import numpy as np

from ae_jax.losses.classification import classified


def test_classified_by_hand(x64):
    logits = jnp.log(jnp.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]))
    for dtype in (jnp.int32, jnp.uint8):
        nll, wrong = classified(logits, jnp.array([1, 2], dtype))
        np.testing.assert_allclose(nll, [-np.log(0.5), -np.log(0.1)], rtol=1e-12)
        np.testing.assert_array_equal(wrong, [0, 1])
        assert wrong.dtype == logits.dtype
    nll, _ = classified(logits, jnp.array([-1, 3]))
    assert np.isnan(nll).all()
