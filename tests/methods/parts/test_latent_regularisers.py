"""What each regulariser adds, of a batch and of a whole data set, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from ae_jax import losses, methods, nets
from ae_jax.core import InputError
from ae_jax.methods import discrepancies, posteriors
from ae_jax.methods import latent_regularisers as regularisers
from ae_jax.methods.parts import latent_regularisers as module
from ae_jax.methods.parts.latent_regularisers import Encoded
from ae_jax.training.lanes import grouped
from tests.marks import rare

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(4)
B, D, N = 8, 3, 1000
ROWS, COLUMNS = np.arange(B)[:, None], np.arange(D)[None]
MEAN = 1.2 * np.sin(1.0 + 0.9 * ROWS + 2.0 * COLUMNS)
LOG_VAR = -1.0 + 0.5 * np.cos(0.7 * ROWS * (COLUMNS + 1))
Z = MEAN + np.exp(LOG_VAR / 2) * 1.3 * np.sin(3.1 * ROWS + 1.3 * COLUMNS + 0.4)
DRAWN = np.random.default_rng(0).standard_normal((B, D))
POSTERIOR = posteriors.gaussian()


def encoded(rows=slice(None), **others):
    """Some rows of the fixed batch."""
    z, mean, log_var = (jnp.asarray(x[rows]) for x in (Z, MEAN, LOG_VAR))
    parameters = posteriors.Gaussian(mean, log_var)
    fields = {
        "latent": z,
        "parameters": parameters,
        "kl": POSTERIOR.kl_standard(parameters),
        "log_prior": jnp.sum(-0.5 * z**2 - 0.5 * np.log(2 * np.pi), axis=1),
        "drawn": jnp.asarray(DRAWN[rows]),
        "params": {},
        "posterior": POSTERIOR,
    }
    return Encoded(**fields | others)


def applied(part, seen=None, present=None, **hparams):
    """The term and its figures."""
    given = {**part.hparams, **hparams}

    @jax.jit
    def run(seen):
        return part.apply(KEY, seen._replace(posterior=POSTERIOR), present, given)

    return run((encoded() if seen is None else seen)._replace(posterior=None))


def with_padding():
    """The batch with rows of something else behind it, and which rows are there."""
    whole = encoded(np.r_[:B, 2, 5])
    moved = jax.tree.map(
        lambda x: x.at[B:].add(3.0), whole._replace(posterior=None, params={})
    )._replace(posterior=POSTERIOR)
    return moved, jnp.arange(B + 2) < B


def test_the_capacity_is_of_the_batchs_mean():
    part = regularisers.capacity(7.0, 5.0)
    term, figures = applied(part, encoded(slice(2), kl=jnp.array([0.0, 10.0])))
    assert (float(term), figures) == (0, {})
    # of each example's distance it would be 5
    term, _ = applied(part, encoded(slice(3), kl=jnp.array([0.0, 10.0, 11.0])))
    np.testing.assert_allclose(term, 7 * 2, rtol=1e-12)
    below, _ = applied(part, encoded(slice(2), kl=jnp.array([1.0, 3.0])), capacity=4.0)
    np.testing.assert_allclose(below, 7 * 2, rtol=1e-12)
    at_capacity = jax.grad(lambda kl: part.apply(KEY, encoded(kl=kl), None, part.hparams)[0])
    np.testing.assert_array_equal(at_capacity(jnp.full(B, 5.0)), np.zeros(B))
    padded, present = with_padding()
    np.testing.assert_allclose(applied(part, padded, present)[0], applied(part)[0], rtol=1e-12)


PARTS = {
    "mws": (8.62501487484, 13.9413517837, -20.500398845),
    "mss": (2.88982672929, -0.578482007796, -0.245376907998),
    "symmetric": (2.88803370237, -0.578733101118, -0.243332787757),
}


@pytest.mark.parametrize("weights", PARTS)
def test_total_correlation_of_a_batch(weights):
    part = regularisers.total_correlation(
        4.0,
        data_size=N,
        mutual_information_weight=0.5,
        dimension_wise_weight=2.0,
        weights=weights,
    )
    term, figures = applied(part)
    names = ("mutual_information", "total_correlation", "dimension_wise_kl")
    found = [figures[name] for name in names]
    np.testing.assert_allclose(found, PARTS[weights], atol=2e-10)
    expected = np.dot([0.5, 4.0, 2.0], PARTS[weights])
    np.testing.assert_allclose(term, expected, atol=1e-9)


def test_the_default_total_correlation_leaves_the_rest_to_the_divergence():
    term, figures = applied(regularisers.total_correlation(3.0, data_size=N))
    np.testing.assert_allclose(term, 3 * figures["total_correlation"], rtol=1e-12)
    np.testing.assert_allclose(figures["total_correlation"], PARTS["symmetric"][1], atol=1e-10)


@pytest.mark.parametrize("compared", [B + 2, 4])
def test_total_correlation_of_a_whole_data_set_is_exact(monkeypatch, compared):
    monkeypatch.setattr(discrepancies, "COMPARED", compared)
    monkeypatch.setattr(module, "IN_MEMORY", 2 * (B + 2) * D)  # two latents at a time
    pairs = norm.logpdf(Z[:, None], MEAN[None], np.exp(LOG_VAR / 2)[None])
    joint = logsumexp(pairs.sum(axis=2), axis=1) - np.log(B)
    product = np.sum(logsumexp(pairs, axis=1) - np.log(B), axis=1)
    own = np.einsum("iid->i", pairs)
    rows = slice(None, None, 1 if compared > B else 3)
    expected = {
        "mutual_information": np.mean((own - joint)[rows]),
        "total_correlation": np.mean((joint - product)[rows]),
        "dimension_wise_kl": np.mean((product - norm.logpdf(Z).sum(1))[rows]),
    }
    # however many examples batches are drawn from
    part = regularisers.total_correlation(4.0, data_size=N)
    term, figures = applied(part, *with_padding())
    for name, value in expected.items():
        np.testing.assert_allclose(figures[name], value, rtol=1e-10, err_msg=name)
    np.testing.assert_allclose(term, 4 * expected["total_correlation"], rtol=1e-10)


def test_twice_the_latents_are_twice_the_nats():
    # every pair of posteriors: two groups of latents that know nothing of each other
    first, second = np.repeat(np.arange(B), B), np.tile(np.arange(B), B)

    def side_by_side(x):
        return jnp.concatenate([jnp.asarray(x)[first], jnp.asarray(x)[second]], axis=-1)

    one = encoded()
    z, parameters = side_by_side(Z), jax.tree.map(side_by_side, one.parameters)
    pairs = encoded(
        latent=z,
        parameters=parameters,
        kl=POSTERIOR.kl_standard(parameters),
        log_prior=one.log_prior[first] + one.log_prior[second],
    )
    np.testing.assert_allclose(jnp.mean(pairs.kl), 2 * jnp.mean(one.kl), rtol=1e-12)
    for part in (
        regularisers.total_correlation(
            4.0, data_size=N, mutual_information_weight=0.5, dimension_wise_weight=2.0
        ),
        regularisers.dip("i"),
        regularisers.dip("ii"),
        regularisers.capacity(nats=0.0),
    ):
        found, expected = (applied(part, of, jnp.ones(len(of.kl), bool)) for of in (pairs, one))
        # sums over dimensions: a mean would not change, and weights would depend on their number
        for value, of_one in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
            np.testing.assert_allclose(value, 2 * of_one, rtol=1e-10)


def test_dip_of_either_covariance():
    first, figures = applied(regularisers.dip("i", 10.0))
    np.testing.assert_allclose(first, 33.8883923972, atol=1e-9)
    np.testing.assert_allclose(figures["dip_i_off_diagonal"], 0.860463000281, atol=1e-11)
    np.testing.assert_allclose(figures["dip_i_diagonal"], 0.252837623944, atol=1e-11)
    second, _ = applied(regularisers.dip("ii", 10.0))
    np.testing.assert_allclose(second, 9.0685161761, atol=1e-9)
    weighed, figures = applied(regularisers.dip("ii", 2.0, 3.0))
    expected = 2 * figures["dip_ii_off_diagonal"] + 3 * figures["dip_ii_diagonal"]
    np.testing.assert_allclose(weighed, expected, rtol=1e-12)
    padded, present = with_padding()
    for kind in ("i", "ii"):
        part = regularisers.dip(kind)
        np.testing.assert_allclose(applied(part, padded, present)[0], applied(part)[0], rtol=1e-10)


def test_matching_is_any_discrepancy_from_the_prior(monkeypatch):
    part = regularisers.matching(3.0, discrepancies.mmd([0.5], root=False, unbiased=True))
    term, figures = applied(part, kernel_scale=2.0)
    expected = losses.mmd2(Z, DRAWN, losses.gaussian_kernel(1.0))
    np.testing.assert_allclose(figures["prior_discrepancy"], expected, rtol=1e-10)
    np.testing.assert_allclose(term, 3 * expected, rtol=1e-10)
    default, _ = applied(regularisers.matching(1.0))
    same, _ = applied(regularisers.matching(1.0, discrepancies.inverse_multiquadric()))
    np.testing.assert_array_equal(default, same)
    padded, present = with_padding()
    np.testing.assert_allclose(applied(part, padded, present, kernel_scale=2.0)[0], term, rtol=1e-9)
    monkeypatch.setattr(discrepancies, "COMPARED", 3)
    few, _ = applied(part, present=jnp.ones(B, bool), kernel_scale=2.0)
    expected = losses.mmd2(Z[::3], DRAWN[::3], losses.gaussian_kernel(1.0))
    np.testing.assert_allclose(few, 3 * expected, rtol=1e-10)


def test_an_info_vae_raises_no_discrepancy():
    assert regularisers.info_vae(0.0, 10.0) == {"beta": 1.0, "matching_weight": 9.0}
    assert regularisers.info_vae(1.0, 1.0) == {"beta": 0.0, "matching_weight": 1.0}
    for alpha, scale in ((0.0, 1e-3), (0.5, 0.4), (1.5, 3.0)):
        with pytest.raises(InputError, match="use alpha <= 1 and scale >= 1 - alpha"):
            regularisers.info_vae(alpha, scale)
    for wrong in (float("nan"), float("inf"), "1", None, [0.0]):
        with pytest.raises(InputError, match=r"^alpha is .*: use a finite number$"):
            regularisers.info_vae(wrong)
        with pytest.raises(InputError, match=r"^scale is .*: use a finite number$"):
            regularisers.info_vae(scale=wrong)


def test_the_density_ratio_is_of_each_example():
    critic = nets.mlp(1, ())
    params = {"discriminator": critic.init(KEY, jnp.zeros((1, D)))}
    part = regularisers.density_ratio(critic, 3.0)
    assert not part.whole
    term, figures = applied(part, encoded(params=params))
    layer = params["discriminator"]["Dense_0"]
    logits = Z @ np.asarray(layer["kernel"])[:, 0] + float(layer["bias"][0])
    np.testing.assert_allclose(figures["total_correlation"], logits, rtol=1e-10)
    np.testing.assert_allclose(term, 3 * logits, rtol=1e-10)
    # in half precision the mean of a batch would lose its digits
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), {"discriminator": layer})
    rough = nets.mlp(1, ())._replace(
        apply=lambda params, z: z.astype(jnp.bfloat16) @ params["kernel"]
    )
    for value in applied(regularisers.density_ratio(rough), encoded(params=half))[1].values():
        assert value.dtype == jnp.float32
    pair = nets.mlp(2, ())
    params = {"discriminator": pair.init(KEY, jnp.zeros((1, D)))}
    with pytest.raises(InputError, match=r"one logit, \[B, 1\], and gives \[8, 2\]"):
        applied(regularisers.density_ratio(pair), encoded(params=params))


WEIGHTED = {
    "total_correlation": regularisers.total_correlation(data_size=N),
    "dip_i": regularisers.dip("i"),
    "dip_ii": regularisers.dip("ii"),
    "matching": regularisers.matching(),
}


@pytest.mark.parametrize("name", ["total_correlation", *map(rare, [*WEIGHTED][1:])])
def test_training_computes_the_term_where_a_weight_is_not_0(name):
    part = WEIGHTED[name]
    rest = {name: value for name, value in part.hparams.items() if name not in part.weights}
    assert part.weights == tuple(name for name in part.hparams if name.endswith("_weight"))
    # a lane for each weight alone, and one without
    each = np.vstack([np.diag(np.arange(1.0, 1 + len(part.weights))), np.zeros(len(part.weights))])
    lanes = dict(zip(part.weights, jnp.asarray(each.T), strict=True))
    seen = encoded()
    arrays = seen.latent, seen.parameters
    way = jax.tree.map(lambda x: np.sin(np.arange(1.0, 1 + x.size)).reshape(x.shape), arrays)

    def found(term, lane):
        def of(step):
            z, parameters = jax.tree.map(lambda x, w: x + step * w, arrays, way)
            return term(seen._replace(latent=z, parameters=parameters), {**rest, **lane})

        return *jax.value_and_grad(of)(0.0), (of(1e-5) - of(-1e-5)) / 2e-5

    @jax.jit
    def run(lanes):
        def trained(lane):
            return found(lambda *args: part.of_batch(KEY, *args)[0], lane)

        always = jax.vmap(
            lambda lane: found(lambda *args: part.apply(KEY, args[0], None, args[1])[0], lane)
        )
        return jax.lax.map(trained, lanes), jax.vmap(trained)(lanes), always(lanes)

    in_turn, side_by_side, always = run(lanes)
    np.testing.assert_allclose(in_turn, always, rtol=1e-9)
    np.testing.assert_allclose(side_by_side, always, rtol=1e-9)
    value, slope, difference = in_turn
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-12)
    assert np.all(value[:-1] != 0)
    assert np.all(slope[:-1] != 0)
    assert value[-1] == slope[-1] == 0


def test_of_weight_0_it_is_not_computed():
    def apply(key, seen, present, hparams):
        away = jnp.sum(seen.latent) / hparams["weight"]  # infinite, and of infinite slope
        return hparams["weight"] * away, {"away": away}

    part = regularisers.LatentRegulariser({"weight": 1.0}, apply, weights=("weight",))

    def trained(part, weight):
        def of(z):
            return part.of_batch(KEY, encoded(latent=z), {"weight": weight})

        return jax.value_and_grad(of, has_aux=True)(jnp.asarray(Z))

    weights = jnp.array([0.0, 2.0, 0.0])
    (values, figures), slopes = jax.jit(lambda: jax.lax.map(lambda x: trained(part, x), weights))()
    np.testing.assert_allclose(values, [0, Z.sum(), 0], rtol=1e-12)
    np.testing.assert_array_equal(slopes, np.broadcast_to([[[0]], [[1]], [[0]]], slopes.shape))
    assert figures == {}
    (values, figures), _ = trained(part._replace(weights=()), 0.0)
    assert np.isnan(values)
    assert set(figures) == {"away"}


WEIGHT = ((0, 1e-8, 1e4), (-1e-8, -1))


@pytest.mark.parametrize(
    ("part", "numbers"),
    [
        (regularisers.capacity(), {"capacity_weight": WEIGHT, "capacity": WEIGHT}),
        (
            regularisers.total_correlation(data_size=9),
            dict.fromkeys(
                ("tc_weight", "mutual_information_weight", "dimension_wise_weight"), WEIGHT
            ),
        ),
        (
            regularisers.dip("i"),
            {"dip_i_off_diagonal_weight": WEIGHT, "dip_i_diagonal_weight": WEIGHT},
        ),
        (
            regularisers.dip("ii"),
            {"dip_ii_off_diagonal_weight": WEIGHT, "dip_ii_diagonal_weight": WEIGHT},
        ),
        (
            regularisers.matching(),
            {"matching_weight": WEIGHT, "kernel_scale": ((1e-8, 1e4), (0, -1))},
        ),
    ],
)
def test_numbers_may_be_what_makes_sense(part, numbers):
    assert part.hparams.keys() == part.domains.keys() == numbers.keys()
    method = methods.vae(nets.mlp(4, ()), nets.mlp(3, ()), 2, regularisers=[part])
    for name, (inside, outside) in numbers.items():
        grouped(method, [{name: value, "seed": 0} for value in inside])
        for value in outside:
            with pytest.raises(InputError, match=f"^{name} is {value}: use "):
                grouped(method, [{name: value, "seed": 0}])


def test_defaults_are_the_papers():
    assert list(regularisers.dip().hparams.values()) == [10.0, 100.0]
    assert regularisers.matching().hparams["matching_weight"] == 10
    assert regularisers.dip("i", 3.0).hparams["dip_i_diagonal_weight"] == 30
    assert regularisers.dip("ii", 3.0).hparams["dip_ii_diagonal_weight"] == 3
    assert regularisers.capacity().hparams == {"capacity_weight": 1000.0, "capacity": 25.0}


def test_refuses():
    for call, message in (
        (lambda: regularisers.total_correlation(data_size=0), "data_size is 0: use a whole number"),
        (lambda: regularisers.total_correlation(data_size="a"), "data_size is 'a': use a whole"),
        (lambda: regularisers.total_correlation(data_size=None), "data_size is None: use a whole"),
        (lambda: regularisers.dip("i", None), "off_diagonal_weight is None: use 0 or more"),
        (lambda: regularisers.dip("i", "a"), "off_diagonal_weight is 'a': use 0 or more"),
        (lambda: regularisers.matching(2.0, "mmd"), r"discrepancy is 'mmd': .* discrepancies.mmd"),
        (lambda: regularisers.matching(2.0, discrepancies.mmd), "the function mmd: call it"),
        (
            lambda: regularisers.total_correlation(data_size=9, weights="wrong"),
            "unknown weights 'wrong'",
        ),
        (lambda: regularisers.dip("iii"), "unknown kind 'iii' of DIP-VAE: use i or ii"),
        (
            lambda: applied(regularisers.total_correlation(data_size=7)),
            "data_size is 7, less than the batch of 8",
        ),
    ):
        with pytest.raises(InputError, match=message):
            call()
    whole = POSTERIOR._replace(log_probs=None, variance=None)
    for part in (regularisers.total_correlation(data_size=9), regularisers.dip()):
        with pytest.raises(InputError, match="a posterior of independent dimensions, such as"):
            methods.vae(nets.mlp(4, ()), nets.mlp(3, ()), 2, posterior=whole, regularisers=[part])
