import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import metrics
from ae_jax.core import InputError
from ae_jax.metrics import _samples

pytestmark = pytest.mark.usefixtures("x64")

A = np.arange(10.0)
REAL = np.stack([np.sin(1.7 * A + 1), np.cos(2.3 * A)], axis=1)
FAKE = np.stack([0.6 * np.sin(2.9 * A), 0.6 * np.cos(1.3 * A) + 0.5], axis=1)[:8]


def everything(real, fake, k):
    """Precision, recall, density and coverage."""
    found = *metrics.precision_recall(real, fake, k), *metrics.density_coverage(real, fake, k)
    return [float(value) for value in found]


def by_numpy(real, fake, k, within=np.less_equal, skipped=1):
    def distances(a, b):
        return np.sqrt(np.sum((a[:, None] - b[None]) ** 2, axis=-1))

    of_real = np.sort(distances(real, real), axis=1)[:, k - 1 + skipped]
    of_fake = np.sort(distances(fake, fake), axis=1)[:, k - 1 + skipped]
    across = distances(real, fake)
    inside = within(across, of_real[:, None])
    return [
        inside.any(axis=0).mean(),
        within(across, of_fake[None]).any(axis=1).mean(),
        inside.sum(axis=0).mean() / k,
        inside.any(axis=1).mean(),
    ]


@pytest.mark.parametrize(
    ("real", "fake", "k", "values"),
    [
        (REAL, FAKE, 1, [0.625, 0.5, 0.625, 0.4]),
        (REAL, FAKE, 3, [1.0, 0.8, 1.7083333333333333, 1.0]),
        # each example is in its own neighbourhood and those of k others: density (k + 1) / k
        (REAL, REAL, 3, [1.0, 1.0, 1.3333333333333333, 1.0]),
        (REAL, FAKE + 100, 3, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_values(real, fake, k, values):
    np.testing.assert_allclose(everything(real, fake, k), values, rtol=1e-12)
    np.testing.assert_allclose(by_numpy(real, fake, k), values, rtol=1e-12)


def test_on_a_line():
    # radii 1, 1 and 2 of real, 2.1, 2.1 and 7.5 of fake examples
    real, fake = np.array([[0.0], [1], [3]]), np.array([[0.4], [2.5], [10]])
    np.testing.assert_allclose(everything(real, fake, 1), [2 / 3, 1, 1, 1], rtol=1e-12)
    # a neighbour that is the example itself has the radius 0: no fake is near
    assert by_numpy(real, fake, 1, skipped=0) == [0, 0, 0, 0]
    # of two examples each: radii 1 of real ones, which both hold 0.4 and not 3
    real, fake = np.array([[0.0], [1]]), np.array([[0.4], [3]])
    np.testing.assert_allclose(everything(real, fake, 1), [1 / 2, 1, 1, 1], rtol=1e-12)


def test_one_outlier_makes_everything_precise_but_does_not_cover():
    real, fake = np.array([[0.0], [1], [3], [1000]]), np.array([[500.0], [501], [502]])
    assert everything(real, fake, 1) == [1, 0, 1, 0.25]


def test_the_edge_of_a_neighbourhood_is_inside():
    constant = np.full((4, 3), 0.1)
    assert everything(constant, constant, 3) == [1, 1, 4 / 3, 1]
    assert by_numpy(constant, constant, 3, within=np.less) == [0, 0, 0, 0]
    # neighbours themselves are on the edge, in every dimension and at every scale
    x = np.random.default_rng(0).normal(size=(90, 37)).astype(np.float32)
    for scale in (1e-6, 1.0, 1e6):
        np.testing.assert_allclose(
            everything(np.float32(scale) * x, np.float32(scale) * x, 3), [1, 1, 4 / 3, 1], rtol=1e-6
        )


def test_blocks_make_no_difference(monkeypatch):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(45, 5)), 1.2 * rng.normal(size=(38, 5))
    jax.clear_caches()
    monkeypatch.setattr(_samples, "BLOCK", 300)  # 7 rows at a time, which do not divide 45
    found = everything(real, fake, 4)
    jax.clear_caches()  # what is compiled next is of whole blocks again
    np.testing.assert_allclose(found, by_numpy(real, fake, 4), rtol=1e-12)
    assert len(set(found)) == 4


def test_memory_is_linear_in_the_number_of_examples():
    x = jax.ShapeDtypeStruct((10_000, 64), jnp.float32)
    compiled = jax.jit(metrics.precision_recall).lower(x, x).compile()
    # distances of all pairs would be 400 MB
    assert compiled.memory_analysis().temp_size_in_bytes < 100e6


def test_what_to_expect_of_the_same_distribution():
    # coverage 1 - prod_{j=1..k} (N - j) / (N + M - j), density 1
    real, fake = np.random.default_rng(0).normal(size=(2, 60, 100, 3))
    density, coverage = jax.vmap(metrics.density_coverage)(real, fake)
    np.testing.assert_allclose(np.mean(coverage), 0.9710697179768424, atol=0.012)
    np.testing.assert_allclose(np.mean(density), 1, atol=0.04)
    # the formula itself, which for more examples tends to 1 - 2^-5
    known = {100: 0.9710697179768424, 1000: 0.968984140038212, 10_000: 0.9687734351556639}
    for count, expected in known.items():
        j = np.arange(1, 6)
        formula = 1 - np.prod((count - j) / (2 * count - j))
        np.testing.assert_allclose(formula, expected, rtol=1e-12)


def test_nearest_examples():
    rng = np.random.default_rng(0)
    queries, examples = rng.normal(size=(7, 4)), rng.normal(size=(30, 4))
    places, distances = metrics.nearest_examples(queries, examples, 3)
    expected = np.linalg.norm(queries[:, None] - examples[None], axis=-1)
    np.testing.assert_array_equal(places, np.argsort(expected, axis=1)[:, :3])
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :3], rtol=1e-12)


def test_a_copy_is_at_distance_0_and_the_first_of_several_is_found():
    x = 1e6 + np.random.default_rng(0).normal(size=(20, 33)).astype(np.float32)
    places, distances = metrics.nearest_examples(x, np.concatenate([x, x]))
    np.testing.assert_array_equal(places[:, 0], np.arange(20))
    np.testing.assert_array_equal(distances, 0)
    half = metrics.nearest_examples(jnp.asarray(x, jnp.bfloat16), jnp.asarray(x))[1]
    assert half.dtype == jnp.float32


def test_memorisation_by_hand():
    # samples at 0.5 and 2 of the nearest training example, test examples at 0.5, 1 and 3:
    # nearer in 2 pairs and half a tie of the first, in 1 of the second, of 6
    train = np.array([[0.0], [10]])
    found = metrics.memorisation(np.array([[0.5], [8]]), train, np.array([[10.5], [-1], [3]]))
    assert found == pytest.approx(
        {"sample_distance": 1.25, "test_distance": 1.5, "closer": 3.5 / 6}, rel=1e-15
    )


def test_copies_are_told_from_new_examples():
    train, test, new = np.random.default_rng(0).normal(size=(3, 200, 2))
    copied = metrics.memorisation(train[:50], train, test)
    assert (copied["sample_distance"], copied["closer"]) == (0, 1)
    assert abs(metrics.memorisation(new, train, test)["closer"] - 0.5) < 0.1
    assert metrics.memorisation(new + 9, train, test)["closer"] < 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.precision_recall(REAL, FAKE, 8), "k must be from 1 to 7"),
        (lambda: metrics.precision_recall(FAKE, REAL, 8), "k must be from 1 to 7"),
        (lambda: metrics.precision_recall(REAL, FAKE, 0), "k must be from 1 to 7"),
        (lambda: metrics.density_coverage(REAL, FAKE, 10), "k must be from 1 to 9"),
        (lambda: metrics.density_coverage(REAL, FAKE, 1.5), "k must be .* and whole; got 1.5"),
        (lambda: metrics.precision_recall(REAL, FAKE[:1]), "need at least 2 examples, got 1"),
        (lambda: metrics.density_coverage(REAL[:1], FAKE), "need at least 2 examples, got 1"),
        (lambda: metrics.nearest_examples(REAL, FAKE, 1.5), "count must be from 1 to 8"),
        (lambda: metrics.nearest_examples(REAL, FAKE, 9), "count must be from 1 to 8"),
        (lambda: metrics.memorisation(REAL, FAKE, FAKE[:0]), r"at least 1 .* test \[0, 2\]"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_density_is_of_any_number_of_fakes():
    assert metrics.density_coverage(REAL, REAL[:1], 9) == (10 / 9, 1.0)
