import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import Dataset, InputError, Method, Views
from ae_jax.metrics import (
    active_fraction,
    active_units,
    disentanglement_scores,
    latent_summary,
    mig,
)

SIZES = {"shape": 3, "scale": 5}


def make_dataset(size=37, factor_sizes=SIZES):
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, n, size) for n in SIZES.values()], axis=1)
    arrays = {"image": jnp.asarray(rng.random((size, 2, 2, 1)), jnp.float32)}
    arrays["factors"] = jnp.asarray(factors, jnp.int32)

    def fetch(arrays, indices):
        return {name: array[indices] for name, array in arrays.items()}

    spec = {name: jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for name, a in arrays.items()}
    return Dataset(spec, size, arrays, fetch, factor_sizes)


def encode(state, batch, hparams):
    # the second latent depends on the data, but barely
    noise = jnp.sum(batch["image"], axis=(1, 2, 3))
    columns = [batch["factors"][:, 0].astype(noise.dtype), 0.01 * noise, noise]
    return state * jnp.stack(columns, axis=1)


METHOD = Method({}, None, None, None, Views(encode=encode))


def test_active_units_by_hand():
    # variances 0, 0.09^2 = 0.0081, 0.25
    latents = np.array([[3.0, -0.09, 0.0], [3.0, 0.09, 1.0]], np.float32)
    count = jax.jit(active_units)
    assert int(count(latents)) == 1
    assert int(count(latents, threshold=0.005)) == 2
    assert int(count(latents, threshold=1.0)) == 0
    # the published threshold of 0.01: standard deviations 0.0995 and 0.1005
    latents = np.array([[-0.0995, -0.1005], [0.0995, 0.1005]], np.float32)
    assert int(count(latents)) == 1


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_large_constants_are_not_active(dtype):
    # their mean is rounded, in float32 by 0.4 at 1e7
    latents = np.full((777, 3), [1e5 + 0.1, 3e6 + 0.3, 1.1e7])
    assert int(jax.jit(active_units)(latents.astype(dtype))) == 0


def test_bytes_vary_as_numbers():
    assert int(active_units(np.array([[3], [1]], np.uint8), threshold=0.9)) == 1
    assert int(active_units(np.array([[3], [1]], np.uint8), threshold=1.1)) == 0


def test_active_fraction_by_hand():
    # unit 0 is on above a tenth of 4; unit 1 never is; unit 2 always is, whatever its sign
    latents = np.array([[4.0, 0.0, -1.0], [0.39, 0.0, 1.0], [0.41, 0.0, 0.2], [0.0, 0.0, -0.3]])
    fraction = jax.jit(active_fraction)(latents.astype(np.float32))
    np.testing.assert_allclose(fraction, 6 / 12)


def test_active_fraction_counts_in_single_precision():
    latents = np.ones((1000, 1))
    latents[0] = 0
    fraction = active_fraction(latents.astype(jnp.bfloat16))
    assert fraction.dtype == jnp.float32
    np.testing.assert_allclose(fraction, 0.999, rtol=1e-6)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_the_active_fraction_of_broken_latents_is_no_number(broken):
    assert np.isnan(active_fraction(np.array([[1.0, broken], [1.0, 1.0]], np.float32)))


@pytest.mark.parametrize("batch_size", [5, 37, 100])
def test_a_small_data_set_is_summarised_whole(batch_size):
    data = make_dataset()
    summary = latent_summary(
        METHOD, jax.random.key(0), jnp.float32(1), data, {}, batch_size=batch_size
    )
    latents = jax.jit(encode)(jnp.float32(1), data.arrays, {})
    assert int(summary["active_units"]) == 2
    np.testing.assert_allclose(summary["mig"], mig(latents, data.arrays["factors"]), rtol=1e-5)


def test_of_a_large_data_set_count_examples_are_drawn():
    seen = []

    def spy(state, batch, hparams):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), batch["image"][:, 0, 0, 0])
        return encode(state, batch, hparams)

    data, method = make_dataset(), METHOD._replace(views=Views(encode=spy))
    latent_summary(method, jax.random.key(0), jnp.float32(1), data, {}, count=20, batch_size=6)
    jax.effects_barrier()
    first, values = np.concatenate(seen), np.asarray(data.arrays["image"][:, 0, 0, 0])
    assert first.size == 20
    assert np.all(np.isin(first, values))
    assert np.abs(np.searchsorted(np.sort(values), first)).max() > 20  # not the first 20 alone


def test_every_example_of_a_large_data_set_may_be_drawn():
    dataset = make_dataset(3)
    for example in range(3):

        def encode_one(state, batch, hparams, only=dataset.arrays["image"][example]):
            return jnp.all(batch["image"] == only[None], axis=(1, 2))  # [B, 1]

        method = Method({}, None, None, None, Views(encode=encode_one))
        found = [
            latent_summary(method, jax.random.key(seed), jnp.ones(()), dataset, {}, count=2)
            for seed in range(20)
        ]
        # 4 of 9 pairs hold it and another one
        assert 0 < sum(int(summary["active_units"]) for summary in found) < 20


def test_the_mig_needs_factors():
    data = make_dataset(factor_sizes={})
    summary = latent_summary(METHOD, jax.random.key(0), jnp.float32(1), data, {})
    assert set(summary) == {"active_units"}


def test_it_can_be_jitted_and_vmapped_over_lanes():
    data = make_dataset()

    @jax.jit
    def summarise(keys, states, arrays):
        def lane(key, state):
            seen = data._replace(arrays=arrays)
            return latent_summary(METHOD, key, state, seen, {}, batch_size=8)

        return jax.vmap(lane)(keys, states)

    scales = jnp.array([1.0, 0.2, 0.0])
    summary = summarise(jax.random.split(jax.random.key(0), 3), scales, data.arrays)
    alone = [latent_summary(METHOD, jax.random.key(0), s, data, {}) for s in scales]
    np.testing.assert_array_equal(summary["active_units"], [a["active_units"] for a in alone])
    np.testing.assert_allclose(summary["mig"], [a["mig"] for a in alone], atol=0.02)
    assert summary["mig"][2] == 0


def test_one_example_is_a_sample_in_which_nothing_varies():
    summary = latent_summary(
        METHOD, jax.random.key(0), jnp.float32(1), make_dataset(), {}, count=1, batch_size=1
    )
    assert (int(summary["active_units"]), float(summary["mig"])) == (0, 0)


def test_any_scores_may_be_asked_for():
    data, key = make_dataset(), jax.random.key(0)
    given = {}

    def scores(key, latents, factors, factor_sizes):
        given["latents"], given["key"] = latents, key
        assert factor_sizes == (3, 5)
        np.testing.assert_array_equal(factors, data.arrays["factors"])
        return {"score": jnp.sum(latents)}

    summary = latent_summary(METHOD, key, jnp.float32(1), data, {}, scores=scores)
    assert set(summary) == {"active_units", "score"}
    assert given["key"] != key
    latents = encode(jnp.float32(1), data.arrays, {})
    np.testing.assert_allclose(given["latents"], latents, rtol=1e-6)
    summary = latent_summary(METHOD, key, jnp.float32(1), data, {}, scores=disentanglement_scores)
    assert {"active_units", "mig", "sap", "irs", "factor_vae_score"} < set(summary)
    np.testing.assert_allclose(summary["mig"], mig(latents, data.arrays["factors"]), rtol=1e-5)


def test_draws_are_scored_and_means_are_counted():
    data, seen = make_dataset(), []

    def draw(key, state, batch, hparams):
        means = encode(state, batch, hparams)
        return means + jax.random.normal(key, means.shape)

    def scores(key, latents, factors, factor_sizes):
        seen.append(latents)
        return {}

    summary = latent_summary(
        METHOD, jax.random.key(0), jnp.float32(1), data, {}, batch_size=8, draw=draw, scores=scores
    )
    assert int(summary["active_units"]) == 2  # all three of the draws vary
    noise = np.asarray(seen[0] - encode(jnp.float32(1), data.arrays, {}))
    assert noise.shape == (37, 3)
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=0.3)
    assert len(np.unique(noise)) == noise.size  # every batch has noise of its own


def test_defaults_are_the_documented_ones():
    parameters = inspect.signature(latent_summary).parameters
    assert (parameters["count"].default, parameters["batch_size"].default) == (10_000, 500)


@pytest.mark.parametrize("numbers", [{"count": 0}, {"batch_size": 0}])
def test_numbers_of_examples_are_positive(numbers):
    with pytest.raises(InputError, match="must be positive"):
        latent_summary(METHOD, jax.random.key(0), jnp.float32(1), make_dataset(), {}, **numbers)


def test_a_method_without_an_encoder_is_refused():
    with pytest.raises(InputError, match="encode"):
        latent_summary(Method({}, None, None, None), jax.random.key(0), 0, make_dataset(), {})
