"""A step of the machine against the gradient of its objective, written down a second time."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax.methods import boltzmann, rbm
from ae_jax.methods.boltzmann import Units
from ae_jax.methods.boltzmann.centering import Offsets

KINDS = ("bernoulli", "gaussian", "labelled", "code")
HPARAMS = {
    "learning_rate": 0.3,
    "momentum": 0.6,
    "weight_decay": 0.1,
    "sparsity_weight": 0.5,
    "sparsity_target": 0.2,
}


def problem(machines, kind, centering, **options):
    """A method, a state in the middle of training, and a batch of 6 examples."""
    random = np.random.RandomState(3)
    batch = {"image": random.uniform(size=(6, 3, 1, 1))}
    pixels = {"stochastic_binarization": False}
    if kind == "gaussian":
        pixels = {"visible": boltzmann.gaussian()}
    if kind == "labelled":
        pixels["classes"] = 2
        batch["label"] = np.array([0, 1, 1, 0, 1, 1])
    if kind == "code":
        pixels["hidden"] = boltzmann.gaussian_hidden()
    method = rbm(
        2, estimator=boltzmann.exact(), centering=centering, **pixels, **HPARAMS, **options
    )
    visible = 5 if kind == "labelled" else 3
    scale = 0.5 if kind == "code" else 1.0
    params = machines.make(visible, 2, scale, gaussian=kind == "gaussian")
    velocity = machines.make(visible, 2, 0.1, key=1, gaussian=kind == "gaussian")
    offsets = Offsets(*(random.uniform(size=size) for size in (visible, 2)))
    state = jax.jit(method.init)(jax.random.key(0), batch, dict(method.hparams))
    state = state._replace(params=params, optimizer=optax.TraceState(velocity), offsets=offsets)
    return method, state, batch


def seen(batch, kind):
    v = batch["image"].reshape(6, 3)
    if kind != "labelled":
        return v
    return np.concatenate([v, np.eye(2)[batch["label"]]], axis=1)


def entering(params, v):
    precision = 1.0 if params.log_variance is None else jnp.exp(-params.log_variance)[None]
    return (v * precision) @ params.weights + params.hidden_bias[None]


def hidden_mean(params, v, kind):
    logits = entering(params, v)
    return logits if kind == "code" else jax.nn.sigmoid(logits)


def log_likelihood(machines, params, v, kind):
    """Log p(v) from sums over all states of one side, [B]."""
    weights, b, c, log_variance = params
    if kind == "gaussian":
        variance = jnp.exp(log_variance)
        h = jnp.asarray(machines.states(2))
        field = h @ weights.T
        # -E(v, h), and the integral of its exponential over v
        joint = -((v - b[None]) ** 2 / (2 * variance[None])).sum(axis=1)[:, None]
        joint = joint + (v / variance[None]) @ field.T + (h @ c)[None]
        area = 0.5 * jnp.log(2 * jnp.pi * variance)[None] + (
            (b[None] + field) ** 2 - b[None] ** 2
        ) / (2 * variance[None])
        return jax.nn.logsumexp(joint, axis=1) - jax.nn.logsumexp(area.sum(axis=1) + h @ c)

    def log_mass(v):
        logits = v @ weights + c[None]
        if kind == "code":
            return v @ b + (0.5 * logits**2 + 0.5 * jnp.log(2 * jnp.pi)).sum(axis=1)
        return v @ b + jnp.log1p(jnp.exp(logits)).sum(axis=1)

    every = machines.states(3)
    if kind == "labelled":
        every = np.concatenate([np.repeat(every, 2, axis=0), np.tile(np.eye(2), (8, 1))], axis=1)
    return log_mass(v) - jax.nn.logsumexp(log_mass(jnp.asarray(every)))


def objective(machines, params, v, kind, active, hparams):
    """The mean log-likelihood less the penalties; `active` are the hidden units' mean activations.

    The cross-entropy of the target and the activation moves by the mean of what enters the units
    (for real units, half the squared distance).
    """
    shift = jnp.mean(entering(params, v), axis=0)
    shift = shift - jax.lax.stop_gradient(shift)
    target = hparams["sparsity_target"]
    if kind == "code":
        lack = 0.5 * jnp.sum((active + shift - target) ** 2)
    else:
        q = jax.nn.sigmoid(jnp.log(active) - jnp.log1p(-active) + shift)
        lack = -jnp.sum(target * jnp.log(q) + (1 - target) * jnp.log1p(-q))
    return (
        jnp.mean(log_likelihood(machines, params, v, kind))
        - hparams["sparsity_weight"] * lack
        - 0.5 * hparams["weight_decay"] * jnp.sum(params.weights**2)
    )


def plain(own, offsets, centering):
    """The machine whose centered parameters are given."""
    if not centering:
        return own
    m = offsets.visible if own.log_variance is None else offsets.visible / jnp.exp(own.log_variance)
    return own._replace(
        visible_bias=own.visible_bias - own.weights @ offsets.hidden,
        hidden_bias=own.hidden_bias - m @ own.weights,
    )


def expected_step(machines, state, batch, kind, centering, hparams):
    """Parameters, velocity and offsets after a step."""
    v = seen(batch, kind)
    active = jnp.mean(hidden_mean(state.params, v, kind), axis=0)
    offsets = Offsets(
        0.99 * state.offsets.visible + 0.01 * jnp.mean(v, axis=0),
        0.99 * state.offsets.hidden + 0.01 * active,
    )
    own = state.params
    if centering:
        zero = jax.tree.map(jnp.zeros_like, own)
        # plain(own) is affine in own's biases
        moved = plain(
            zero._replace(weights=own.weights, log_variance=own.log_variance), offsets, True
        )
        own = own._replace(
            visible_bias=own.visible_bias - moved.visible_bias,
            hidden_bias=own.hidden_bias - moved.hidden_bias,
        )
    gradient = jax.grad(
        lambda own: objective(
            machines, plain(own, offsets, centering), v, kind, offsets.hidden, hparams
        )
    )(own)
    velocity = jax.tree.map(
        lambda u, g: hparams["momentum"] * u + g, state.optimizer.trace, gradient
    )
    update = jax.tree.map(lambda u: hparams["learning_rate"] * u, velocity)
    if own.log_variance is not None:
        slow = hparams["variance_rate"] * update.log_variance
        update = update._replace(log_variance=slow)
    params = plain(jax.tree.map(jnp.add, own, update), offsets, centering)
    return params, velocity, offsets, jnp.sqrt(sum(jnp.sum(u**2) for u in jax.tree.leaves(update)))


@pytest.mark.parametrize("centering", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_climbs_the_objective(machines, kind, centering):
    """With all of its terms, with each left out, and with each changed."""
    method, state, batch = problem(machines, kind, centering)
    hparams = dict(method.hparams)
    assert hparams == HPARAMS | ({"variance_rate": 0.1} if kind == "gaussian" else {})

    units = Units(
        {"gaussian": boltzmann.gaussian(), "labelled": boltzmann.softmax(2)}.get(
            kind, boltzmann.bernoulli()
        ),
        boltzmann.gaussian_hidden() if kind == "code" else boltzmann.bernoulli_hidden(),
    )
    v = seen(batch, kind)

    @machines.whole
    def both(hparams):
        expected = expected_step(machines, state, batch, kind, centering, hparams)
        after, info = method.step(jax.random.key(1), state, batch, hparams)
        found = after.params, after.optimizer.trace, after.offsets, info["update_norm"]
        likelihood = jnp.mean(log_likelihood(machines, state.params, v, kind))
        free = jnp.mean(boltzmann.free_energy(state.params, v, units))
        return found, expected, info, likelihood, free

    everything = both(hparams)[0]
    for name in hparams:
        for value in (0.0, 2 * hparams[name]):
            found, expected, info, likelihood, free = both({**hparams, name: value})
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_allclose(
                    machines.flat(ours), machines.flat(theirs), rtol=1e-9, atol=1e-12
                )
            moved = machines.flat(found[0]) - machines.flat(everything[0])
            assert np.abs(moved).max() > 1e-5, name
    np.testing.assert_allclose(info["log_likelihood"], likelihood, rtol=1e-9)
    np.testing.assert_allclose(info["free_energy"], free, rtol=1e-9)


@pytest.mark.parametrize(
    "estimator",
    [
        boltzmann.contrastive_divergence(2),
        boltzmann.persistent(chains=4),
        boltzmann.fast_persistent(chains=4),
        boltzmann.parallel_tempering(chains=4, temperatures=3),
    ],
    ids=["CD", "PCD", "FPCD", "PT"],
)
def test_a_step_follows_its_estimator_and_keeps_the_chains(machines, estimator):
    method = rbm(
        2, estimator=estimator, centering=False, momentum=0.0, weight_decay=0.0, learning_rate=0.3
    )
    image = machines.states(4)[[1, 4, 9, 9, 14]].reshape(5, 2, 2, 1)
    hparams = dict(method.hparams)

    def once(state, key):
        own = jax.random.split(key)[1]  # the first one binarizes
        v = image.reshape(5, 4)
        gradient, carried, info = estimator.gradient(
            own, state.params, v, state.estimator, hparams, boltzmann.BERNOULLI
        )
        expected = jax.tree.map(lambda p, g: p + 0.3 * g, state.params, gradient), carried
        state, reported = method.step(key, state, {"image": image}, hparams)
        return state, ((state.params, state.estimator), expected, info, reported)

    @machines.whole
    def twice():
        state = method.init(jax.random.key(0), {"image": image}, hparams)
        state = state._replace(params=jax.tree.map(jnp.asarray, machines.make(4, 2)))
        return jax.lax.scan(once, state, jax.random.split(jax.random.key(1), 2))[1]

    found, expected, info, reported = twice()
    np.testing.assert_allclose(machines.flat(found), machines.flat(expected), rtol=1e-10)
    assert reported.keys() == {"free_energy", "update_norm", *info}
    for name, value in info.items():
        np.testing.assert_array_equal(reported[name], value)


@pytest.mark.parametrize("hidden", [boltzmann.bernoulli_hidden(), boltzmann.gaussian_hidden()])
def test_the_defaults_of_real_units_train(hidden):
    """On images with pixels that never vary, whose variance begins at its least."""
    random = np.random.RandomState(0)
    varies = np.arange(64) > 20
    v = (random.uniform(size=(4, 64)) * varies)[random.randint(0, 4, 500)]
    v = v + 0.1 * random.normal(size=(500, 64)) * varies
    images = v.reshape(500, 8, 8, 1).astype(np.float32)
    method = rbm(16, visible=boltzmann.gaussian(), hidden=hidden)
    hparams = dict(method.hparams)

    @jax.jit
    @jax.vmap
    def train(key):
        def step(state, key):
            choice, key = jax.random.split(key)
            image = jnp.asarray(images)[jax.random.randint(choice, (64,), 0, 500)]
            return method.step(key, state, {"image": image}, hparams)

        first = method.init(key, {"image": images[:64]}, hparams)
        last, info = jax.lax.scan(step, first, jax.random.split(key, 400))
        scores = jax.lax.map(
            lambda state: method.evaluate(key, state, {"image": images}, hparams)["loss"],
            jax.tree.map(lambda *x: jnp.stack(x), first, last),
        )
        return *jnp.mean(scores, axis=1), info["update_norm"]

    before, after, norms = jax.device_get(train(jax.random.split(jax.random.key(0), 3)))
    assert np.all(np.isfinite(norms))
    assert np.all(after < before - 3)


def test_what_is_left_out_is_what_is_documented(machines):
    found = machines.defaults(rbm)
    assert found["sample_steps"] == 1000
    assert (found["classes"], found["centering"], found["exact_likelihood"]) == (0, True, False)
    numbers = {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 1e-4}
    numbers |= {"sparsity_weight": 0.0, "sparsity_target": 0.1}
    assert rbm(2).hparams == numbers
    real = rbm(2, visible=boltzmann.gaussian(), optimizer=optax.identity()).hparams
    numbers.pop("momentum")
    assert real == pytest.approx(numbers | {"learning_rate": 1e-3, "variance_rate": 0.1})


def test_the_default_learning_rate_is_that_of_the_units():
    assert rbm(2).hparams["learning_rate"] == 0.1
    assert rbm(2, classes=3).hparams["learning_rate"] == 0.1
    assert rbm(2, hidden=boltzmann.gaussian_hidden()).hparams["learning_rate"] == 0.1
    assert rbm(2, visible=boltzmann.gaussian()).hparams["learning_rate"] == pytest.approx(1e-3)
    assert rbm(2, visible=boltzmann.gaussian(), learning_rate=0.2).hparams["learning_rate"] == 0.2


def test_a_state_begins_at_the_data(machines):
    """Small weights, no hidden bias, the marginals of the data; the optimizer and chains fresh."""
    random = np.random.RandomState(0)
    image = random.uniform(size=(50, 2, 2, 1))
    label = random.randint(0, 3, 50)
    method = rbm(
        300, classes=3, estimator=boltzmann.persistent(chains=7), stochastic_binarization=False
    )
    state = machines.whole(method.init)(
        jax.random.key(0), {"image": image, "label": label}, dict(method.hparams)
    )
    assert state.params.weights.shape == (7, 300)
    np.testing.assert_allclose(np.std(state.params.weights), 0.01, rtol=0.1)
    assert abs(np.mean(state.params.weights)) < 1e-3
    np.testing.assert_array_equal(state.params.hidden_bias, np.zeros(300))
    shares = np.bincount(label, minlength=3) / 50
    np.testing.assert_allclose(state.offsets.visible[4:], shares)
    p = np.exp(state.params.visible_bias[4:])
    np.testing.assert_allclose(p / p.sum(), shares, atol=0.02)
    np.testing.assert_array_equal(state.offsets.hidden, np.full(300, 0.5))
    np.testing.assert_allclose(state.image, np.mean(image, axis=0))
    assert state.estimator.shape == (7, 7)
    assert not any(np.any(x) for x in jax.tree.leaves(state.optimizer))
    real = rbm(2, visible=boltzmann.gaussian())
    begin = machines.whole(real.init)
    params = begin(jax.random.key(0), {"image": image}, dict(real.hparams)).params
    v = image.reshape(50, 4)
    np.testing.assert_allclose(params.visible_bias, v.mean(axis=0))
    np.testing.assert_allclose(np.exp(params.log_variance), v.var(axis=0) + 0.01)


def test_the_least_of_everything_is_enough():
    rbm(1, sample_steps=1, classes=2)
