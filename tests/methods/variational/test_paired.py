"""What two images of a pair share, by hand and in a step."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import bounds, flows, posteriors
from ae_jax.methods.parts.posteriors import Gaussian
from ae_jax.methods.variational.paired import shared_posteriors
from ae_jax.probability import gaussian
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

KEY, SIZE = jax.random.key(3), 3
MEANS = np.array([[0.0, 1.0, -0.5], [0.1, -1.0, 0.7]])
VARIANCES = np.array([[0.5, 0.8, 1.2], [0.6, 0.7, 0.3]])
FIRST, SECOND = (Gaussian(m[None], np.log(v)[None]) for m, v in zip(MEANS, VARIANCES, strict=True))
AVERAGES = {"group": (0.05, 0.55), "multilevel": (0.0454545454545, 0.545454545455)}


def one_way(first, second):
    (m, v), (n, w) = ((x.mean[0], jnp.exp(x.log_var[0])) for x in (first, second))
    return 0.5 * (v / w + (m - n) ** 2 / w - 1 + jnp.log(w / v))


def test_divergences_of_each_dimension_are_symmetric():
    found = gaussian.symmetric_kls(*FIRST, *SECOND)[0]
    np.testing.assert_allclose(found, [0.0175, 2.68303571429, 2.0625], atol=1e-11)
    both = one_way(FIRST, SECOND), one_way(SECOND, FIRST)
    np.testing.assert_allclose(both[0], [0.016160778397, 2.86180573226, 3.20685281944], atol=1e-10)
    np.testing.assert_allclose(found, (both[0] + both[1]) / 2, rtol=1e-12)
    np.testing.assert_array_equal(found, gaussian.symmetric_kls(*SECOND, *FIRST)[0])


@pytest.mark.parametrize("average", AVERAGES)
def test_a_shared_dimension_gets_the_average(average):
    first, second = shared_posteriors(FIRST, SECOND, average)
    for name, own, found in (("first", FIRST, first), ("second", SECOND, second)):
        mean, variance = AVERAGES[average]
        np.testing.assert_allclose(found.mean[0, 0], mean, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(jnp.exp(found.log_var[0, 0]), variance, atol=1e-12)
        np.testing.assert_array_equal(found.mean[0, 1:], own.mean[0, 1:])
        np.testing.assert_array_equal(found.log_var[0, 1:], own.log_var[0, 1:])
    # the product of the two densities has half the variance
    product = 1 / np.sum(1 / VARIANCES[:, 0])
    np.testing.assert_allclose(product, 0.272727272727, atol=1e-12)
    other, one = shared_posteriors(SECOND, FIRST, average)
    chex.assert_trees_all_close((one, other), (first, second), rtol=1e-12)


def test_what_is_shared_does_not_depend_on_the_order_of_a_pair():
    def popular(first, second):
        """By one of the two divergences."""
        away = np.asarray(one_way(first, second))
        return away < (away.min() + away.max()) / 2

    np.testing.assert_array_equal(popular(FIRST, SECOND), [True, False, False])
    np.testing.assert_array_equal(popular(SECOND, FIRST), [True, False, True])
    for pair in ((FIRST, SECOND), (SECOND, FIRST)):
        first, second = shared_posteriors(*pair, "group")
        np.testing.assert_array_equal((first.mean == second.mean)[0], [True, False, False])


def test_averages_of_all_dimensions():
    # of which the nearest in each is far nearer than one that is added
    far = [
        Gaussian(np.append(x.mean, s * 99.0)[None], np.append(x.log_var, 0.0)[None])
        for x, s in ((FIRST, 1), (SECOND, -1))
    ]
    for average, mean, variance in (
        ("group", [0.05, 0.0, 0.1], [0.55, 0.75, 0.75]),
        (
            "multilevel",
            [0.0454545454545, -0.0666666666667, 0.46],
            [0.545454545455, 0.746666666667, 0.48],
        ),
    ):
        found, _ = shared_posteriors(*far, average)
        np.testing.assert_allclose(found.mean[0, :3], mean, atol=1e-12)
        np.testing.assert_allclose(jnp.exp(found.log_var[0, :3]), variance, atol=1e-11)
        assert found.mean[0, 3] == 99


def images(count=5, other=9):
    return {
        "image": jax.random.uniform(jax.random.key(7), (count, 4), float),
        "other": jax.random.uniform(jax.random.key(other), (count, 4), float),
    }


def built(**options):
    networks = nets.mlp(2 * SIZE, ()), nets.mlp(4, ())
    method = methods.paired_vae(*networks, SIZE, optimizer=optax.identity(), **options)
    return method, drawn(method, images(), scale=1.0)


@pytest.mark.parametrize("average", AVERAGES)
def test_a_step_of_both_images_by_hand(average):
    method, state = built(average=average, beta=2.0, learning_rate=0.25)
    hparams, batch = dict(method.hparams), images()
    noise = jax.random.normal(jax.random.split(KEY, 3)[0], (10 * SIZE,), float)

    def dense(layer, x):
        return x @ layer["Dense_0"]["kernel"] + layer["Dense_0"]["bias"][None]

    def each(params):
        x = jnp.stack([batch["image"], batch["other"]])
        outputs = jnp.stack([dense(params["encoder"], image) for image in x])
        m, v = outputs[..., :SIZE], jnp.exp(outputs[..., SIZE:])
        apart = v[0] / v[1] + v[1] / v[0] - 2 + (m[0] - m[1]) ** 2 * (1 / v[0] + 1 / v[1])
        middle = (jnp.min(apart, axis=1) + jnp.max(apart, axis=1)) / 2
        near = (apart < middle[:, None])[None]
        if average == "group":
            mean, variance = jnp.mean(m, axis=0), jnp.mean(v, axis=0)
        else:
            variance = 2 / jnp.sum(1 / v, axis=0)
            mean = variance / 2 * jnp.sum(m / v, axis=0)
        m, v = jnp.where(near, mean[None], m), jnp.where(near, variance[None], v)
        z = m + jnp.sqrt(v) * noise.reshape(2, 5, SIZE)
        logits = jnp.stack([dense(params["decoder"], latent) for latent in z])
        error = jnp.sum(jax.nn.softplus(logits) - x * logits, axis=2)
        kl = jnp.sum(m**2 + v - jnp.log(v) - 1, axis=2) / 2
        return jnp.mean(error + 2 * kl, axis=0), jnp.mean(kl, axis=0)

    @jax.jit
    def both(state):
        gradient = jax.grad(lambda params: jnp.mean(each(params)[0]))(state.params)
        expected = jax.tree.map(lambda p, g: p - 0.25 * g, state.params, gradient)
        values = method.evaluate(KEY, state, batch, hparams)
        return method.step(KEY, state, batch, hparams), expected, values, each(state.params)

    (after, info), expected, values, (loss, kl) = both(state)
    chex.assert_trees_all_close(after.params, expected, rtol=1e-9)
    np.testing.assert_allclose(values["loss"], loss, rtol=1e-10)
    np.testing.assert_allclose(values["kl"], kl, rtol=1e-10)
    np.testing.assert_allclose(info["loss"], np.mean(loss), rtol=1e-10)


def test_of_equal_images_it_is_a_vae_and_views_are_of_one():
    method, state = built(beta=3.0)
    plain = methods.vae(nets.mlp(2 * SIZE, ()), nets.mlp(4, ()), SIZE, beta=3.0)
    assert method.hparams == plain.hparams
    hparams, same = dict(method.hparams), images(other=7)
    twice = {"image": jnp.concatenate([same["image"], same["image"]])}

    @jax.jit
    def seen(state):
        found = method.evaluate(KEY, state, same, hparams)
        alone = plain.evaluate(KEY, state, twice, hparams)
        alone = {name: jnp.mean(x.reshape(2, -1), axis=0) for name, x in alone.items()}
        views = [m.views.encode(state, same, hparams) for m in (method, plain)]
        likelihoods = [m.views.log_likelihood(KEY, state, same, hparams) for m in (method, plain)]
        return (found, alone), views, likelihoods

    for one, another in seen(state):
        chex.assert_trees_all_close(one, another, rtol=1e-10)


def test_refuses():
    method, _ = built(bound=bounds.iwae(2))
    for batch in ({"image": jnp.zeros((2, 4))}, {**images(), "other": jnp.zeros((5, 3))}):
        with pytest.raises(InputError, match="learns from pairs, `image` and `other` of one shape"):
            jax.eval_shape(method.init, KEY, batch, dict(method.hparams))
    networks = nets.mlp(6, ()), nets.mlp(4, ())
    for size, options, message in (
        (1, {}, "latent_size is 1: a pair shares some of 2 or more"),
        (0, {}, "latent_size is 0: use a whole number, 1 or more"),
        (3, {"posterior": "gaussian"}, "posterior is 'gaussian': use"),
        (3, {"posterior": posteriors.flow(flows.planar())}, "dimensions of plain posteriors"),
        (3, {"importance_samples": "a"}, "importance_samples is 'a': use a whole number"),
        (3, {"average": "mean"}, "unknown average 'mean': use group or multilevel"),
    ):
        with pytest.raises(InputError, match=message):
            methods.paired_vae(*networks, size, **options)
    methods.paired_vae(*networks, 2)
    plain = posteriors.gaussian()
    other = plain._replace(read=lambda *given: tuple(plain.read(*given)))
    method = methods.paired_vae(*networks, 3, posterior=other)
    with pytest.raises(InputError, match="pairs share dimensions of Gaussians"):
        jax.eval_shape(method.init, KEY, images(), dict(method.hparams))
