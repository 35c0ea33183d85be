"""What the scripts about variational autoencoders compute of their own."""

import dataclasses
import itertools
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.special import logsumexp, xlogy

from ae_jax import data, experiment, training
from tests.loading import script
from tests.methods.drawn import drawn

#: Of zeros and ones, so that drawing them changes nothing.
IMAGES = np.random.default_rng(1).integers(2, size=(4, 2, 3, 1)).astype(np.float32)


def changed(module, **options):
    return dataclasses.replace(module.Config(), **options)


def model(module, config, row, *choices, scale=1.0, seed=0):
    """A lane of a script, whose parameters are drawn from N(0, scale^2).

    Those of the encoder are a third, so that posteriors are near enough to what they should be for
    importance weights to be even.
    """
    batch = {"image": jnp.asarray(IMAGES)}
    method = module.build(config, data.stored(IMAGES).spec, *choices)
    state = drawn(method, batch, scale, seed)
    encoder = jax.tree.map(lambda x: x / 3, state.params["encoder"])
    state = state._replace(params={**state.params, "encoder": encoder})
    return training.Model(row, method, state, dict(method.hparams))


def exact_log_likelihood(lane, latents, log_density):
    """The mean of log p(x) of IMAGES, by a sum over a grid of latents."""
    p = np.asarray(lane.decode(jnp.asarray(latents, jnp.float32)), float)[None]
    x = IMAGES[:, None]
    log_prob = np.sum(xlogy(x, p) + xlogy(1 - x, 1 - p), axis=(2, 3, 4))
    return np.mean(logsumexp(log_prob + log_density, axis=1))


def normal_grid():
    """Latents [N, 1] and the logarithms of what the normal prior gives to each."""
    z = np.linspace(-9.0, 9.0, 2001)
    return z[:, None], -0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log(z[1] - z[0])


def circle_grid():
    """The same of a uniform prior on the circle."""
    angle = np.linspace(-np.pi, np.pi, 2000, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1), np.full(2000, -np.log(2000))


@pytest.mark.parametrize(("ramp_steps", "last"), [(100, 1.0), (0, 1.0), (400, 0.5)])
def test_dashed_lines_rise_from_0_and_stay(ramp_steps, last):
    capacity = script("capacity")
    options = {"capacity": (3.0, 1.0), "ramp_steps": ramp_steps, "steps": 200}
    steps, nats = capacity.ramps(dataclasses.replace(capacity.Config(), **options))
    (gap,) = np.flatnonzero(np.isnan(nats))
    for part, end in ((slice(gap), 1.0), (slice(gap + 1, None), 3.0)):
        assert steps[part][0] == 0
        assert steps[part][-1] == 200
        risen = np.minimum(steps[part] / ramp_steps, 1) if ramp_steps else 1.0
        np.testing.assert_allclose(nats[part], end * risen, rtol=1e-6)
        assert nats[part][-1] == pytest.approx(end * last)


def test_an_objective_is_measured_by_as_many_draws_as_it_takes():
    raised = script("importance_weighted").raised
    weights = np.log([[1.0, 5.0], [3.0, 1.0], [2.0, 2.0], [8.0, 4.0], [7.0, 7.0]])
    elbo = np.mean(weights)
    for objective, samples in (("elbo", 1), ("elbo", 2), ("stl", 2), ("iwae", 1), ("dreg", 1)):
        found = raised(objective, samples, jnp.asarray(weights, jnp.float32))
        assert found == pytest.approx(elbo, rel=1e-5)
    # means of two are 2, 5 and 3, 3; the fifth draw has no other
    two = np.mean(np.log([2.0, 5.0, 3.0, 3.0]))
    for objective in ("iwae", "dreg"):
        found = raised(objective, 2, jnp.asarray(weights, jnp.float32))
        assert found == pytest.approx(two, rel=1e-5)
    every = np.mean(np.log(np.mean(np.exp(weights), axis=0)))
    assert min(abs(two - elbo), every - two) > 0.01  # neither would do
    assert math.isclose(raised("iwae", 5, jnp.asarray(weights, jnp.float32)), every, rel_tol=1e-5)


# weights by a power spherical density, which is 0 at one point, may vary without bound
@pytest.mark.parametrize(
    ("posterior", "grid"), [("normal", normal_grid), ("von_mises_fisher", circle_grid)]
)
def test_images_are_as_likely_on_the_line_and_on_the_circle_as_a_sum_over_it_says(posterior, grid):
    module = script("hyperspherical_vae")
    config = changed(module, widths=(3,), importance_samples=100)
    lane = model(module, config, {}, posterior, 1)
    splits = types.SimpleNamespace(test=data.stored(IMAGES, np.arange(4)))
    outcome = types.SimpleNamespace(config=config, splits=splits, reference=[])
    described = [
        module.describe(
            lane._replace(row={"posterior": posterior, "latent_size": 1, "seed": seed}), outcome
        )
        for seed in range(20)
    ]
    found = np.array([columns["log_likelihood"] for columns in described])
    error = np.mean([columns["importance_error"] for columns in described])
    exact = exact_log_likelihood(lane, *grid())
    assert abs(found.mean() - exact) < 4 * error / np.sqrt(20)
    # the error that is told of one estimate is that which estimates have
    assert 0.5 < np.std(found) / error < 1.5
    assert "knn" not in described[0]


def test_a_seed_has_the_neighbours_that_it_has_labels_of():
    module = script("hyperspherical_vae")
    config = changed(module, widths=(3,), importance_samples=1)
    row = {"posterior": "normal", "latent_size": 2, "seed": 1}
    lane = model(module, config, row, "normal", 2)
    label = np.arange(4)
    # as many of each image as there are neighbours, one of which has another label
    seen = [
        {
            "image": jnp.asarray(np.repeat(IMAGES, module.NEIGHBOURS, axis=0)),
            "label": jnp.asarray(np.repeat((label + (label < wrong)) % 4, module.NEIGHBOURS)),
        }
        for wrong in (4, 1, 2)
    ]
    splits = types.SimpleNamespace(test=data.stored(IMAGES, label))
    outcome = types.SimpleNamespace(config=config, splits=splits, reference=seen)
    assert module.describe(lane, outcome)["knn"] == 75.0


def test_dimensions_are_counted_by_their_variance():
    count = script("hyperspherical_vae").effective_dimensions
    latents = np.random.default_rng(0).normal(size=(50, 3)) @ [[3, 1, 0], [0, 1, 1], [0, 0, 0.2]]
    along = np.linalg.svd(latents - latents.mean(axis=0), compute_uv=False) ** 2
    assert count(latents + 7) == pytest.approx(along.sum() ** 2 / np.sum(along**2), rel=1e-10)
    assert 1 < count(latents) < 2
    cube = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3)
    assert count(cube) == pytest.approx(3)
    assert count(cube[:, :1]) == pytest.approx(1)
    assert count(0 * cube) == 0


def test_hammers_map_keeps_areas():
    hammer, step = script("hyperspherical_vae").hammer, 1e-5
    grid = np.meshgrid(np.linspace(-3, 3, 7), np.linspace(-0.9, 0.9, 5))
    longitude, height = (x.ravel() for x in grid)

    def mapped(longitude, height):
        level = np.sqrt(1 - height**2)
        return hammer(
            np.stack([level * np.cos(longitude), level * np.sin(longitude), height], axis=1)
        )

    across = mapped(longitude + step, height) - mapped(longitude - step, height)
    up = mapped(longitude, height + step) - mapped(longitude, height - step)
    area = np.linalg.det(np.stack([across, up], axis=1)) / (2 * step) ** 2
    # a sphere's area is its longitude's times its height's: Archimedes
    np.testing.assert_allclose(area, 1, rtol=1e-6)
    ends = hammer([[1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]])
    half = np.sqrt(2)
    np.testing.assert_allclose(ends, [[0, 0], [2 * half, 0], [0, half], [0, -half]], atol=1e-12)


def test_bounds_and_gradients_of_a_line_of_latents_by_hand(monkeypatch):
    """The likelihood by a sum over the line, and the VAE's gradients by its loss written out."""
    module = script("importance_weighted")
    config = changed(
        module,
        **{"latent_size": 1, "widths": (2,), "samples": (1,), "likelihood_samples": 1000},
        **{"gradients": 2000, "batch_size": 4},
    )
    row = {"objective": "elbo", "samples": 1, "seed": 1, "lane": 3}
    lane, first, other = (
        model(module, config, row, "elbo", 1, scale=scale, seed=seed)
        for seed, scale in enumerate((1.0, 0.5, 0.2))
    )
    # gradients are measured where the first lane of the seed is
    lanes, rows = (other, first, lane), [{"lane": n, "seed": n > 0} for n in (0, 1, 3)]
    monkeypatch.setattr(module.experiment, "model", lambda result, number: lanes[number])
    splits = types.SimpleNamespace(test=data.stored(IMAGES), train=data.stored(IMAGES[::-1]))
    outcome = types.SimpleNamespace(config=config, splits=splits, rows=rows, result=None)
    found = module.describe(lane, outcome)
    error = found["standard_error"]
    assert abs(found["log_likelihood"] - exact_log_likelihood(lane, *normal_grid())) < 4 * error
    batch = {"image": jnp.asarray(IMAGES)}
    again = [
        module.log_weights(config, key, lane.state, batch, lane.hparams)
        for key in jax.random.split(jax.random.key(1), 20)
    ]
    estimates = np.mean(logsumexp(np.asarray(again, float), axis=1) - np.log(1000), axis=1)
    assert 0.5 < np.std(estimates) / error < 1.5

    def dense(network, x):
        first, last = network["Dense_0"], network["Dense_1"]
        hidden = jnp.tanh(x @ first["kernel"] + first["bias"][None])
        return hidden @ last["kernel"] + last["bias"][None]

    def loss(params, noise):
        x = batch["image"].reshape(4, -1)
        mean, log_var = jnp.split(dense(params["encoder"], x), 2, axis=1)
        logits = dense(params["decoder"], mean + jnp.exp(log_var / 2) * noise)
        error = jnp.sum(jax.nn.softplus(logits) - x * logits, axis=1)
        return jnp.mean(error + 0.5 * jnp.sum(mean**2 + jnp.exp(log_var) - log_var - 1, axis=1))

    noise = np.random.default_rng(0).standard_normal((2000, 4, 1)).astype(np.float32)
    gradients = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(first.state.params, noise)
    for part, gradient in gradients.items():
        flat = np.concatenate([x.reshape(2000, -1) for x in jax.tree.leaves(gradient)], axis=1)
        ratio = np.linalg.norm(flat.mean(axis=0)) / np.sqrt(flat.var(axis=0).sum())
        assert found[f"{part}_snr"] == pytest.approx(ratio, rel=0.1)


def test_samples_are_compared_with_images():
    module, draws = script("likelihoods"), np.random.default_rng(0)
    mean, draw = draws.uniform(size=(2, 30, 2, 3, 1))
    real = draws.uniform(size=(40, 2, 3, 1)) ** 2
    found = module.compared({"mean": mean, "draw": draw}, real)

    def apart(x, y):
        x, y = x.reshape(30, -1), y.reshape(40, -1)
        a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
        return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a + b - 2 * sqrtm(a @ b).real)

    def rough(x):
        return np.abs(x[:, 1:] - x[:, :-1]).mean() + np.abs(x[:, :, 1:] - x[:, :, :-1]).mean()

    assert found == {
        "variance_ratio": pytest.approx(np.mean(mean.var(0)) / np.mean(real.var(0)), rel=1e-4),
        "sharpness": pytest.approx(rough(mean) / rough(real), rel=1e-4),
        "frechet_distance": pytest.approx(apart(mean, real), rel=1e-3),
        "drawn_distance": pytest.approx(apart(draw, real), rel=1e-3),
    }
    rows = np.tile([[[0.0], [0.0]], [[1.0], [1.0]]], (5, 2, 2, 1))
    assert module.neighbours_differ(rows) == 0.5  # below, and none beside


def test_the_noise_of_draws_is_the_variance_that_is_told():
    module = script("likelihoods")
    config = changed(module, widths=(), latent_size=2, samples=4000)
    row = {"likelihood": "learned_gaussian", "seed": 0}
    lane = model(module, config, row, "learned_gaussian", scale=0.05)
    layer = lane.state.params["decoder"]["network"]["Dense_0"]
    inside = {"kernel": layer["kernel"], "bias": 0.5 + layer["bias"]}
    decoder = {"network": {"Dense_0": inside}, "scale": jnp.asarray(np.log(0.003), jnp.float32)}
    lane = lane._replace(
        state=lane.state._replace(params={**lane.state.params, "decoder": decoder})
    )
    found = module.scales(config, lane, {"image": jnp.asarray(IMAGES)})
    assert found == {"learned_variance": pytest.approx(0.003, rel=1e-5)}
    made = module.generated(config, lane)
    np.testing.assert_allclose(np.var(made["draw"] - made["mean"]), 0.003, rtol=0.02)
    # latents from the prior, through a decoder that is linear
    flat = made["mean"].reshape(4000, -1)
    np.testing.assert_allclose(np.mean(flat, axis=0), inside["bias"], atol=0.01)
    expected = inside["kernel"].T @ inside["kernel"]
    np.testing.assert_allclose(np.cov(flat, rowvar=False), expected, atol=0.001)
    loud = {**decoder, "scale": jnp.asarray(0.0)}
    lane = lane._replace(state=lane.state._replace(params={**lane.state.params, "decoder": loud}))
    draw = module.generated(config, lane)["draw"]
    assert (np.min(draw), np.max(draw)) == (0, 1)


def test_levels_that_are_all_as_likely_take_their_number_of_bits():
    module = script("likelihoods")
    for name in ("logistic", "pixel_logistic"):
        lane = types.SimpleNamespace(
            row={"likelihood": name, "seed": 0},
            log_likelihood=lambda key, batch: jnp.full(4, -6 * np.log(17.0)),
        )
        found = module.scales(module.Config(), lane, {"image": IMAGES})
        assert found == {"bits_per_dimension": pytest.approx(math.log2(17), rel=1e-6)}


def test_a_decoder_gives_what_its_density_reads():
    module = script("likelihoods")
    config = changed(module, widths=(5, 7), latent_size=2)
    for name, density in module.DENSITIES.items():
        lane = model(module, config, {}, name)
        decoder = lane.state.params["decoder"]
        assert ("scale" in decoder) == (density.scale == "shared")
        layers = decoder["network"] if density.scale == "shared" else decoder
        sizes = {layer: own["kernel"].shape for layer, own in layers.items()}
        outputs = 12 if density.scale == "pixel" else 6
        assert sizes == {"Dense_0": (2, 7), "Dense_1": (7, 5), "Dense_2": (5, outputs)}
        made = jax.eval_shape(lane.decode, jnp.zeros((3, 2)))
        assert made.shape == (3, 2, 3, 1)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("capacity", [2]),
        *(("disentanglement", [kind, 100]) for kind in ("gaussian", "factor", "pairs")),
        ("hyperspherical_vae", ["normal", 2]),
        ("importance_weighted", ["iwae", 1]),
        ("likelihoods", ["bernoulli"]),
    ],
)
def test_a_decoder_has_the_layers_of_its_encoder_backwards(name, choices):
    module = script(name)
    config = changed(module, widths=(5, 7), latent_size=2)
    method = module.build(config, data.stored(IMAGES).spec, *choices)
    batch = {"image": jnp.asarray(IMAGES), "other": jnp.asarray(IMAGES)}
    params = jax.eval_shape(method.init, jax.random.key(0), batch, dict(method.hparams)).params
    for network, sizes in (("encoder", (6, 5, 7, 4)), ("decoder", (2, 7, 5, 6))):
        layers = [own["kernel"].shape for _, own in sorted(params[network].items())]
        assert layers == list(itertools.pairwise(sizes))


def test_a_method_of_disentanglement_is_a_vae_and_one_term():
    module = script("disentanglement")
    config = changed(
        module,
        **{"beta": (1.0, 4.0), "capacity": (5.0,), "capacity_weight": 9.0, "tc_weight": (3.0,)},
        **{"dip_i_weight": (2.0,), "dip_ii_weight": (7.0,), "matching_weight": (8.0,)},
        **{"factor_weight": (6.0,), "factor_learning_rate": 0.5, "pairs_beta": (2.0,)},
    )
    found = module.settings(config, 100)
    spec = data.stored(IMAGES).spec
    told = {}
    for kind, settings in found.items():
        for columns, own in settings:
            static = {name: own[name] for name in ("kind", "size")}
            assert static == {"kind": kind, "size": 100}
            numbers = {name: x for name, x in own.items() if name not in static}
            assert numbers.keys() <= module.build(config, spec, kind, 100).hparams.keys()
            told[columns["method"], columns["strength"]] = {n: x for n, x in numbers.items() if x}
    # each names all numbers of the program, but for terms that are 0 in all
    numbers = module.build(config, spec, "gaussian", 100).hparams
    idle = {"mutual_information_weight", "dimension_wise_weight"}
    assert [numbers[name] for name in idle] == [0, 0]
    for _, own in found["gaussian"]:
        assert own.keys() - {"kind", "size"} == numbers.keys() - {
            *idle,
            "learning_rate",
            "kernel_scale",
        }
    assert told == {
        ("beta-VAE", 1.0): {"beta": 1.0},
        ("beta-VAE", 4.0): {"beta": 4.0},
        ("AnnealedVAE", 5.0): {"capacity": 5.0, "capacity_weight": 9.0},
        ("beta-TCVAE", 3.0): {"beta": 1.0, "tc_weight": 3.0},
        ("DIP-VAE-I", 2.0): {
            **{"beta": 1.0, "dip_i_off_diagonal_weight": 2.0, "dip_i_diagonal_weight": 20.0}
        },
        ("DIP-VAE-II", 7.0): {
            **{"beta": 1.0, "dip_ii_off_diagonal_weight": 7.0, "dip_ii_diagonal_weight": 7.0}
        },
        ("InfoVAE", 8.0): {"beta": 1.0, "matching_weight": 8.0},
        ("FactorVAE", 6.0): {"tc_weight": 6.0, "discriminator_learning_rate": 0.5},
        ("Ada-GVAE", 2.0): {"beta": 2.0},
    }


def test_clusters_of_patches_are_means_of_zeros_and_ones_and_never_certain(monkeypatch):
    module = script("vq_vae")
    images = np.random.default_rng(0).integers(2, size=(6, 4, 4, 1)).astype(np.float32)
    labels = np.array([0] * 20 + [1] * 4)
    centres = np.array([[-1e-4, 1 + 1e-4, 0.25, 0.5], [1, 0, 0.5, 0.5]])  # rounding, in single

    class Known:
        def __init__(self, *given, **options):
            self.labels_, self.cluster_centers_ = labels, centres

        def fit(self, x):
            assert x.shape == (24, 4)
            return self

    monkeypatch.setattr("sklearn.cluster.KMeans", Known)
    splits = experiment.Splits(*[data.stored(images)] * 3)
    found = module.clusters(changed(module, size=2, widths=(3,)), splits, 0)
    means = np.array([[0, 1, 0.25, 0.5], [1, 0, 0.5, 0.5]])
    counts = np.array([[20], [4]])
    expected = (means * counts + 0.5) / (counts + 1)
    np.testing.assert_allclose(found["quantiser"]["codebook"], expected[None], rtol=1e-6)
