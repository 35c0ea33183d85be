"""VAEs of other parts than the usual ones, where the numbers are known or computed otherwise."""

import chex
import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import multivariate_normal

from ae_jax import methods, nets, probability, training
from ae_jax.core import REAL, InputError, traced
from ae_jax.data.parts import Dataset
from ae_jax.methods import bounds, posteriors, priors
from ae_jax.methods import latent_regularisers as regularisers
from ae_jax.methods.variational.model import latent_model
from ae_jax.methods.variational.objective import vae_objective
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(3)
# z ~ N(0, I), x | z ~ N(W z + b, 0.3), and a posterior that is off
WEIGHTS = np.array([[1.0, -0.5], [0.3, 0.8], [-0.7, 0.4]])
BIAS, X, VARIANCE = np.array([0.1, -0.2, 0.3]), np.array([0.9, -0.4, 1.2]), 0.3
OUTPUTS = np.array([0.2, 0.1, -1.0, -0.5])
LIKELIHOOD, ELBO = -4.99254283985, -5.80673929315


def linear(count, outputs=OUTPUTS, **options):
    """The linear-Gaussian VAE and `count` copies of x."""
    given = {"likelihood": methods.observations.gaussian(VARIANCE), **options}
    encoder, decoder = nets.mlp(4, ()), nets.mlp(3, ())
    method = methods.vae(encoder, decoder, 2, **given)
    batch = {"image": jnp.broadcast_to(jnp.asarray(X)[None], (count, 3))}
    state = drawn(method, batch)
    fixed = {
        "encoder": {"Dense_0": {"kernel": jnp.zeros((3, 4)), "bias": jnp.asarray(outputs)}},
        "decoder": {"Dense_0": {"kernel": jnp.asarray(WEIGHTS.T), "bias": jnp.asarray(BIAS)}},
    }
    return method, state._replace(params={**state.params, **fixed}), batch


def evaluated(*args, **options):
    method, state, batch = linear(*args, **options)
    return jax.jit(method.evaluate)(KEY, state, batch, dict(method.hparams))


def test_the_elbo_of_a_linear_model_is_what_it_is():
    for bound, divergence in ((bounds.elbo(), 0.262205050442), (bounds.elbo("sampled"), None)):
        values = evaluated(40_000, bound=bound)
        error = np.std(values["loss"]) / np.sqrt(40_000)
        assert abs(np.mean(values["loss"]) + ELBO) < 4 * error
        np.testing.assert_allclose(values["elbo"], -values["loss"], rtol=1e-12)
        if divergence:
            np.testing.assert_allclose(values["kl"], divergence, rtol=1e-10)
        else:
            assert np.std(values["kl"]) > 0.1
            np.testing.assert_allclose(np.mean(values["kl"]), 0.262205050442, atol=0.03)


def test_importance_weighted_bounds_rise_to_the_likelihood():
    means = [np.mean(evaluated(2000, bound=bounds.iwae(k))["loss"]) for k in (1, 5, 50)]
    assert -ELBO + 0.1 > means[0] > means[1] > means[2] > -LIKELIHOOD
    many = evaluated(100, bound=bounds.doubly_reparametrised(2000))
    np.testing.assert_allclose(np.mean(many["loss"]), -LIKELIHOOD, atol=0.01)
    assert many["loss"].shape == many["kl"].shape == (100,)
    assert "objective" not in many


def test_of_orthogonal_columns_the_exact_posterior_has_constant_weights_and_no_gradient():
    scales = np.array([1.5, 0.7])
    weights = np.linalg.qr(np.random.RandomState(0).normal(size=(3, 2)))[0] * scales[None]
    total = scales**2 + VARIANCE
    outputs = np.concatenate([(X - BIAS) @ weights / total, np.log(VARIANCE / total)])
    covariance = weights @ weights.T + VARIANCE * np.eye(3)
    exact = multivariate_normal(BIAS, covariance).logpdf(X)
    for bound in (bounds.sticking_the_landing(), bounds.doubly_reparametrised(3)):
        method, state, batch = linear(4, outputs, bound=bound, optimizer=optax.identity())
        state.params["decoder"]["Dense_0"]["kernel"] = jnp.asarray(weights.T)
        after, info = jax.jit(method.step)(KEY, state, batch, dict(method.hparams))
        np.testing.assert_allclose(info["loss"], -exact, rtol=1e-12)
        chex.assert_trees_all_close(after.params["encoder"], state.params["encoder"], atol=1e-14)


def test_a_step_of_double_reparametrisation_against_one_by_hand():
    beta, rate, draws = 1.0, 0.25, 2
    method, state, batch = linear(
        2,
        bound=bounds.doubly_reparametrised(draws),
        optimizer=optax.identity(),
        learning_rate=rate,
        beta=beta,
    )
    x, params = batch["image"], state.params
    keys = jax.random.split(jax.random.split(KEY, 3)[0], draws)
    noise = jnp.stack([jax.random.normal(key, (4,), float).reshape(2, 2) for key in keys])

    def dense(layer, x):
        return x @ layer["Dense_0"]["kernel"] + layer["Dense_0"]["bias"][None]

    def log_weights(decoder, z, mean, log_var):
        """[K, B], of a latent [K, B, 2]."""
        made = jnp.stack([dense(decoder, each) for each in z])
        error = jnp.sum((x[None] - made) ** 2, axis=2) / (2 * VARIANCE)
        error += 1.5 * jnp.log(2 * jnp.pi * VARIANCE)
        own = -0.5 * jnp.sum((z - mean[None]) ** 2 / jnp.exp(log_var)[None] + log_var[None], axis=2)
        return -error - 0.5 * jnp.sum(z**2, axis=2) - own

    @jax.jit
    def expected(params):
        outputs, back = jax.vjp(lambda encoder: dense(encoder, x), params["encoder"])
        mean, log_var = outputs[:, :2], outputs[:, 2:]
        spread = jnp.exp(log_var / 2)[None] * noise
        z = mean[None] + spread
        share = jax.nn.softmax(log_weights(params["decoder"], z, mean, log_var), axis=0)
        by_latent = jax.grad(lambda z: jnp.sum(log_weights(params["decoder"], z, mean, log_var)))(z)
        # sum_k w_k^2 (dlog w / dz_k) (dz_k / dphi), over two examples
        upwards = share[..., None] ** 2 * by_latent
        slope = jnp.concatenate([jnp.sum(upwards, 0), jnp.sum(upwards * spread / 2, 0)], axis=1)
        decoder = jax.grad(lambda decoder: jnp.sum(share * log_weights(decoder, z, mean, log_var)))(
            params["decoder"]
        )
        gradient = {"encoder": back(slope)[0], "decoder": decoder}
        bound = jax.nn.logsumexp(log_weights(params["decoder"], z, mean, log_var), axis=0)
        moved = jax.tree.map(lambda p, g: p + rate * g / 2, params, gradient)
        return moved, -jnp.mean(bound) + jnp.log(float(draws))

    after, info = jax.jit(method.step)(KEY, state, batch, dict(method.hparams))
    moved, loss = expected(params)
    chex.assert_trees_all_close(after.params, moved, rtol=1e-10)
    np.testing.assert_allclose(info["loss"], loss, rtol=1e-12)


def shifted():
    """N(m, I) with a mean that is learned, and a number that scales it."""

    def log_prob(z, params, hparams):
        return jnp.sum(-0.5 * (z - at(params, hparams)) ** 2 - 0.5 * jnp.log(2 * jnp.pi), axis=1)

    def at(params, hparams):
        return hparams["shift"] * params["prior"]["mean"][None]

    def sample(key, params, shape, hparams):
        return at(params, hparams) + jax.random.normal(key, shape, float)

    def init(key, x, latent_size):
        return {"mean": jnp.zeros(latent_size, x.dtype)}

    return priors.Prior(sample, log_prob, init, **traced(shift=(1.0, REAL)))


def test_a_learned_prior_is_moved_and_read_by_all_views():
    method, state, batch = linear(3, prior=shifted(), importance_samples=4000)
    mean = jnp.array([0.6, -0.4])
    state.params["prior"] = {"mean": mean}
    hparams = dict(method.hparams)
    assert hparams["shift"] == 1
    # x ~ N(W m + b, W W^T + 0.3)
    exact = multivariate_normal(
        WEIGHTS @ np.asarray(mean) + BIAS, WEIGHTS @ WEIGHTS.T + VARIANCE * np.eye(3)
    ).logpdf(X)

    @jax.jit
    def seen(state):
        values = method.evaluate(KEY, state, batch, hparams)
        after, _ = method.step(KEY, state, batch, hparams)
        likelihood = method.views.log_likelihood(KEY, state, batch, hparams)
        return values, after, likelihood, method.views.sample(KEY, state, 5, hparams)

    values, after, likelihood, samples = seen(state)
    np.testing.assert_allclose(np.mean(likelihood), exact, atol=0.03)
    assert abs(exact - LIKELIHOOD) > 0.1  # which a normal prior would have
    latent = mean[None] + jax.random.normal(KEY, (5, 2), float)
    np.testing.assert_allclose(samples, np.asarray(latent) @ WEIGHTS.T + BIAS, rtol=1e-10)
    assert np.all(after.params["prior"]["mean"] != mean)
    # with no closed form the divergence is sampled, log q(z | x) - log p(z)
    z = np.asarray(jax.random.normal(jax.random.split(KEY, 3)[0], (6,), float)).reshape(3, 2)
    z = OUTPUTS[:2] + np.exp(OUTPUTS[2:] / 2) * z
    own = multivariate_normal(OUTPUTS[:2], np.diag(np.exp(OUTPUTS[2:]))).logpdf(z)
    kl = own - multivariate_normal(np.asarray(mean), np.eye(2)).logpdf(z)
    np.testing.assert_allclose(values["kl"], kl, rtol=1e-10)


def test_a_fixed_density_may_be_the_prior():
    ring = probability.priors.ring(4)
    method, state, _ = linear(3, prior=priors.fixed(ring))
    sample = jax.jit(method.views.sample, static_argnums=2)(KEY, state, 5, dict(method.hparams))
    expected = np.asarray(ring(KEY, (5, 2))) @ WEIGHTS.T + BIAS
    np.testing.assert_allclose(sample, expected, rtol=1e-10)


def points_at():
    """A posterior on the sphere: all of it at a direction, for what asks where it lies."""
    plane = posteriors.gaussian()
    return plane._replace(support="sphere")


def test_regularisers_add_up_in_training_and_in_a_whole_data_set():
    parts = [
        regularisers.capacity(2.0, 0.1),
        regularisers.total_correlation(3.0, data_size=6),
        regularisers.dip("i", 0.5),
        regularisers.dip("ii", 0.25),
        regularisers.matching(4.0),
    ]
    method, state, _ = linear(6, regularisers=parts, beta=0.5)
    x = jnp.asarray(np.random.default_rng(1).standard_normal((6, 3)))
    state.params["encoder"]["Dense_0"]["kernel"] = 0.3 * jnp.ones((3, 4))
    plain, _, _ = linear(6, beta=0.5)
    hparams, batch = dict(method.hparams), {"image": x}
    present = jnp.arange(6) < 4

    @jax.jit
    def seen(state):
        _, info = method.step(KEY, state, batch, hparams)
        values = method.evaluate(KEY, state, batch, hparams)
        return (
            info,
            plain.step(KEY, state, batch, hparams)[1],
            values,
            plain.evaluate(KEY, state, batch, hparams),
            method.conclude(values, present, hparams),
            method.conclude(values, jnp.ones(6, bool), hparams),
        )

    info, alone, values, single, whole, every = seen(state)

    def added(figures, kl):
        return (
            2 * abs(kl - 0.1)
            + 3 * figures["total_correlation"]
            + 0.5 * figures["dip_i_off_diagonal"]
            + 5 * figures["dip_i_diagonal"]
            + 0.25 * (figures["dip_ii_off_diagonal"] + figures["dip_ii_diagonal"])
            + 4 * figures["prior_discrepancy"]
        )

    # of a batch that is the whole data set training's estimates are the exact figures
    np.testing.assert_allclose(info["loss"], alone["loss"] + added(every, info["kl"]), rtol=1e-10)
    assert info.keys() == alone.keys()  # which are nobody's where weights are 0
    for name in ("loss", "reconstruction", "kl", "elbo"):
        np.testing.assert_array_equal(values[name], single[name])
    mean = np.mean(values["loss"][:4])
    expected = mean + added(whole, np.mean(values["kl"][:4]))
    np.testing.assert_allclose(whole["loss"], expected, rtol=1e-10)
    assert "total_correlation" not in values
    # the terms are of the draws that the objective is of
    z = jax.random.normal(jax.random.split(KEY, 3)[0], (12,), float).reshape(6, 2)
    outputs = np.asarray(x) @ (0.3 * np.ones((3, 4))) + OUTPUTS
    z = outputs[:, :2] + np.exp(outputs[:, 2:] / 2) * np.asarray(z)
    np.testing.assert_allclose(values["latent"], z, rtol=1e-10)


def test_of_twice_the_pixels_the_error_counts_twice_and_the_regularisers_once():
    x = np.array([X, 2 - X, 0.5 * X])
    kernel = np.random.RandomState(1).normal(size=(3, 4))
    found = []
    for times in (1, 2):  # side by side
        part = regularisers.total_correlation(4.0, data_size=9)
        likelihood = methods.observations.gaussian(VARIANCE)
        method = methods.vae(
            *(nets.mlp(4, ()), nets.mlp(3 * times, ()), 2),
            likelihood=likelihood,
            regularisers=[part],
            optimizer=optax.identity(),
        )
        batch = {"image": jnp.asarray(np.tile(x, (1, times)))}
        seen = np.tile(kernel / times, (times, 1)), OUTPUTS
        made = np.tile(WEIGHTS.T, (1, times)), np.tile(BIAS, times)
        fixed = {
            name: {"Dense_0": dict(zip(("kernel", "bias"), map(jnp.asarray, layer), strict=True))}
            for name, layer in (("encoder", seen), ("decoder", made))
        }
        state = drawn(method, batch)._replace(params=fixed)
        found.append(jax.jit(method.step)(KEY, state, batch, dict(method.hparams))[1])
    once, twice = found
    # a mean over pixels would not change, and beta would mean something else for each image size
    np.testing.assert_allclose(twice["reconstruction"], 2 * once["reconstruction"], rtol=1e-12)
    np.testing.assert_allclose(twice["kl"], once["kl"], rtol=1e-10)
    terms = [info["loss"] - info["reconstruction"] - info["kl"] for info in found]
    np.testing.assert_allclose(terms[1], terms[0], rtol=1e-10)
    assert abs(terms[0]) > 0.1


def test_a_capacity_reaches_the_encoder_through_every_bound():
    def pulled(bound):
        """Where 2 |KL - 9| moves the encoder's outputs and the prior, beside the bound."""
        found = []
        for weight in (0.0, 2.0):
            method, state, batch = linear(
                4,
                bound=bound,
                prior=shifted(),
                regularisers=[regularisers.capacity(weight, 9.0)],
                optimizer=optax.identity(),
            )
            after, info = jax.jit(method.step)(KEY, state, batch, dict(method.hparams))
            moved = jax.tree.map(lambda new, old: new - old, after.params, state.params)
            found.append((moved["encoder"]["Dense_0"]["bias"], moved["prior"]["mean"], info["kl"]))
        return [after - before for after, before in zip(found[1], found[0], strict=True)]

    # of the same draws: their divergence has one value and, with held parameters, one gradient
    held, doubly = (
        pulled(bound(3)) for bound in (bounds.sticking_the_landing, bounds.doubly_reparametrised)
    )
    chex.assert_trees_all_close(held, doubly, rtol=1e-9, atol=1e-14)
    assert np.min(np.abs(doubly[0])) > 1e-5
    assert np.min(np.abs(doubly[1])) > 1e-5


def test_methods_of_other_weights_train_as_one_program():
    random = np.random.default_rng(0)
    x = jnp.asarray(random.random((64, 6)))
    data = Dataset(
        {"image": jax.ShapeDtypeStruct((6,), x.dtype)}, 64, x, lambda a, i: {"image": a[i]}
    )
    parts = [
        regularisers.capacity(0.0),
        regularisers.total_correlation(0.0, data_size=64),
        regularisers.dip("i", 0.0),
        regularisers.matching(0.0),
    ]

    def built(regularisers=()):
        return methods.vae(nets.mlp(4, (5,)), nets.mlp(6, (5,)), 2, regularisers=regularisers)

    lanes = [
        {"beta": 1.0},
        {"beta": 4.0},
        {"beta": 0.0, "capacity_weight": 20.0, "capacity": 1.0},
        {"tc_weight": 5.0},
        {"dip_i_off_diagonal_weight": 5.0, "dip_i_diagonal_weight": 50.0},
        regularisers.info_vae(0.5, 10.0),
    ]
    every = {name: 0.0 for part in parts for name in part.hparams if name.endswith("weight")}
    lanes = [{**every, "beta": 1.0, "capacity": 0.0, "seed": 0, **lane} for lane in lanes]
    found = training.run(built(parts), data, lanes, 300, batch_size=16, test=data)
    assert found.compilations == 1
    alone = training.run(built(), data, training.grid(beta=[1.0, 4.0], seed=0), 300, batch_size=16)
    for lane in range(2):
        params = [training.lane(run, lane)[1].params for run in (found, alone)]
        chex.assert_trees_all_close(*params, rtol=1e-9)
    rows = found.rows
    assert abs(rows[2]["kl"] - 1) < 0.1
    assert rows[4]["dip_i_diagonal"] < 0.5 * rows[0]["dip_i_diagonal"]


def test_refuses():
    def built(**options):
        return methods.vae(nets.mlp(4, ()), nets.mlp(3, ()), 2, **options)

    capacity = regularisers.capacity()
    for options, message in (
        ({"posterior": points_at()}, "on the sphere needs a prior there.*priors.sphere()"),
        ({"prior": priors.sphere()}, "on the plane needs a prior there.*priors.normal()"),
        ({"posterior": posteriors.gaussian}, "posterior is the function gaussian: call it"),
        ({"prior": probability.priors.normal()}, "prior is a Prior: use what a function makes"),
        ({"bound": "iwae"}, r"bound is 'iwae': use .* bounds.iwae\(5\)"),
        ({"likelihood": "bernoulli"}, "likelihood is 'bernoulli'"),
        ({"regularisers": capacity}, "regularisers is a LatentRegulariser: use"),
        ({"regularisers": [methods.regularisers.r1()]}, r"regularisers\[0\] is a Regulariser"),
        ({"regularisers": None}, "regularisers is a NoneType: use"),
        ({"optimizer": optax.adam(1e-3)}, "optimizer has a learning rate of its own: use"),
        ({"optimizer": "adam"}, "optimizer is 'adam': use"),
        ({"regularisers": [capacity, capacity]}, "share the hyperparameter capacity"),
    ):
        with pytest.raises(InputError, match=message):
            built(**options)
    with pytest.raises(InputError, match=r"density is 'ring': use .*priors.ring\(\)"):
        priors.fixed("ring")
    for given, message in (
        (
            ("mlp", nets.mlp(3, ())),
            r"encoder is 'mlp': use what a function makes, such as nets.mlp",
        ),
        ((nets.mlp(4, ()), nets.mlp), "decoder is the function mlp: call it"),
        ((flax.linen.Dense(4), nets.mlp(3, ())), r"encoder is a Dense: .* nets.flax_network\("),
    ):
        with pytest.raises(InputError, match=message):
            methods.vae(*given, 2)
    assert vae_objective(latent_model(nets.mlp(4, ()), nets.mlp(3, ()), 2)).hparams == {"beta": 1.0}
    for part in (regularisers.total_correlation(data_size=9), regularisers.dip()):
        method = built(regularisers=[part])
        with pytest.raises(InputError, match="a batch of 1 is not defined: use 2 or more"):
            jax.eval_shape(method.init, KEY, {"image": jnp.zeros((1, 3))}, dict(method.hparams))
