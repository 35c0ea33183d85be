"""VAEs of categories and of latents of several kinds: bounds by enumeration, and reductions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import logsumexp, softmax

from ae_jax import methods, nets, training
from ae_jax.core import InputError, Network
from ae_jax.methods import bounds, latent_regularisers, posteriors, priors
from ae_jax.probability import categorical, concrete, gaussian
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(3)
X = np.random.default_rng(0).normal(size=(4, 3))
BATCH = {"image": X}
LOGITS = np.array([0.5, -0.3])
MANY = {"image": np.zeros((20_000, 1))}


def constant(outputs):
    """An encoder that says the same of everything."""
    wide = np.asarray(outputs)[None]
    return Network(lambda key, x: {}, lambda params, x: jnp.tile(jnp.asarray(wide), (len(x), 1)))


def of_first(function):
    """A decoder that looks at the first latent."""
    return Network(lambda key, x: {}, lambda params, z: function(z[:, :1]))


def evaluated(method, batch=MANY):
    @jax.jit
    def values(batch):
        hparams = dict(method.hparams)
        state = method.init(KEY, batch, hparams)
        one = {"image": batch["image"][:1]}
        return (
            method.evaluate(KEY, state, batch, hparams),
            method.views.log_likelihood(KEY, state, one, hparams),
        )

    return values(batch)


def binary(posterior, prior, decoder, **options):
    """A VAE of one variable of two categories, of x ~ N(decoder(z), 0.1)."""
    parts = {"posterior": posterior, "prior": prior}
    likelihood = methods.observations.gaussian(0.1)
    encoder = constant(LOGITS)
    return methods.vae(encoder, decoder, 2, likelihood=likelihood, **parts, **options)


def log_normal(mean):
    return -(np.asarray(mean) ** 2) / 0.2 - np.log(2 * np.pi * 0.1) / 2


def test_categories_have_the_bound_of_the_discrete_model():
    decoder = of_first(lambda first: 1.5 * first - 0.5)
    parts = posteriors.categorical(2), priors.categorical(2)
    found, likelihood = evaluated(binary(*parts, decoder, importance_samples=20_000))
    errors, p = log_normal([1.0, -0.5]), np.exp(LOGITS) / np.sum(np.exp(LOGITS))
    np.testing.assert_allclose(found["kl"], np.log(2) + p @ np.log(p), rtol=1e-9)
    np.testing.assert_allclose(np.mean(found["reconstruction"]), -p @ errors, rtol=0.02)
    np.testing.assert_allclose(likelihood, logsumexp(errors) - np.log(2), atol=0.03)


def test_relaxed_draws_with_the_divergence_of_categories_are_no_bound():
    # p(x | z) is large where z is no category, and almost nothing at both
    decoder = of_first(lambda first: 4 * (first - 0.5))
    posterior = posteriors.concrete(2, temperature=5.0)
    found, likelihood = evaluated(
        binary(posterior, priors.concrete(2), decoder, importance_samples=20_000)
    )
    # of the relaxed model, by quadrature over its prior
    share = (np.arange(200_000) + 0.5) / 200_000
    z = np.stack([share, 1 - share], 1)
    prior = np.exp(concrete.log_prob(z, np.zeros_like(z), 0.5))
    relaxed = np.log(np.mean(prior * np.exp(log_normal(4 * (share - 0.5)))))
    discrete = log_normal(2.0)
    np.testing.assert_allclose(likelihood, relaxed, atol=0.05)
    assert np.mean(found["elbo"]) < relaxed
    kl = categorical.kl_uniform(LOGITS[None])[0]
    mistaken = -np.mean(found["reconstruction"]) - kl
    assert mistaken > relaxed > discrete
    # which is what posterior and prior do not come to
    with pytest.raises(InputError, match="on the simplex of 2 categories needs a prior there"):
        binary(posterior, priors.categorical(2), decoder)


def joint(regularisers=(), **options):
    method = methods.vae(
        nets.mlp(7, (5,), "tanh"),
        nets.mlp(3, (5,), "tanh"),
        5,
        likelihood=methods.observations.gaussian(0.5),
        posterior=posteriors.joint(style=posteriors.gaussian(), kind=posteriors.concrete(3)),
        prior=priors.joint(style=priors.normal(), kind=priors.concrete(3)),
        optimizer=optax.identity(),
        regularisers=regularisers,
        **options,
    )
    return method, drawn(method, BATCH)


def test_a_joint_posterior_is_its_parts_side_by_side():
    posterior = posteriors.joint(style=posteriors.gaussian(), kind=posteriors.concrete(3, 2))
    prior = priors.joint(style=priors.by_class(2), kind=priors.concrete(3, 2))
    outputs = np.random.default_rng(1).normal(size=(4, 10))
    hparams = {"temperature": 0.7, "prior_temperature": 0.4}
    own = prior.init(KEY, X, 8)
    params, given = {"prior": own}, np.eye(2)[[0, 1, 1, 0]]
    assert (posterior.outputs(8), list(own), prior.classes) == (10, ["style"], 2)

    @jax.jit
    def found(outputs):
        read = posterior.read(outputs, 8, hparams)
        z, told = posterior.sample(KEY, read), prior.of(given)
        return (
            z,
            posterior.log_prob(z, read),
            posterior.kl_standard(read),
            posterior.mean(read),
            told.log_prob(z, params, hparams),
            told.sample(KEY, params, (4, 8), hparams),
        )

    z, nats, kl, mean, prior_nats, first = found(outputs)
    mean_, log_var, logits = outputs[:, :2], outputs[:, 2:4], outputs[:, 4:].reshape(4, 2, 3)
    np.testing.assert_allclose(z[:, :2], gaussian.sample(KEY, mean_, log_var), rtol=1e-12)
    kinds = np.asarray(z[:, 2:]).reshape(4, 2, 3)
    np.testing.assert_allclose(kinds.sum(axis=2), 1, rtol=1e-12)
    expected = gaussian.log_prob(z[:, :2], mean_, log_var) + concrete.log_prob(kinds, logits, 0.7)
    np.testing.assert_allclose(nats, expected, rtol=1e-10)
    expected = gaussian.kl_standard(mean_, log_var) + categorical.kl_uniform(logits)
    np.testing.assert_allclose(kl, expected, rtol=1e-10)
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(mean, np.concatenate([mean_, p.reshape(4, 6)], 1), rtol=1e-10)
    part = priors.by_class(2)
    style = part.of(given).log_prob(z[:, :2], {"prior": own["style"]}, {})
    expected = style + concrete.log_prob(kinds, np.zeros_like(logits), 0.4)
    np.testing.assert_allclose(prior_nats, expected, rtol=1e-10)
    assert first.shape == (4, 8)


def test_a_schedule_anneals_the_relaxation():
    posterior, logits = posteriors.concrete(3), np.random.default_rng(2).normal(size=(4, 3))
    schedule = training.geometric(10, "temperature", start=2.0)

    @jax.jit
    def drawn(step):
        hparams = schedule.apply(step, {**posterior.hparams, **schedule.hparams})
        return posterior.sample(KEY, posterior.read(logits, 3, hparams))

    noisy = logits + np.asarray(jax.random.gumbel(KEY, (4, 1, 3), float))[:, 0]
    for step, temperature in ((0, 2.0), (5, np.sqrt(4 / 3)), (30, 2 / 3)):
        np.testing.assert_allclose(drawn(step), softmax(noisy / temperature, axis=1), rtol=1e-6)


def test_capacities_are_of_each_part_and_reduce_to_one():
    held = latent_regularisers.capacities(30.0, style=2.0, kind=5.0)
    method, state = joint([held], beta=0.0)
    plain, _ = joint(beta=0.0)

    @jax.jit
    def both(state):
        return [
            m.evaluate(KEY, state, BATCH, dict(m.hparams))
            | {"step": m.step(KEY, state, BATCH, dict(m.hparams))[1]}
            for m in (method, plain)
        ]

    found, bare = both(state)
    dense = state.params["encoder"]
    hidden = np.tanh(X @ dense["Dense_0"]["kernel"] + np.asarray(dense["Dense_0"]["bias"])[None])
    outputs = np.asarray(hidden @ dense["Dense_1"]["kernel"]) + np.asarray(dense["Dense_1"]["bias"])
    each = np.asarray(gaussian.kl_standard(outputs[:, :2], outputs[:, 2:4]))
    style = np.mean(each)
    kind = np.mean(categorical.kl_uniform(outputs[:, 4:]))
    # no more is asked of three categories than log 3
    excess = 30 * (abs(style - 2) + abs(kind - np.log(3)))
    # of each example's own distance the mean is another number
    assert np.mean(np.abs(each - 2)) > abs(style - 2) + 0.1
    np.testing.assert_allclose(found["step"]["loss"], bare["step"]["loss"] + excess, rtol=1e-10)
    np.testing.assert_allclose(found["step"]["style_kl"], style, rtol=1e-10)
    np.testing.assert_allclose(found["step"]["kind_kl"], kind, rtol=1e-10)
    # what is reported stays a bound's
    np.testing.assert_allclose(found["elbo"], bare["elbo"], rtol=1e-12)
    assert {"capacity_weight", "style_capacity", "kind_capacity"} < set(method.hparams)


def test_one_part_alone_is_that_part():
    def of(posterior, prior, regulariser):
        return methods.vae(
            nets.mlp(4, (5,), "tanh"),
            nets.mlp(3, (5,), "tanh"),
            2,
            likelihood=methods.observations.gaussian(0.5),
            posterior=posterior,
            prior=prior,
            regularisers=[regulariser],
            optimizer=optax.identity(),
            beta=0.5,
        )

    alone = of(posteriors.gaussian(), priors.normal(), latent_regularisers.capacity(3.0, 1.5))
    named = of(
        posteriors.joint(style=posteriors.gaussian()),
        priors.joint(style=priors.normal()),
        latent_regularisers.capacities(3.0, style=1.5),
    )
    state = drawn(alone, BATCH)

    @jax.jit
    def stepped(state):
        return [m.step(KEY, state, BATCH, dict(m.hparams)) for m in (alone, named)]

    (first, info), (second, other) = stepped(state)
    np.testing.assert_allclose(other["loss"], info["loss"], rtol=1e-14)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-13), first.params, second.params
    )


def test_refuses():
    gauss, kind = posteriors.gaussian(), posteriors.concrete(3)
    with pytest.raises(InputError, match="a and b may have any size"):
        posteriors.joint(a=gauss, b=gauss)
    with pytest.raises(InputError, match="nothing is joined"):
        priors.joint()
    with pytest.raises(InputError, match="b is the function gaussian: call it"):
        posteriors.joint(a=kind, b=posteriors.gaussian)
    with pytest.raises(InputError, match="b has another default"):
        posteriors.joint(a=kind, b=posteriors.concrete(2, temperature=0.1))
    with pytest.raises(InputError, match=r"3 latents are to be shared: a 1 or more, b 3"):
        posteriors.joint(a=gauss, b=kind).outputs(3)
    with pytest.raises(InputError, match="classes"):
        priors.joint(a=priors.by_class(2), b=priors.concrete(3)._replace(of=len, classes=3))
    with pytest.raises(InputError, match="categories is 1: use"):
        posteriors.concrete(1)
    with pytest.raises(InputError, match="variables is 0: use"):
        priors.categorical(3, 0)
    with pytest.raises(InputError, match=r"3 categories are 3 latents, .* got 4 latents"):
        kind.read(jnp.zeros((2, 4)), 4, {"temperature": 1.0})
    with pytest.raises(InputError, match=r"outputs of a, b, side by side, \[B, 7\], and gives"):
        posteriors.joint(a=gauss, b=kind).read(jnp.zeros((2, 4)), 5, {"temperature": 1.0})
    with pytest.raises(InputError, match="posterior's parts are style, kind: name those"):
        joint([latent_regularisers.capacities(style=1.0)])
    with pytest.raises(InputError, match="the product of style: plane, kind: simplex of 3 categ"):
        methods.vae(
            nets.mlp(7, ()),
            nets.mlp(3, ()),
            5,
            posterior=posteriors.joint(style=gauss, kind=kind),
            bound=bounds.elbo(),
        )
