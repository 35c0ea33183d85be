"""VAEs that are told labels, of all examples or of some."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm

from ae_jax import losses, methods, nets
from ae_jax.core import InputError
from ae_jax.methods import bounds, priors
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

KEY, CLASSES = jax.random.key(3), 3
X = np.random.default_rng(0).uniform(size=(5, 2, 2, 1))
LABEL = np.array([0, 2, 1, 2, 0])


def conditional(classes=CLASSES, **options):
    """A VAE of two latents whose encoder is shown planes, and whose decoder latents and labels."""
    given = {"likelihood": methods.observations.gaussian(0.5), **options}
    return methods.vae(nets.mlp(4, ()), nets.mlp((2, 2, 1), ()), 2, classes=classes, **given)


def semi(**options):
    given = {"likelihood": methods.observations.gaussian(0.5), **options}
    networks = nets.mlp(4, ()), nets.mlp((2, 2, 1), ()), nets.mlp(CLASSES, ())
    return methods.semi_supervised_vae(*networks, 2, CLASSES, **given)


def dense(params, x):
    own = params["Dense_0"]
    return np.asarray(x).reshape(len(x), -1) @ np.asarray(own["kernel"]) + np.asarray(own["bias"])


def planes(x, label):
    """Labels one-hot behind the channels of every pixel."""
    told = np.eye(CLASSES)[label][:, None, None]
    return np.concatenate([x, np.broadcast_to(told, (*x.shape[:3], CLASSES))], axis=3)


def minus_bound(params, x, label, key):
    """-log p(x | z, y) + KL, by hand, with the noise that the method draws."""
    mean, log_var = np.split(dense(params["encoder"], planes(x, label)), 2, axis=1)
    noise = jax.random.normal(jax.random.split(key, 3)[0], (mean.size,), float).reshape(mean.shape)
    z = mean + np.exp(log_var / 2) * np.asarray(noise)
    made = dense(params["decoder"], np.concatenate([z, np.eye(CLASSES)[label]], axis=1))
    error = np.sum((x.reshape(len(x), -1) - made) ** 2, axis=1) + 2 * np.log(np.pi)
    return error + (mean**2 + np.exp(log_var) - log_var - 1).sum(axis=1) / 2


def test_both_networks_are_told_the_label():
    method, batch = conditional(), {"image": X, "label": LABEL}
    state, hparams = drawn(method, batch), dict(method.hparams)

    @jax.jit
    def seen(state, batch):
        views = method.views
        return (
            method.evaluate(KEY, state, batch, hparams)["loss"],
            views.encode(state, batch, hparams),
            views.reconstruct(state, batch, hparams),
            views.generate(KEY, state, batch, hparams),
        )

    loss, code, made, generated = seen(state, batch)
    np.testing.assert_allclose(loss, minus_bound(state.params, X, LABEL, KEY), rtol=1e-10)
    mean = dense(state.params["encoder"], planes(X, LABEL))[:, :2]
    told = np.concatenate([mean, np.eye(CLASSES)[LABEL]], axis=1)
    np.testing.assert_allclose(code, told, rtol=1e-10)
    expected = dense(state.params["decoder"], told).reshape(X.shape)
    np.testing.assert_allclose(made, expected, rtol=1e-10)
    z = np.asarray(jax.random.normal(KEY, (5, 2), float))
    told = np.concatenate([z, np.eye(CLASSES)[LABEL]], axis=1)
    expected = dense(state.params["decoder"], told).reshape(X.shape)
    np.testing.assert_allclose(generated, expected, rtol=1e-10)
    assert np.max(np.abs(seen(state, {**batch, "label": (LABEL + 1) % 3})[0] - loss)) > 1e-3


def test_networks_that_look_at_no_label_are_the_plain_vae():
    plain, told = (conditional(count, bound=bounds.elbo(samples=2)) for count in (0, CLASSES))
    batch = {"image": X, "label": LABEL}
    state, own = drawn(plain, batch), drawn(told, batch)
    encoder = own.params["encoder"]["Dense_0"]
    # pixels stand every CLASSES + 1 places, and labels between them
    kernel = jnp.zeros_like(encoder["kernel"]).at[:: CLASSES + 1]
    kernel = kernel.set(state.params["encoder"]["Dense_0"]["kernel"])
    bias = state.params["encoder"]["Dense_0"]["bias"]
    decoder = state.params["decoder"]["Dense_0"]
    below = jnp.concatenate([decoder["kernel"], jnp.zeros((CLASSES, 4))])
    params = {
        "encoder": {"Dense_0": {"kernel": kernel, "bias": bias}},
        "decoder": {"Dense_0": {**decoder, "kernel": below}},
    }
    hparams = dict(plain.hparams)
    first = jax.jit(plain.evaluate)(KEY, state, batch, hparams)
    second = jax.jit(told.evaluate)(KEY, own._replace(params=params), batch, hparams)
    chex.assert_trees_all_close(first, second, rtol=1e-12)


def test_importance_weights_are_of_the_label():
    method, batch = conditional(importance_samples=3), {"image": X, "label": LABEL}
    state, hparams = drawn(method, batch), dict(method.hparams)
    found = jax.jit(method.views.log_likelihood)(KEY, state, batch, hparams)
    mean, log_var = np.split(dense(state.params["encoder"], planes(X, LABEL)), 2, axis=1)
    weights = []
    for key in jax.random.split(KEY, 3):
        noise = np.asarray(jax.random.normal(key, (10,), float)).reshape(5, 2)
        z = mean + np.exp(log_var / 2) * noise
        made = dense(state.params["decoder"], np.concatenate([z, np.eye(CLASSES)[LABEL]], axis=1))
        error = np.sum((X.reshape(5, -1) - made) ** 2, axis=1) + 2 * np.log(np.pi)
        weights.append(-error - (z**2).sum(axis=1) / 2 + (noise**2 + log_var).sum(axis=1) / 2)
    np.testing.assert_allclose(found, logsumexp(weights, axis=0) - np.log(3), rtol=1e-10)


def test_a_class_that_is_not_known_is_summed_over():
    each, q = np.array([[3.0, 4.0, 5.0]]), np.array([[0.7, 0.2, 0.1]])
    found = losses.class_marginal(each, np.log(q))
    np.testing.assert_allclose(found, [2.59818144746], atol=1e-10)
    # lowest where q(y) is proportional to exp(-L_y)
    best = np.array([[0.665240955775, 0.244728471055, 0.0900305731704]])
    for logits in (np.log(best), -each):
        lowest = losses.class_marginal(each, logits)
        np.testing.assert_allclose(lowest, [2.59239403556], atol=1e-10)
    # a class that is certain
    np.testing.assert_allclose(losses.class_marginal(each, np.array([[0.0, -800.0, -1e4]])), 3.0)
    # equal losses and probabilities: log C less
    np.testing.assert_allclose(
        losses.class_marginal(np.full((1, 4), 2.0), np.zeros((1, 4))), 2 - np.log(4)
    )
    with pytest.raises(InputError, match="shapes must be equal"):
        losses.class_marginal(np.zeros((2, 3)), np.zeros((2, 4)))


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_a_step_by_hand(weight):
    rate = 0.2
    method = semi(optimizer=optax.identity(), learning_rate=rate, classification_weight=weight)
    label = np.array([0, -1, 1, -1, -1])
    batch = {"image": X, "label": label}
    state, hparams = drawn(method, batch), dict(method.hparams)
    after, info = jax.jit(method.step)(KEY, state, batch, hparams)
    pair_key = jax.random.split(KEY)[0]

    def loss(params):
        each = np.stack(
            [minus_bound(params, X, np.full(5, y), pair_key) for y in range(CLASSES)], axis=1
        )
        each += np.log(CLASSES)
        log_q = log_softmax(dense(params["classifier"], X), axis=1)
        summed = np.sum(np.exp(log_q) * (each + log_q), axis=1)
        bound = np.where(label >= 0, each[np.arange(5), label], summed)
        nll = -np.mean(log_q[[0, 2], [0, 1]])
        return np.mean(bound) + weight * nll

    np.testing.assert_allclose(info["loss"], loss(state.params), rtol=1e-10)
    moved = jax.tree.map(lambda old, new: (old - new) / rate, state.params, after.params)
    for seed in (0, 1):
        leaves, tree = jax.tree.flatten(state.params)
        random = np.random.default_rng(seed)
        ways = [random.normal(size=leaf.shape) for leaf in leaves]
        ends = [
            jax.tree.unflatten(tree, [p + s * w for p, w in zip(leaves, ways, strict=True)])
            for s in (1e-5, -1e-5)
        ]
        slope = sum(np.sum(g * w) for g, w in zip(jax.tree.leaves(moved), ways, strict=True))
        np.testing.assert_allclose(slope, (loss(ends[0]) - loss(ends[1])) / 2e-5, rtol=1e-6)


def test_with_all_labels_and_no_weight_it_is_the_conditional_vae():
    plain, method = (
        conditional(bound=bounds.iwae(2)),
        semi(bound=bounds.iwae(2), classification_weight=0.0),
    )
    batch = {"image": X, "label": LABEL}
    state, own = drawn(plain, batch), drawn(method, batch)
    own = own._replace(params={**own.params, **state.params})
    found = jax.jit(method.evaluate)(KEY, own, batch, dict(method.hparams))
    first = jax.random.split(KEY)[0]
    expected = jax.jit(plain.evaluate)(first, state, batch, dict(plain.hparams))
    np.testing.assert_allclose(found["loss"], expected["loss"] + np.log(CLASSES), rtol=1e-12)
    wrong = np.argmax(dense(own.params["classifier"], X), axis=1) != LABEL
    np.testing.assert_array_equal(found["error"], wrong)


def test_views_look_at_no_label_that_is_not_known():
    method = semi(importance_samples=2)
    label = np.array([0, -1, 1, -1, -1])
    batch, unknown = {"image": X, "label": label}, {"image": X, "label": np.full(5, -1)}
    state, hparams = drawn(method, batch), dict(method.hparams)

    @jax.jit
    def seen(state, batch):
        views = method.views
        return (
            views.encode(state, batch, hparams),
            views.reconstruct(state, batch, hparams),
            views.log_likelihood(KEY, state, batch, hparams),
            views.predict(state, batch, hparams),
            method.evaluate(KEY, state, batch, hparams)["bound"],
        ), views.generate(KEY, state, batch, hparams)

    first, generated = seen(state, batch)
    second, drawn_too = seen(state, unknown)
    chex.assert_trees_all_equal(first, second)
    logits = dense(state.params["classifier"], X)
    np.testing.assert_allclose(first[3], logits, rtol=1e-12)
    thought = np.argmax(logits, axis=1)
    mean = dense(state.params["encoder"], planes(X, thought))[:, :2]
    told = np.concatenate([mean, np.eye(CLASSES)[thought]], axis=1)
    np.testing.assert_allclose(first[0], told, rtol=1e-10)
    assert np.isfinite(generated).all()
    assert np.isfinite(drawn_too).all()
    plain = conditional(importance_samples=2)
    of_classes = [
        plain.views.log_likelihood(
            key, state, {"image": X, "label": np.full(5, y)}, dict(plain.hparams)
        )
        for y, key in enumerate(jax.random.split(KEY, CLASSES))
    ]
    expected = logsumexp(of_classes, axis=0) - np.log(CLASSES)
    np.testing.assert_allclose(first[2], expected, rtol=1e-10)


def test_refuses():
    batch = {"image": X}
    for method in (conditional(), semi()):
        with pytest.raises(InputError, match="classes need data with labels"):
            method.init(KEY, batch, dict(method.hparams))
        with pytest.raises(InputError, match=r"labels must be from 0 to 2.*, got 0 to 3"):
            method.init(KEY, {**batch, "label": np.array([0, 1, 2, 3, 0])}, dict(method.hparams))
    with pytest.raises(InputError, match="labels must be from 0 to 2, got -1 to 2"):
        conditional().init(KEY, {**batch, "label": LABEL - (LABEL == 0)}, {"beta": 1.0})
    with pytest.raises(InputError, match="classes is 1: use a whole number, 2 or more"):
        methods.semi_supervised_vae(*[nets.mlp(4, ())] * 3, 2, 1)
    with pytest.raises(InputError, match="classes is -1: use a whole number, 0 or more"):
        conditional(-1)
    wide = methods.semi_supervised_vae(
        nets.mlp(4, ()), nets.mlp((2, 2, 1), ()), nets.mlp(4, ()), 2, CLASSES
    )
    with pytest.raises(InputError, match="give it 3 outputs"):
        wide.init(KEY, {**batch, "label": LABEL}, dict(wide.hparams))


def test_a_prior_of_each_class_is_in_bound_likelihood_and_samples():
    method = conditional(prior=priors.by_class(CLASSES), importance_samples=3)
    plain = conditional(importance_samples=3, bound=bounds.elbo("sampled"))
    batch, hparams = {"image": X, "label": LABEL}, dict(method.hparams)
    state = drawn(method, batch)
    own = state.params["prior"]
    start = jax.tree.map(jnp.zeros_like, own)

    def seen(method, state, batch):
        return by(method.evaluate, method.views, state, batch)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def by(evaluate, views, state, batch):
        return (
            evaluate(KEY, state, batch, hparams),
            views.log_likelihood(KEY, state, batch, hparams),
            views.generate(KEY, state, batch, hparams),
        )

    # at the start every class has N(0, I)
    networks = {name: state.params[name] for name in ("encoder", "decoder")}
    first = seen(method, state._replace(params={**networks, "prior": start}), batch)
    relative = seen(plain, drawn(plain, batch)._replace(params=networks), batch)
    chex.assert_trees_all_close(first, relative, rtol=1e-12)

    mean, log_var = np.split(dense(networks["encoder"], planes(X, LABEL)), 2, axis=1)
    noise = jax.random.normal(jax.random.split(KEY, 3)[0], (mean.size,), float).reshape(mean.shape)
    z = mean + np.exp(log_var / 2) * np.asarray(noise)
    centre, spread = (np.asarray(own[name])[LABEL] for name in ("mean", "log_var"))
    nats = norm.logpdf(z, mean, np.exp(log_var / 2)) - norm.logpdf(z, centre, np.exp(spread / 2))
    values, _, made = seen(method, state, batch)
    np.testing.assert_allclose(values["kl"], nats.sum(axis=1), rtol=1e-10)
    latent = centre + np.exp(spread / 2) * np.asarray(jax.random.normal(KEY, (5, 2), float))
    told = np.concatenate([latent, np.eye(CLASSES)[LABEL]], axis=1)
    expected = dense(networks["decoder"], told).reshape(X.shape)
    np.testing.assert_allclose(made, expected, rtol=1e-10)


def test_several_factors_are_told_side_by_side():
    sizes = (3, 2)
    factors = np.stack([LABEL, LABEL % 2], axis=1)
    method, batch = conditional(sizes, prior=priors.by_class(sizes)), {"image": X}
    batch["factors"] = factors
    code = method.views.encode(drawn(method, batch), batch, dict(method.hparams))
    np.testing.assert_array_equal(code[:, 2:5], np.eye(3)[factors[:, 0]])
    np.testing.assert_array_equal(code[:, 5:], np.eye(2)[factors[:, 1]])
    shape = jax.eval_shape(lambda key: method.views.sample(key, drawn(method, batch), 4, {}), KEY)
    assert shape.shape == (4, 2, 2, 1)
    for wrong, message in (
        ({"factors": factors[:, :1]}, "classes are those of 2 factors, and the data have 1"),
        ({}, "classes are those of 2 factors, and the data have none"),
        ({"factors": factors + 1}, r"factors must be from 0 to below \[3, 2\], and reach from"),
    ):
        with pytest.raises(InputError, match=message):
            method.init(KEY, {"image": X, **wrong}, dict(method.hparams))


def test_classes_that_nobody_tells_are_refused():
    with pytest.raises(InputError, match="is of 3 classes, and the VAE is told 0"):
        conditional(0, prior=priors.by_class(3))
    with pytest.raises(InputError, match="a prior of each class needs classes"):
        priors.by_class(())
    with pytest.raises(InputError, match=r"classes\[1\] is 0"):
        conditional((3, 0))
    with pytest.raises(InputError, match="is of 4 classes, and the VAE is told 3"):
        conditional(prior=priors.by_class(4))
