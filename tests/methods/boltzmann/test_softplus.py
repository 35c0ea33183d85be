import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.methods.boltzmann.softplus import softplus

pytestmark = pytest.mark.usefixtures("x64")


def test_softplus_and_its_slope():
    x = jnp.asarray([-800.0, -20.0, -1.0, 0.0, 1e-3, 3.0, 40.0, 800.0])
    np.testing.assert_allclose(softplus(x), np.logaddexp(np.asarray(x), 0), rtol=1e-14)
    slope = jax.vmap(jax.grad(softplus))(x)
    np.testing.assert_allclose(slope, jax.nn.sigmoid(x), rtol=1e-14)
