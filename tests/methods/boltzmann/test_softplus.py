import jax
import numpy as np
import pytest

from ae_jax.methods.boltzmann.softplus import softplus

pytestmark = pytest.mark.usefixtures("x64")


def test_softplus_and_its_slope():
    x = np.array([-800.0, -20.0, -1.0, 0.0, 1e-3, 3.0, 40.0, 800.0])
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(softplus)))(x)
    np.testing.assert_allclose(value, np.logaddexp(x, 0), rtol=1e-14)
    np.testing.assert_allclose(slope, np.exp(-np.logaddexp(0, -x)), rtol=1e-14)
