"""Flows of several steps, and the posteriors and priors that draw through them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from ae_jax import nets, probability
from ae_jax.core import InputError, Network
from ae_jax.methods import flows, posteriors, priors
from tests.marks import rare

pytestmark = pytest.mark.usefixtures("x64")

KEY, SIZE = jax.random.key(3), 3
KINDS = {
    "planar": lambda steps: flows.planar(steps),
    "radial": lambda steps: flows.radial(steps),
    "inverse": lambda steps: flows.inverse_autoregressive(steps, (6,), 2, "tanh"),
    "masked": lambda steps: flows.masked_autoregressive(steps, (6,), 0, "tanh"),
    "coupling": lambda steps: flows.coupling(steps, (6,), 2, "tanh"),
}
TOLD = [name for name in KINDS if name not in ("planar", "radial")]


def given(flow, count=5, size=SIZE, scale=0.3):
    """Own parameters away from their start, latents and contexts."""
    keys = jax.random.split(KEY, 3)
    own = flow.init(keys[0], size)
    own = jax.tree.map(lambda p: p + scale * jax.random.normal(keys[1], p.shape), own)
    z = jax.random.normal(keys[2], (count, size))
    return own, z, jax.random.normal(keys[1], (count, flow.context(size)))


@pytest.mark.parametrize("steps", [rare(1), rare(2), 3])
@pytest.mark.parametrize("kind", KINDS)
def test_log_determinants_are_those_of_the_jacobians_and_inverses_go_back(kind, steps):
    flow = KINDS[kind](steps)
    own, z, context = given(flow)
    forward = jax.jit(flow.forward)
    made, log_det = forward(own, z, context)

    def jacobian(z, told):
        return jax.jacfwd(lambda one: flow.forward(own, one[None], told[None])[0][0])(z)

    found = np.asarray(jax.jit(jax.vmap(jacobian))(z, context))
    np.testing.assert_allclose(log_det, np.linalg.slogdet(found)[1], atol=1e-10)
    if flow.inverse is not None:
        back, undone = jax.jit(flow.inverse)(own, made, context)
        np.testing.assert_allclose(back, z, atol=1e-9)
        np.testing.assert_allclose(undone, -log_det, atol=1e-9)
    if kind in ("inverse", "masked") and steps == 1:
        assert np.abs(np.triu(found, 1)).max() < 1e-12
        assert np.abs(np.tril(found, -1)).max() > 1e-3
    if steps > 1 or kind in ("planar", "radial"):
        # every latent is moved
        assert np.min(np.max(np.abs(made - z), axis=0)) > 1e-3


@pytest.mark.parametrize("kind", TOLD)
def test_what_is_learned_starts_as_the_identity(kind):
    for steps in (1, 2, 3):
        flow = KINDS[kind](steps)
        own, z, context = given(flow, scale=0.0)
        made, log_det = flow.forward(own, z, context)
        np.testing.assert_array_equal(made, z)
        np.testing.assert_array_equal(log_det, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_without_steps_it_is_the_identity_and_needs_nothing(kind):
    flow = KINDS[kind](0)
    own, z, context = given(flow)
    made, log_det = flow.forward(own, z, context)
    np.testing.assert_array_equal(made, z)
    np.testing.assert_array_equal(log_det, 0)
    assert sum(p.size for p in jax.tree.leaves(own)) == 0
    if kind in ("planar", "radial"):
        assert flow.context(SIZE) == 0


def test_an_encoder_that_says_nothing_makes_no_plane_infinite():
    flow = flows.planar(2)
    z = jax.random.normal(KEY, (4, 3))
    slope = jax.grad(lambda told: sum(map(jnp.sum, flow.forward({}, z, told))))(jnp.zeros((4, 14)))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_posterior_knows_the_density_of_its_draws(kind):
    posterior = posteriors.flow(KINDS[kind](2))
    assert posterior.outputs(SIZE) == 2 * SIZE + KINDS[kind](2).context(SIZE)
    own, _, _ = given(KINDS[kind](2))
    outputs = 0.5 * jax.random.normal(jax.random.key(8), (4, posterior.outputs(SIZE)))
    parameters = posterior.read(outputs, SIZE, {}, {"posterior": own}, {})
    z, nats = posterior.draw(KEY, parameters)
    np.testing.assert_array_equal(z, posterior.sample(KEY, parameters))
    # by the change of variables of the Gaussian draw underneath
    mean, log_var = outputs[:, :SIZE], outputs[:, SIZE : 2 * SIZE]
    first = probability.gaussian.sample(KEY, mean, log_var)

    def jacobian(i):
        told = outputs[i : i + 1, 2 * SIZE :]
        flow = KINDS[kind](2)
        return jax.jacfwd(lambda one: flow.forward(own, one[None], told)[0][0])(first[i])

    logs = [np.linalg.slogdet(np.asarray(jacobian(i)))[1] for i in range(4)]
    expected = norm.logpdf(first, mean, np.exp(log_var / 2)).sum(axis=1) - logs
    np.testing.assert_allclose(nats, expected, atol=1e-9)
    if posterior.log_prob is not None:
        np.testing.assert_allclose(posterior.log_prob(z, parameters), nats, atol=1e-8)
    else:
        assert kind in ("planar", "radial")


@pytest.mark.parametrize("kind", ["masked", "coupling"])
def test_a_prior_is_a_density_and_its_draws_are_of_it(kind):
    flow = {
        "masked": flows.masked_autoregressive(2, (6,), 0, "tanh"),
        "coupling": flows.coupling(3, (6,), 0, "tanh"),
    }[kind]
    prior = priors.flow(flow)
    own = prior.init(KEY, jnp.zeros((2, 4)), 2)
    z = jax.random.normal(KEY, (6, 2))
    plain = norm.logpdf(z).sum(axis=1)
    np.testing.assert_allclose(prior.log_prob(z, {"prior": own}, {}), plain, rtol=1e-12)
    own = jax.tree.map(lambda p: p + 0.2 * jax.random.normal(jax.random.key(1), p.shape), own)
    density = jax.jit(lambda z: jnp.exp(prior.log_prob(z, {"prior": own}, {})))
    axis = np.linspace(-15, 15, 501)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.asarray(density(jnp.asarray(grid))) * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(mass.sum(), 1, atol=2e-3)
    drawn = prior.sample(jax.random.key(5), {"prior": own}, (20_000, 2), {})
    mean = mass @ grid
    error = np.sqrt(mass @ (grid - mean) ** 2 / 20_000)
    assert (np.abs(np.mean(drawn, axis=0) - mean) < 4.5 * error).all()
    assert np.max(np.abs(density(z) - np.exp(plain))) > 1e-3


def test_the_mixture_of_posteriors_of_pseudo_inputs():
    means, log_vars = np.array([-1.0, 0.3, 1.5]), np.array([-0.5, 0.2, -1.2])

    def apply(params, x):
        del params
        return jnp.stack([jnp.asarray(means), jnp.asarray(log_vars)], axis=1)[: len(x)]

    prior = priors.vamp(Network(lambda key, x: {}, apply), 3)
    params = {"encoder": {}, "prior": jnp.zeros((3, 5))}
    z = jnp.array([[-2.0], [0.0], [0.7]])
    expected = [-2.42275829316, -1.62641047348, -1.55019435068]
    np.testing.assert_allclose(prior.log_prob(z, params, {}), expected, atol=1e-11)
    axis = np.linspace(-9, 9, 2001)[:, None]
    mass = np.exp(prior.log_prob(jnp.asarray(axis), params, {})).sum() * (axis[1, 0] - axis[0, 0])
    np.testing.assert_allclose(mass, 1, atol=1e-9)
    drawn = prior.sample(KEY, params, (20_000, 1), {})
    variance = np.mean(np.exp(log_vars) + means**2) - np.mean(means) ** 2
    assert abs(np.mean(drawn) - means.mean()) < 4 * np.sqrt(variance / 20_000)
    np.testing.assert_allclose(np.var(drawn), variance, rtol=0.05)


def test_pseudo_inputs_start_in_the_datas_range_and_are_learned():
    encoder, key = nets.mlp(4, ()), jax.random.key(0)
    x = jax.random.uniform(key, (6, 5))
    for interval in ((0.0, 1.0), None, (-1.0, 3.0)):
        prior = priors.vamp(encoder, 7, interval=interval)
        own = prior.init(key, x, 2)
        low, high = interval or (0, 1)
        shown = own if interval is None else low + (high - low) * jax.nn.sigmoid(own)
        assert shown.shape == (7, 5)
        assert np.max(np.abs(np.mean(shown, axis=0) - np.mean(x, axis=0))) < 0.3
        params = {"encoder": encoder.init(key, x), "prior": own}
        z = jax.random.normal(key, (3, 2))
        slopes = jax.grad(lambda p, prior=prior, z=z: jnp.sum(prior.log_prob(z, p, {})))(params)
        assert all(np.abs(slope).max() > 0 for slope in jax.tree.leaves(slopes))


@pytest.mark.parametrize(
    "flow",
    [
        flows.planar(1),
        flows.radial(1),
        flows.coupling(2, (2,)),
        flows.masked_autoregressive(1, ()),
        flows.inverse_autoregressive(1, (), context=2),
    ],
)
def test_latents_in_half_precision_become_single(flow):
    z, told = jnp.zeros((2, 3), jnp.bfloat16), jnp.zeros((2, flow.context(3)), jnp.bfloat16)
    own = jax.eval_shape(lambda key: flow.init(key, 3), KEY)
    own = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.float32), own)
    for through in filter(None, (flow.forward, flow.inverse)):
        found = jax.eval_shape(through, own, z, told)
        assert {x.dtype for x in found} == {jnp.dtype(jnp.float32)}


def test_refuses():
    with pytest.raises(InputError, match="steps is -1: use a whole number, 0 or more"):
        flows.planar(-1)
    with pytest.raises(InputError, match="unknown activation 'swirl'"):
        flows.inverse_autoregressive(activation="swirl")
    with pytest.raises(InputError, match="widths"):
        flows.masked_autoregressive(widths=(0,))
    with pytest.raises(InputError, match="use 2 latents or more"):
        flows.coupling().init(KEY, 1)
    with pytest.raises(InputError, match="has an inverse and no context"):
        priors.flow(flows.planar())
    with pytest.raises(InputError, match="has an inverse and no context"):
        priors.flow(flows.inverse_autoregressive())
    with pytest.raises(InputError, match=r"starts from a plain posterior"):
        posteriors.flow(flows.planar(), posteriors.von_mises_fisher())
    with pytest.raises(InputError, match=r"6 numbers for 3 latents and 7 for the flow, \[B, 13\]"):
        posteriors.flow(flows.planar(1)).read(jnp.zeros((2, 6)), 3, {}, {}, {})
    with pytest.raises(InputError, match=r"3 means and a triangle of 3x3, \[B, 9\], and gives"):
        posteriors.full_gaussian().read(jnp.zeros((2, 6)), 3, {})
    with pytest.raises(InputError, match="components is 0"):
        priors.vamp(nets.mlp(4, ()), 0)
    with pytest.raises(InputError, match="mixes plain posteriors"):
        priors.vamp(nets.mlp(4, ()), posterior=posteriors.flow(flows.planar()))
    with pytest.raises(InputError, match="low < high"):
        priors.vamp(nets.mlp(4, ()), interval=(1.0, 0.0))
