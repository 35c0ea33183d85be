"""VAEs of flows, mixtures of pseudo-inputs and full covariances: what they reduce to, and steps."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError, Network
from ae_jax.methods import bounds, flows, posteriors, priors
from tests.marks import rare
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(3)
X = np.random.default_rng(0).normal(size=(4, 3))
BATCH = {"image": X}


def small(outputs=4, **options):
    """A VAE of two latents, and its state after a step."""
    method = methods.vae(
        nets.mlp(outputs, (5,), "tanh"),
        nets.mlp(3, (5,), "tanh"),
        2,
        likelihood=methods.observations.gaussian(0.5),
        optimizer=optax.identity(),
        **options,
    )
    return method, drawn(method, BATCH)


def stepped(method, state):
    return jax.jit(method.step)(KEY, state, BATCH, dict(method.hparams))


def test_without_steps_a_flow_is_the_plain_vae():
    plain, state = small(bound=bounds.elbo("sampled", 2))
    after, info = stepped(plain, state)
    for flow in (flows.planar(0), flows.radial(0), flows.inverse_autoregressive(0, context=0)):
        method, own = small(posterior=posteriors.flow(flow), bound=bounds.elbo(samples=2))
        own = own._replace(params={**state.params, "posterior": own.params["posterior"]})
        moved, found = stepped(method, own)
        assert found["loss"] == info["loss"]
        for name in ("encoder", "decoder"):
            chex.assert_trees_all_equal(moved.params[name], after.params[name])


def test_a_flow_that_is_still_the_identity_is_the_normal_prior():
    plain, state = small(bound=bounds.iwae(3))
    _, info = stepped(plain, state)
    method, own = small(bound=bounds.iwae(3), prior=priors.flow(flows.masked_autoregressive(2)))
    fresh = method.init(jax.random.key(0), BATCH, dict(method.hparams)).params["prior"]
    own = own._replace(params={**state.params, "prior": fresh})
    after, found = stepped(method, own)
    np.testing.assert_allclose(found["loss"], info["loss"], rtol=1e-12)
    assert not jax.tree.all(jax.tree.map(np.array_equal, after.params["prior"], fresh))


def test_one_pseudo_input_whose_posterior_is_standard_is_the_normal_prior():
    # an encoder that says 0 wherever its input is 1 everywhere
    def apply(params, x):
        known = jnp.all(x == 1, axis=1)[:, None]
        return jnp.where(known, 0.0, jnp.tanh(x @ params["kernel"]))

    encoder = Network(lambda key, x: {"kernel": jax.random.normal(key, (3, 4))}, apply)

    def of(**options):
        decoder = nets.mlp(3, (5,), "tanh")
        return methods.vae(encoder, decoder, 2, bound=bounds.elbo("sampled"), **options)

    plain, vamp = of(), of(prior=priors.vamp(encoder, 1, interval=None))
    state, own = drawn(plain, BATCH), drawn(vamp, BATCH)
    own = own._replace(params={**state.params, "prior": jnp.ones((1, 3))})
    hparams = dict(plain.hparams)

    @jax.jit
    def both(state, own):
        return [m.evaluate(KEY, s, BATCH, hparams) for m, s in ((plain, state), (vamp, own))]

    first, second = both(state, own)
    chex.assert_trees_all_close(first, second, rtol=1e-12)


def test_pseudo_inputs_see_the_encoder_as_an_evaluation_does():
    # whose training pass counts what it sees, as batch statistics do, and says something else
    def apply(params, x):
        return jnp.tanh(x @ params["kernel"])

    def train(key, params, x):
        return apply(params, x) + 0.1, {"seen": params["seen"] + len(x)}

    start = {"kernel": jnp.asarray(np.random.default_rng(4).normal(size=(3, 4))), "seen": 0.0}
    encoder = Network(lambda key, x: jax.tree.map(jnp.asarray, start), apply, train)
    method = methods.vae(encoder, nets.mlp(3, ()), 2, prior=priors.vamp(encoder, 5, interval=None))
    hparams = dict(method.hparams)

    @jax.jit
    def found(key):
        state = method.init(key, BATCH, hparams)
        params, moved = state.params, method.step(key, state, BATCH, hparams)[0]
        known = params | {"encoder": params["encoder"] | {"seen": 100.0}}
        z = jnp.ones((2, 2))
        prior = priors.vamp(encoder, 5, interval=None)
        own = posteriors.gaussian().read(apply(params["encoder"], params["prior"]), 2, hparams)
        mixed = posteriors.mixed(posteriors.gaussian(), own).log_prob(z)
        return moved.params["encoder"]["seen"], prior.log_prob(z, known, hparams), mixed

    seen, nats, expected = found(KEY)
    assert seen == len(X)  # and no pseudo-input
    np.testing.assert_allclose(nats, expected, rtol=1e-12)


def test_the_posterior_of_a_linear_model_has_the_covariance_that_it_needs():
    # z ~ N(0, I), x | z ~ N(W z + b, 0.3): weights that no diagonal posterior makes constant
    weights, bias = np.array([[1.0, -0.5], [0.3, 0.8], [-0.7, 0.4]]), np.array([0.1, -0.2, 0.3])
    x, exact = np.array([0.9, -0.4, 1.2]), -4.99254283985
    mean = [0.0180288461538, -0.140936609687]
    covariance = [[0.180288461538, 0.0721153846154], [0.0721153846154, 0.251068376068]]
    lower = np.linalg.cholesky(covariance)
    outputs = [*mean, np.log(lower[0, 0]), lower[1, 0], np.log(lower[1, 1])]
    method = methods.vae(
        nets.mlp(5, ()),
        nets.mlp(3, ()),
        2,
        likelihood=methods.observations.gaussian(0.3),
        posterior=posteriors.full_gaussian(),
        bound=bounds.sticking_the_landing(),
        optimizer=optax.identity(),
        importance_samples=3,
    )
    batch = {"image": jnp.broadcast_to(jnp.asarray(x)[None], (4, 3))}
    state = drawn(method, batch)
    state.params["encoder"]["Dense_0"] = {
        "kernel": jnp.zeros((3, 5)),
        "bias": jnp.asarray(outputs),
    }
    state.params["decoder"]["Dense_0"] = {
        "kernel": jnp.asarray(weights.T),
        "bias": jnp.asarray(bias),
    }
    hparams = dict(method.hparams)
    after, info = jax.jit(method.step)(KEY, state, batch, hparams)
    np.testing.assert_allclose(info["loss"], -exact, rtol=1e-9)
    chex.assert_trees_all_close(after.params["encoder"], state.params["encoder"], atol=1e-9)
    found = jax.jit(method.views.log_likelihood)(KEY, state, batch, hparams)
    np.testing.assert_allclose(found, exact, rtol=1e-9)


PARTS = {
    "planar, vamp": lambda encoder: {
        "posterior": posteriors.flow(flows.planar(2)),
        "prior": priors.vamp(_narrow(encoder), 3, interval=None),
        "bound": bounds.partially_importance_weighted(2, 2),
    },
    "inverse autoregressive, masked autoregressive": lambda encoder: {
        "posterior": posteriors.flow(flows.inverse_autoregressive(2, (4,), 10, "tanh")),
        "prior": priors.flow(flows.masked_autoregressive(2, (4,), activation="tanh")),
        "bound": bounds.doubly_reparametrised(2),
    },
    "coupling, coupling": lambda encoder: {
        "posterior": posteriors.flow(flows.coupling(2, (4,), 10, "tanh")),
        "prior": priors.flow(flows.coupling(2, (4,), activation="tanh")),
        "bound": bounds.combined(2),
    },
}


def _narrow(encoder):
    """What a prior reads of an encoder that gives more than means and log-variances."""
    return encoder._replace(apply=lambda params, x: encoder.apply(params, x)[:, :4])


@pytest.mark.parametrize("kind", ["planar, vamp", *map(rare, [*PARTS][1:])])
def test_a_step_moves_all_parameters_by_the_gradient_of_the_bound(kind):
    outputs = 4 + 10
    encoder = nets.mlp(outputs, (5,), "tanh")
    parts = PARTS[kind](encoder)
    rate = 0.1
    method, state = small(outputs, learning_rate=rate, **parts)
    hparams = dict(method.hparams)
    after, info = stepped(method, state)
    moved = jax.tree.map(lambda new, old: (old - new) / rate, after.params, state.params)
    assert np.isfinite(info["loss"])
    for name, tree in moved.items():
        for path, slope in jax.tree_util.tree_leaves_with_path(tree):
            assert np.abs(slope).max() > 0, (name, path)
    if kind != "coupling, coupling":
        return  # of what is differentiated in the loss's place; see the bounds' own tests

    # by finite differences of what is reported, along a direction of all parameters
    leaves, tree = jax.tree.flatten(state.params)
    keys = jax.random.split(jax.random.key(9), len(leaves))
    ways = [jax.random.normal(k, p.shape) for k, p in zip(keys, leaves, strict=True)]
    way = jax.tree.unflatten(tree, ways)

    @jax.jit
    def loss(step):
        params = jax.tree.map(lambda p, w: p + step * w, state.params, way)
        return method.step(KEY, state._replace(params=params), BATCH, hparams)[1]["loss"]

    numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5
    parts = jax.tree.map(lambda slope, w: jnp.sum(slope * w), moved, way)
    np.testing.assert_allclose(sum(jax.tree.leaves(parts)), numeric, rtol=1e-6)


def test_views_use_what_is_learned():
    encoder = nets.mlp(14, (5,), "tanh")
    method, state = small(14, **PARTS["inverse autoregressive, masked autoregressive"](encoder))
    hparams = dict(method.hparams)

    @jax.jit
    def seen(state):
        views = method.views
        return (
            views.encode(state, BATCH, hparams),
            views.sample(KEY, state, 5, hparams),
            views.log_likelihood(KEY, state, BATCH, hparams),
        )

    first = seen(state)
    for part, changed in (("posterior", (True, False, True)), ("prior", (False, True, True))):
        own = jax.tree.map(lambda p: p + 0.3, state.params[part])
        second = seen(state._replace(params={**state.params, part: own}))
        for one, other, moved in zip(first, second, changed, strict=True):
            assert np.array_equal(one, other) != moved


def test_refuses():
    with pytest.raises(InputError, match="knows it with its own draws alone"):
        small(posterior=posteriors.flow(flows.planar()), bound=bounds.sticking_the_landing())
    with pytest.raises(InputError, match="DIP-VAE needs a posterior of independent dimensions"):
        small(
            posterior=posteriors.flow(flows.planar()),
            regularisers=[methods.latent_regularisers.dip()],
        )
    method = methods.vae(nets.mlp(8, ()), nets.mlp(3, ()), 1, prior=priors.flow(flows.coupling()))
    with pytest.raises(InputError, match="use 2 latents or more"):
        method.init(KEY, BATCH, dict(method.hparams))
