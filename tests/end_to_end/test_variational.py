"""What the scripts about variational autoencoders compute of their own."""

import dataclasses
import importlib.util
import math
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest


def script(name):
    path = Path(__file__).parents[2] / "experiments" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("ramp_steps", "last"), [(100, 1.0), (0, 1.0), (400, 0.5)])
def test_dashed_lines_rise_from_0_and_stay(ramp_steps, last):
    capacity = script("capacity")
    options = {"capacity": (3.0, 1.0), "ramp_steps": ramp_steps, "steps": 200}
    steps, nats = capacity.ramps(dataclasses.replace(capacity.Config(), **options))
    (gap,) = np.flatnonzero(np.isnan(nats))
    for part, end in ((slice(gap), 1.0), (slice(gap + 1, None), 3.0)):
        assert steps[part][0] == 0
        assert steps[part][-1] == 200
        risen = np.minimum(steps[part] / ramp_steps, 1) if ramp_steps else 1.0
        np.testing.assert_allclose(nats[part], end * risen, rtol=1e-6)
        assert nats[part][-1] == pytest.approx(end * last)


def test_an_objective_is_measured_by_as_many_draws_as_it_takes():
    raised = script("importance_weighted").raised
    weights = np.log([[1.0, 5.0], [3.0, 1.0], [2.0, 2.0], [8.0, 4.0], [7.0, 7.0]])
    elbo = np.mean(weights)
    for objective, samples in (("elbo", 1), ("elbo", 2), ("stl", 2), ("iwae", 1), ("dreg", 1)):
        found = raised(objective, samples, jnp.asarray(weights, jnp.float32))
        assert found == pytest.approx(elbo, rel=1e-5)
    # means of two are 2, 5 and 3, 3; the fifth draw has no other
    two = np.mean(np.log([2.0, 5.0, 3.0, 3.0]))
    for objective in ("iwae", "dreg"):
        found = raised(objective, 2, jnp.asarray(weights, jnp.float32))
        assert found == pytest.approx(two, rel=1e-5)
    every = np.mean(np.log(np.mean(np.exp(weights), axis=0)))
    assert min(abs(two - elbo), every - two) > 0.01  # neither would do
    assert math.isclose(raised("iwae", 5, jnp.asarray(weights, jnp.float32)), every, rel_tol=1e-5)
