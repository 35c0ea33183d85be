"""What experiments say of generated images, and lanes as they were before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, experiment, methods, metrics, nets, training
from ae_jax.core import InputError
from ae_jax.data.stored import stored


def images(seed, count):
    return np.random.default_rng(seed).uniform(size=(count, 2, 2, 1)).astype(np.float32)


def test_generated_images_are_measured_by_pixels_and_by_features():
    made, train, test = images(0, 12), images(1, 9), images(2, 10)
    made[0] = train[3]  # a copy
    half = experiment.generated(made, train, test, {"half_": lambda x: x[:, 0].reshape(len(x), -1)})
    fake, seen, real = (jnp.asarray(x.reshape(len(x), -1)) for x in (made, train, test))
    kernel, error = metrics.kernel_distance(fake, real)
    density, coverage = metrics.density_coverage(real, fake)
    precision, recall = metrics.precision_recall(real, fake)
    expected = {
        "kernel_distance": kernel,
        "kernel_error": error,
        "frechet_distance": metrics.frechet_distance_of_samples(fake, real),
        "half_kernel_distance": metrics.kernel_distance(fake[:, :2], real[:, :2]).mean,
        "half_kernel_error": metrics.kernel_distance(fake[:, :2], real[:, :2]).error,
        "half_frechet_distance": metrics.frechet_distance_of_samples(fake[:, :2], real[:, :2]),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
        **metrics.memorisation(fake, seen, real),
    }
    assert half == pytest.approx({name: float(value) for name, value in expected.items()})
    nearest = np.linalg.norm(np.asarray(fake)[:, None] - np.asarray(seen)[None], axis=-1).min(1)
    assert nearest[0] == 0
    assert half["sample_distance"] == pytest.approx(nearest.mean(), rel=1e-5)


def test_too_few_images_to_measure_are_refused():
    experiment.check_generated(4, 6)
    assert all(np.isfinite([*experiment.generated(*map(images, (0, 1, 2), (4, 1, 6))).values()]))
    with pytest.raises(InputError, match="by 4 samples or more, got 3"):
        experiment.check_generated(3, 6)
    with pytest.raises(InputError, match="by 6 test images or more, got 5"):
        experiment.check_generated(4, 5)


def test_the_gaussian_has_the_moments_of_the_images():
    x = images(3, 50) ** 2
    x[:, 1] = x[:, 0]  # a singular covariance
    drawn = experiment.gaussian_images(jax.random.key(0), jnp.asarray(x), 40_000)
    assert drawn.shape == (40_000, 2, 2, 1)
    np.testing.assert_allclose(drawn[:, 1], drawn[:, 0], atol=1e-6)
    flat, given = (np.reshape(a, (len(a), -1)) for a in (drawn, x))
    np.testing.assert_allclose(flat.mean(0), given.mean(0), atol=0.01)
    np.testing.assert_allclose(np.cov(flat.T), np.cov(given.T, bias=True), atol=0.003)


@pytest.mark.full
def test_lanes_as_they_were_are_those_that_went_on(tmp_path):
    config = experiment.Config(seeds=2, steps=6, batch_size=4, devices=1, out=tmp_path)
    part = data.subset(stored(images(4, 20), origin="random"), slice(0, 20))
    splits = experiment.Splits(part, part, part)
    method = methods.autoencoder(nets.mlp(1, ()), nets.mlp((2, 2, 1), ()))
    options = {"schedules": [training.warmup_cosine(6)], "validation": None}
    same = config, "autoencoder", method, splits, {}
    found = experiment.earlier(*same, [2, 6], part="early", **options)
    assert [(steps, lane.row["seed"]) for steps, lane in found] == [(2, 0), (2, 1), (6, 0), (6, 1)]
    whole = experiment.sweep(*same, part="whole", **options)
    for (_, early), (_, late), row in zip(found[:2], found[2:], whole.result.rows, strict=True):
        final = experiment.model(whole.result, row["lane"])
        jax.tree.map(np.testing.assert_array_equal, late.state.params, final.state.params)
        assert early.row["loss"] > late.row["loss"]
        assert float(early.hparams["learning_rate"]) > float(late.hparams["learning_rate"])


def test_a_film_begins_before_training_and_looks_ever_less_often():
    times = experiment.film_times(4000)
    assert (times[:2], times[-1], len(times)) == ([0, 40], 4000, 31)
    gaps = np.diff(times[1:])
    np.testing.assert_allclose(gaps[1:] / gaps[:-1], 100 ** (1 / 29), rtol=0.2)
    assert experiment.film_times(8, frames=5) == [0, 1, 8]
    assert experiment.film_times(1) == [0, 1]


def test_features_are_those_of_a_classifier_where_there_are_labels(tmp_path):
    config = experiment.Config(seeds=1, steps=30, batch_size=4, devices=1, out=tmp_path)
    label = np.arange(24) % 2
    x = images(5, 24) / 2 + 0.5 * label[:, None, None, None].astype(np.float32)
    part = stored(x, label, origin="random")
    splits = experiment.Splits(part, part, part)
    encoder = nets.mlp(3, (), output_activation="relu")
    features, said = experiment.class_features(config, "x", splits, encoder, learning_rate=0.1)
    found = features["feature_"](jnp.asarray(x))
    assert found.shape == (24, 3)
    np.testing.assert_allclose(np.mean(found**2), 1, rtol=1e-5)
    assert "that is wrong about 0.0% of the test images" in said[0]
    bare = experiment.Splits(*[stored(x, origin="random")] * 3)
    assert experiment.class_features(config, "x", bare, encoder) == ({}, [])
