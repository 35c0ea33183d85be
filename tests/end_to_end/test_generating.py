"""What the scripts about generating know of what they compare with."""

import jax
import numpy as np
import pytest

from ae_jax.data.sources import densities
from tests.loading import script


@pytest.mark.parametrize(("dataset", "least"), [("ring", 25), ("grid", 8)])
def test_a_mode_is_found_with_enough_samples(dataset, least):
    gan = script("gan")
    centres = densities.density(dataset).centres
    counts = np.zeros(len(centres), int)
    counts[:2] = least - 1, least
    counts[2] = gan.SAMPLES - counts.sum()
    samples = np.repeat(centres, counts, axis=0).astype(np.float32)
    found = gan.coverage(gan.Config(dataset=dataset), samples)
    assert found["modes"] == 2
    assert found["high_quality"] == 1
    # none is near enough to a centre
    found = gan.coverage(gan.Config(dataset=dataset), samples + 0.35)
    assert found["modes"] == found["high_quality"] == 0
    assert gan.coverage(gan.Config(dataset="two_moons"), samples) == {}


def test_samplers_are_of_the_laws_that_they_are_compared_with():
    sampling = script("sampling")
    for name, known in sampling.all_samplers().items():
        x, density = known.x, np.asarray(known.density)
        if hasattr(known.law, "pmf"):
            np.testing.assert_allclose(density, np.diff(known.law.cdf(np.append(-1, x))), rtol=1e-6)
        else:
            mass = np.sum((density[1:] + density[:-1]) / 2 * np.diff(x))
            expected = known.law.cdf(x[-1]) - known.law.cdf(x[0])
            np.testing.assert_allclose(mass, expected, atol=5e-3, err_msg=name)
    grid = np.linspace(0, 9, 20_001)[1:-1]
    for envelope, acceptance, law in list(sampling.REJECTIONS.values())[:2]:
        x = grid if law.cdf(2) < 1 else grid / 9
        np.testing.assert_allclose(np.exp(envelope.target(x)), law.pdf(x), rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(np.exp(-envelope.log_bound), acceptance, rtol=1e-6)
        excess = envelope.target(x) - envelope.proposal(x) - envelope.log_bound
        np.testing.assert_allclose(np.max(excess), 0, atol=1e-6)


def test_wider_proposals_are_accepted_as_often_as_their_volume_says():
    sampling = script("sampling")
    config = sampling.Config(samples=2000, width=(1.0, 1.3), dimensions=3, seeds=2)
    keys = jax.vmap(jax.random.key)(np.arange(2))
    with jax.numpy_rank_promotion("allow"):
        rates = sampling.falling(config, keys)
    np.testing.assert_array_equal(rates[0], 1)  # the proposal is the target
    expected = 1.3 ** -np.arange(1.0, 4)
    error = np.sqrt(expected * (1 - expected) / 2000)
    assert np.all(np.abs(rates[1] - expected[:, None]) < 4 * error[:, None])
