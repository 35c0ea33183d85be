import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ae_jax import losses
from ae_jax.core import InputError
from ae_jax.methods import rbm as rbm_method
from ae_jax.methods.rbm import (
    RBMParams,
    State,
    _draw,
    _random_bits,
    _shared_digits,
    conditional_logits,
    contrastive_divergence,
    energy,
    free_energy,
    gibbs,
    hidden_logits,
    log_partition_exact,
    visible_logits,
)

pytestmark = pytest.mark.usefixtures("x64")

# Compiled: one operation at a time, most of the time would go into dispatch.
energy, free_energy, hidden_logits, visible_logits, conditional_logits = map(
    jax.jit, (energy, free_energy, hidden_logits, visible_logits, conditional_logits)
)
log_partition_exact = jax.jit(log_partition_exact)
contrastive_divergence = jax.jit(contrastive_divergence, static_argnums=3)


def compiled(*arguments, **options):
    """A method and its hyperparameters."""
    method = rbm_method(*arguments, **options)
    views = method.views._replace(
        reconstruct=jax.jit(method.views.reconstruct),
        sample=jax.jit(method.views.sample, static_argnums=2),
    )
    functions = {name: jax.jit(getattr(method, name)) for name in ("init", "step", "evaluate")}
    hparams = dict(method.hparams)
    return method._replace(**functions, views=views, hparams=hparams)


def binary_states(units):
    """Every state of some units, [2^units, units]."""
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(float)


def make_params(visible=3, hidden=2, scale=1.0, key=0):
    random = np.random.RandomState(key)
    shapes = [(visible, hidden), (visible,), (hidden,)]
    return RBMParams(*(jnp.asarray(scale * random.standard_normal(shape)) for shape in shapes))


def all_energies(params):
    """Energies of all joint states, [2^V, 2^H], by the definition."""
    weights, visible_bias, hidden_bias = (np.asarray(p) for p in params)
    v, h = binary_states(len(visible_bias)), binary_states(len(hidden_bias))
    return -(v @ weights @ h.T) - (v @ visible_bias)[:, None] - (h @ hidden_bias)[None, :]


def joint_distribution(params):
    weights = np.exp(-all_energies(params))
    return weights / weights.sum()


def transition_matrix(params):
    """p(v' | v) of one block Gibbs step, [2^V, 2^V], from the conditionals under test."""
    v, h = binary_states(params.visible_bias.size), binary_states(params.hidden_bias.size)

    def conditional(logits, states):
        p = np.asarray(jax.nn.sigmoid(logits))[:, None, :]
        return np.prod(np.where(states[None] == 1, p, 1 - p), axis=2)

    up = conditional(hidden_logits(params, jnp.asarray(v)), h)
    down = conditional(visible_logits(params, jnp.asarray(h)), v)
    return up, down


# --- energies and the partition function


def test_energy_by_hand():
    # v = (1, 1), h = (0, 1): v.W.h = 2 + 4 = 6, b.v = 0.5 + 1 = 1.5, c.h = -3: -(6 + 1.5 - 3)
    params = RBMParams(
        jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([0.5, 1.0]), jnp.array([9.0, -3.0])
    )
    v, h = jnp.array([[1.0, 1.0]]), jnp.array([[0.0, 1.0]])
    np.testing.assert_allclose(energy(params, v, h), [-4.5])


def test_free_energy_sums_the_hidden_states():
    params = make_params(4, 3)
    expected = -np.log(np.exp(-all_energies(params)).sum(axis=1))
    np.testing.assert_allclose(free_energy(params, jnp.asarray(binary_states(4))), expected)


def test_free_energy_does_not_overflow():
    params = RBMParams(jnp.full((2, 1), 1e4), jnp.zeros(2), jnp.zeros(1))
    np.testing.assert_allclose(free_energy(params, jnp.ones((1, 2))), [-2e4])


@pytest.mark.parametrize(("visible", "hidden"), [(5, 3), (3, 5), (4, 4), (12, 2)])
def test_log_partition_by_enumerating_everything(visible, hidden):
    params = make_params(visible, hidden)
    expected = np.log(np.exp(-all_energies(params)).sum())
    np.testing.assert_allclose(log_partition_exact(params), expected, rtol=1e-12)


def test_log_partition_agrees_on_either_side_in_blocks():
    # 12 units are more than a block of 2^10 states
    params = make_params(12, 13, 0.5)
    swapped = RBMParams(params.weights.T, params.hidden_bias, params.visible_bias)
    by_visible, by_hidden = log_partition_exact(params), log_partition_exact(swapped)
    np.testing.assert_allclose(by_visible, by_hidden, rtol=1e-14)
    # and the other side of the same machine, where no side is chosen for us
    other = jax.nn.logsumexp(-free_energy(swapped, jnp.asarray(binary_states(13))))
    np.testing.assert_allclose(by_visible, other, rtol=1e-12)


def test_log_partition_of_independent_units():
    # W = 0: Z = prod_i (1 + e^b_i) prod_j (1 + e^c_j)
    params = RBMParams(jnp.zeros((30, 2)), jnp.full(30, 0.3), jnp.array([1.0, -1.0]))
    expected = 30 * np.log1p(np.exp(0.3)) + np.log1p(np.e) + np.log1p(1 / np.e)
    np.testing.assert_allclose(log_partition_exact(params), expected, rtol=1e-12)


def test_log_partition_of_a_large_machine_is_refused():
    with pytest.raises(InputError, match="at most 20 units, got 21 visible and 22 hidden"):
        log_partition_exact(make_params(21, 22))


def test_conditional_logits_are_differences_of_free_energies():
    params = make_params(4, 3)
    v = jnp.asarray(binary_states(4))
    for unit in range(4):
        off, on = v.at[:, unit].set(0), v.at[:, unit].set(1)
        expected = free_energy(params, off) - free_energy(params, on)
        value = conditional_logits(params, v, jnp.full(16, unit))
        np.testing.assert_allclose(value, expected, rtol=1e-10)


# --- random bits


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_draws_have_their_exact_probability(dtype):
    # all 2^16 bits with a 16th of the shared digits' range: the mean is p on the grid 2^-20
    bits = jnp.arange(2**16, dtype=jnp.uint16)
    low = _shared_digits(jnp.arange(16, dtype=jnp.uint32) << 28, dtype)
    np.testing.assert_array_equal(low, np.arange(16) / 16)
    draw = jax.jit(jax.vmap(_draw, (None, 0, None)))
    for p in (2.0**-20, 5 * 2.0**-20, 0.25 - 2.0**-19, 0.75, 1 - 2.0**-20):
        logit = np.log(p) - np.log1p(-p)
        nudged = logit - 4 * np.finfo(dtype).eps * max(1, abs(logit))  # sigmoid is not exact
        mean = np.mean(draw(bits, low, jnp.full(2**16, nudged, dtype)), dtype=np.float64)
        np.testing.assert_allclose(mean, p, rtol=0, atol=2.0**-20 if p > 0.5 else 0)
    assert np.all(draw(bits, low, jnp.full(2**16, 1e4, dtype)) == 1)
    assert np.all(draw(bits, low, jnp.full(2**16, -1e4, dtype)) == 0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_a_uniform_is_never_one(dtype):
    # 65535 + low must not round up to 65536
    low = _shared_digits(jnp.array([2**32 - 1], jnp.uint32), dtype)[0]
    assert low < 1
    assert jnp.asarray(65535, dtype) + low < 65536


def test_random_bits_are_uniform_and_unrelated():
    bits, words = jax.jit(_random_bits, static_argnums=1)(jax.random.key(0), 2**16 + 1)
    assert bits.shape == (2**16 + 1,)
    assert bits.dtype == jnp.uint16
    assert words.shape == (2,)
    assert stats.chisquare(np.bincount(np.asarray(bits) >> 8, minlength=256)).pvalue > 0.01
    assert stats.chisquare(np.bincount(np.asarray(bits) & 255, minlength=256)).pvalue > 0.01
    # neighbours, and the two halves of the stream
    centred = np.asarray(bits[:-1], float) / 2**16 - 0.5
    for other in (np.roll(centred, 1), np.roll(centred, 2**15)):
        assert abs(np.corrcoef(centred, other)[0, 1]) < 4 / 2**8
    again, _ = _random_bits(jax.random.key(1), 2**16 + 1)
    assert np.mean(np.asarray(again) == np.asarray(bits)) < 1e-3


# --- chains


def test_the_gibbs_kernel_leaves_the_joint_distribution_invariant():
    params = make_params(3, 2)
    joint = joint_distribution(params)  # [8, 4]
    up, down = transition_matrix(params)
    np.testing.assert_allclose(joint, joint.sum(axis=1)[:, None] * up, rtol=1e-10)
    # draw h from p(h | v), then v from p(v | h)
    after = np.einsum("vg,vh,hw->wh", joint, up, down)
    np.testing.assert_allclose(after, joint, rtol=1e-10)


@pytest.mark.parametrize("steps", [1, 3])
def test_gibbs_follows_its_transition_matrix(steps):
    params = make_params(3, 2)
    up, down = transition_matrix(params)
    start, count = 5, 20_000
    v0 = jnp.asarray(np.repeat(binary_states(3)[start : start + 1], count, axis=0))
    v, h = jax.jit(gibbs, static_argnums=3)(jax.random.key(2), params, v0, steps)
    before = np.linalg.matrix_power(up @ down, steps - 1)[start]
    expected = np.einsum("v,vh,hw->wh", before, up, down)  # joint of the returned pair
    code = np.asarray(v @ (2.0 ** np.arange(3)) + 8 * (h @ (2.0 ** np.arange(2))), int)
    observed = np.bincount(code, minlength=32).reshape(4, 8).T
    assert stats.chisquare(observed.ravel(), count * expected.ravel()).pvalue > 0.01


def test_gibbs_needs_a_step():
    with pytest.raises(InputError, match="at least 1 step"):
        gibbs(jax.random.key(0), make_params(), jnp.zeros((1, 3)), 0)


# --- contrastive divergence


def mean_log_likelihood(params, v):
    return jnp.mean(-free_energy(params, v)) - log_partition_exact(params)


def statistics(params, distribution):
    """Minus the free energy's gradient, averaged over a distribution of v."""
    v = jnp.asarray(binary_states(params.visible_bias.size))
    return jax.grad(lambda params: -jnp.asarray(distribution) @ free_energy(params, v))(params)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in tree])


@functools.cache
def cd_problem():
    params = make_params(4, 3, 1.5)
    data = jnp.asarray(binary_states(4)[[3, 5, 10, 15]])
    start = np.bincount([3, 5, 10, 15], minlength=16) / 4
    return params, data, start


def expected_cd(params, start, steps):
    up, down = transition_matrix(params)
    end = start @ np.linalg.matrix_power(up @ down, steps)
    return flat(statistics(params, start)) - flat(statistics(params, end))


def test_expected_contrastive_divergence_tends_to_the_exact_gradient():
    params, data, start = cd_problem()
    exact = flat(jax.jit(jax.grad(mean_log_likelihood))(params, data))
    errors = [np.abs(expected_cd(params, start, k) - exact).max() for k in (1, 2, 5, 500)]
    assert all(np.diff(errors) < 0)
    assert errors[0] > 0.01
    assert errors[-1] < 1e-9


@pytest.mark.parametrize("steps", [1, 2, 15])
def test_contrastive_divergence_is_unbiased_for_its_expectation(steps):
    params, data, start = cd_problem()
    estimate = jax.jit(jax.vmap(lambda key: contrastive_divergence(key, params, data, steps)[0]))
    draws = estimate(jax.random.split(jax.random.key(4), 4000))
    draws = np.concatenate([np.reshape(leaf, (4000, -1)) for leaf in draws], axis=1)
    error = draws.std(axis=0) / np.sqrt(4000)
    expected = expected_cd(params, start, steps)
    assert np.all(np.abs(draws.mean(axis=0) - expected) < 4 * error)
    assert np.all(error < 0.02)


def test_contrastive_divergence_takes_grey_levels_as_probabilities():
    params, _, _ = cd_problem()
    grey = jax.random.uniform(jax.random.key(5), (3, 4))
    gradient, logits = contrastive_divergence(jax.random.key(6), params, grey, 1)
    assert logits.shape == (3, 4)
    # weights: the positive phase minus a chain of zeros and ones; biases: the same, summed
    chain = np.mean(grey, axis=0) - gradient.visible_bias
    np.testing.assert_allclose(3 * chain, np.round(3 * chain), atol=1e-12)


# --- the method

bernoulli_nll = jax.jit(losses.bernoulli_nll)


def batch(count=6, key=7):
    return {"image": jnp.asarray(np.random.RandomState(key).uniform(size=(count, 2, 2, 1)))}


def test_the_visible_bias_starts_at_the_log_odds_of_the_pixels():
    method, images = compiled(3), {"image": jnp.ones((4, 2, 2, 1)).at[1:, 0, 0].set(0)}
    state = method.init(jax.random.key(0), images, method.hparams)
    # (1 + 1/2) / (4 + 1) = 0.3 and (4 + 1/2) / 5 = 0.9
    expected = np.log([0.3 / 0.7, 9, 9, 9])
    np.testing.assert_allclose(state.params.visible_bias, expected, rtol=1e-12)
    assert state.params.weights.shape == (4, 3)
    assert 0 < np.std(state.params.weights) < 0.03


def test_a_step_is_momentum_and_decay_on_the_gradient():
    method = compiled(3, gibbs_steps=2, learning_rate=0.3, momentum=0.6, weight_decay=0.1)
    params = make_params(4, 3)
    velocity = jax.tree.map(lambda p: 0.01 * p, params)
    state = State(params, velocity, jnp.full((2, 2, 1), 0.5))
    after, info = method.step(jax.random.key(1), state, batch(), method.hparams)
    flat_images = batch()["image"].reshape(6, 4)
    gradient, logits = contrastive_divergence(jax.random.key(1), params, flat_images, 2)
    moved = RBMParams(
        0.6 * velocity.weights + 0.3 * (gradient.weights - 0.1 * params.weights),
        0.6 * velocity.visible_bias + 0.3 * gradient.visible_bias,
        0.6 * velocity.hidden_bias + 0.3 * gradient.hidden_bias,
    )
    np.testing.assert_allclose(flat(after.velocity), flat(moved), rtol=1e-12)
    np.testing.assert_allclose(flat(after.params), flat(params) + flat(moved), rtol=1e-12)
    np.testing.assert_allclose(info["update_norm"], np.linalg.norm(flat(moved)), rtol=1e-12)
    expected = np.mean(bernoulli_nll(logits, flat_images))
    np.testing.assert_allclose(info["loss"], expected, rtol=1e-12)


@pytest.mark.parametrize("broken", ["learning_rate", "momentum", "weight_decay"])
def test_info_turns_non_finite_with_the_state(broken):
    method = compiled(3)
    state = method.init(jax.random.key(0), batch(), method.hparams)
    hparams = {**method.hparams, broken: jnp.nan}
    after, info = method.step(jax.random.key(1), state, batch(), hparams)
    assert not np.all(np.isfinite(flat(after.params)))
    assert not np.isfinite(info["update_norm"])


def test_learning_raises_the_exact_likelihood():
    method = compiled(4, learning_rate=0.2)
    images = {"image": jnp.asarray([[1.0, 1, 0, 0], [0, 0, 1, 1]] * 16).reshape(32, 2, 2, 1)}
    state = method.init(jax.random.key(0), images, method.hparams)
    v = images["image"].reshape(32, 4)

    @jax.jit
    def train(state):
        keys = jax.random.split(jax.random.key(1), 1500)

        def step(state, key):
            return method.step(key, state, images, method.hparams)[0], None

        return jax.lax.scan(step, state, keys)[0]

    # the best is two equally probable images: -log 2 = -0.693; independent pixels: -4 log 2
    before = mean_log_likelihood(state.params, v)
    after = mean_log_likelihood(train(state).params, v)
    np.testing.assert_allclose(before, -4 * np.log(2), atol=0.05)
    assert -1.2 < after < -np.log(2)


def test_evaluation_by_its_definitions():
    method, params = compiled(3), make_params(4, 3)
    state = State(params, params, jnp.full((2, 2, 1), 0.5))
    values = method.evaluate(jax.random.key(0), state, batch(), method.hparams)
    v = batch()["image"].reshape(6, 4)
    np.testing.assert_allclose(values["free_energy"], free_energy(params, v))
    mean_field = visible_logits(params, jax.nn.sigmoid(hidden_logits(params, v)))
    np.testing.assert_allclose(values["loss"], bernoulli_nll(mean_field, v))
    again = method.views.reconstruct(state, batch(), method.hparams)
    np.testing.assert_allclose(again.reshape(6, 4), jax.nn.sigmoid(mean_field), rtol=1e-12)


def test_pseudo_log_likelihood_is_unbiased():
    method, params = compiled(3), make_params(4, 3)
    state = State(params, params, jnp.full((2, 2, 1), 0.5))
    images = {"image": jnp.asarray(binary_states(4)[[3, 9]]).reshape(2, 2, 2, 1)}

    def evaluate(key):
        return method.evaluate(key, state, images, method.hparams)

    keys = jax.random.split(jax.random.key(0), 4000)
    draws = jax.jit(jax.vmap(evaluate))(keys)["pseudo_log_likelihood"]
    # sum_i log p(v_i | the others), from the enumerated p(v)
    p = joint_distribution(params).sum(axis=1)
    for index, state_number in enumerate((3, 9)):
        exact = sum(
            np.log(p[state_number] / (p[state_number] + p[state_number ^ 1 << i])) for i in range(4)
        )
        error = np.std(draws[:, index]) / np.sqrt(4000)
        assert abs(np.mean(draws[:, index]) - exact) < 4 * error
        assert error < 0.05 * abs(exact)


def test_binarization_draws_the_pixels():
    grey = {"image": jnp.full((500, 2, 2, 1), 0.3)}
    method, params = compiled(3, stochastic_binarization=True), make_params(4, 3)
    state = State(params, params, jnp.full((2, 2, 1), 0.5))
    values = method.evaluate(jax.random.key(0), state, grey, method.hparams)["free_energy"]
    possible = free_energy(params, jnp.asarray(binary_states(4)))
    gap = np.abs(np.asarray(values)[:, None] - np.asarray(possible)[None]).min(axis=1)
    assert gap.max() < 1e-12
    p = stats.binom(4, 0.3).pmf(0)  # all pixels off
    zeros = np.mean(np.abs(values - possible[0]) < 1e-12)
    assert abs(zeros - p) < 4 * np.sqrt(p * (1 - p) / 500)


def test_samples_follow_the_model():
    method, params = compiled(2, sample_steps=20), make_params(4, 2)
    state = State(params, params, jnp.full((2, 2, 1), 0.5))
    images = method.views.sample(jax.random.key(3), state, 4000, method.hparams)
    assert images.shape == (4000, 2, 2, 1)
    # probabilities given h have the visible marginals as their mean
    marginals = joint_distribution(params).sum(axis=1) @ binary_states(4)
    error = np.std(images.reshape(4000, 4), axis=0) / np.sqrt(4000)
    assert np.all(np.abs(np.mean(images.reshape(4000, 4), axis=0) - marginals) < 4 * error)


def test_a_chain_without_steps_is_refused():
    with pytest.raises(InputError, match="gibbs_steps=0"):
        rbm_method(3, gibbs_steps=0)
