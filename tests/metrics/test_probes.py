import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from sklearn.svm import SVC

from ae_jax.core import InputError
from ae_jax.metrics import (
    fisher_separability,
    knn_accuracy,
    linear_probe,
    probed,
    representation_quality,
    silhouette,
    svm_accuracy,
)

PROBES = [linear_probe, knn_accuracy, svm_accuracy]


def blobs(count, seed, distance=8.0):
    """Three classes of unit variance whose means are that far from the origin."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return distance * np.eye(3)[labels] + rng.normal(size=(count, 3)), labels


@pytest.mark.parametrize("probe", PROBES)
def test_probes_tell_distant_classes_apart_and_guess_where_there_is_nothing(probe):
    train, test = blobs(90, 0), blobs(60, 1)
    assert probe(*train, *test) == 1
    as_images = [part.reshape(-1, 3, 1, 1) for part in (train[0], test[0])]
    images = jnp.asarray(as_images[0]), train[1], jnp.asarray(as_images[1]), jnp.asarray(test[1])
    assert probe(*images) == 1
    nothing = probe(*blobs(90, 0, distance=0.0), *blobs(600, 1, distance=0.0))
    # five standard deviations about 1/3, and those of a boundary that was fitted to noise
    assert 0.2 < nothing < 0.47


@pytest.mark.parametrize("probe", PROBES)
def test_probes_score_on_the_test_labels(probe):
    train, (latents, labels) = blobs(90, 0), blobs(60, 1)
    wrong = labels.copy()
    wrong[:15] = (wrong[:15] + 1) % 3
    assert probe(*train, latents, wrong) == 0.75


def test_only_the_linear_probe_fails_on_exclusive_or():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 2, (400, 2))
    latents, labels = 4 * corners + rng.normal(size=(400, 2)) * 0.3, corners[:, 0] ^ corners[:, 1]
    parts = latents[:200], labels[:200], latents[200:], labels[200:]
    assert linear_probe(*parts) < 0.8
    assert knn_accuracy(*parts) == svm_accuracy(*parts) == 1


def threshold(weight_decay):
    """Where logistic regression on 90 standardised -1 and 10 of +1 is undecided."""
    x, y = np.repeat([-1.0, 1.0], [90, 10]), np.repeat([-1.0, 1.0], [90, 10])
    x = (x - x.mean()) / x.std()

    def objective(parameters):
        slope, bias = parameters
        return np.logaddexp(0, -y * (slope * x + bias)).sum() + weight_decay / 2 * slope**2

    slope, bias = scipy.optimize.minimize(objective, [1.0, 0.0], tol=1e-10).x
    return -bias / slope * 0.6 - 0.8  # in units of x, whose mean is -0.8 and deviation 0.6


@pytest.mark.parametrize("options", [{}, {"weight_decay": 20.0}])
def test_the_linear_probe_minimises_its_penalised_likelihood(options):
    labels = np.repeat([0, 1], [90, 10])
    grid = np.linspace(-1, 2, 3001)[:, None]
    above = linear_probe(2.0 * labels[:, None] - 1, labels, grid, np.ones(3001, int), **options)
    expected = np.mean(grid > threshold(options.get("weight_decay", 1.0)))
    assert abs(above - expected) < 2e-3


def test_the_cost_and_the_width_of_the_support_vector_machine():
    train, test = blobs(90, 0, distance=1.5), blobs(600, 1, distance=1.5)
    wide = [(part[0] * 7, part[1]) for part in (train, test)]

    def score(train, test, cost):
        machine = SVC(C=cost, gamma=1 / (3 * train[0].var())).fit(*train)
        return np.mean(machine.predict(test[0]) == test[1])

    scores = [score(train, test, cost) for cost in (10.0, 100.0)]
    assert svm_accuracy(*train, *test) == svm_accuracy(*wide[0], *wide[1]) == scores[0]
    assert svm_accuracy(*train, *test, cost=100.0) == scores[1] != scores[0]


def test_the_linear_probe_standardises_and_the_nearest_neighbours_do_not():
    train, test = blobs(90, 0), blobs(60, 1)
    scale = np.array([1.0, 1e4, 1e-4])
    # the third dimension is lost to distances, not to a standardised probe
    parts = train[0] * scale, train[1], test[0] * scale, test[1]
    assert linear_probe(*parts) == linear_probe(*train, *test) == 1
    assert knn_accuracy(*parts) < 1


def test_constant_dimensions_do_no_harm():
    train, test = blobs(90, 0), blobs(60, 1)
    padded = [np.pad(part[0], ((0, 0), (0, 2))) for part in (train, test)]
    for probe in PROBES:
        assert probe(padded[0], train[1], padded[1], test[1]) == 1


def test_nearest_neighbours_by_hand():
    train = np.array([[0.0], [1.0], [10.0], [11.0], [12.0]]), np.array([0, 0, 1, 1, 1])
    test = np.array([[0.5], [5.9]]), np.array([0, 0])
    # the nearest of 5.9 is 10; among its five nearest the ones win, also at 0.5
    assert knn_accuracy(*train, *test, neighbours=1) == 0.5
    assert knn_accuracy(*train, *test, neighbours=3) == 0.5
    assert knn_accuracy(*train, *test) == 0


def test_more_weight_decay_keeps_a_probe_from_fitting_noise():
    rng = np.random.default_rng(0)
    latents, labels = rng.normal(size=(20, 30)), np.arange(20) % 2
    assert linear_probe(latents, labels, latents, labels, weight_decay=1e-3) == 1
    shrunk = linear_probe(latents, labels, blobs_like(rng), np.arange(20) % 2, weight_decay=1e6)
    assert 0.1 < shrunk < 0.9


def blobs_like(rng):
    return rng.normal(size=(20, 30))


def test_fisher_separability_by_hand():
    # class means (0, 0) and (4, 0), overall (1, 0): 3 * 1 + 1 * 9 = 12 between;
    # within 1 + 1 + 0 (first class) + 0 = 2
    latents = np.array([[1.0, 0], [-1.0, 0], [0, 0], [4.0, 0]])
    np.testing.assert_allclose(fisher_separability(latents, np.array([5, 5, 5, 2])), 6)


def test_fisher_separability_is_invariant_and_splits_the_total_scatter():
    latents, labels = blobs(30, 0, distance=2.0)
    value = fisher_separability(latents, labels)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(
        fisher_separability(7 * latents @ rotation + 100, labels), value, rtol=1e-9
    )
    # between + within = total
    within = sum(np.sum(np.var(latents[labels == c], axis=0)) * 10 for c in range(3))
    total = np.sum(np.var(latents, axis=0)) * 30
    np.testing.assert_allclose(value, total / within - 1, rtol=1e-9)


def test_fisher_separability_at_its_ends():
    points = np.array([[0.0, 1.0], [0.0, 1.0], [2.0, 1.0]])
    assert fisher_separability(points, np.array([0, 0, 1])) == np.inf
    assert fisher_separability(points, np.array([0, 1, 1])) > 0
    assert fisher_separability(np.ones((4, 2)), np.arange(4) % 2) == 0
    assert fisher_separability(np.array([[1.0], [-1], [2], [-2]]), np.array([0, 0, 1, 1])) == 0


def test_silhouette_by_hand():
    # pairs 1 apart and 10 apart: a = 1; b = 10.5 for the outer two, 9.5 for the inner two
    latents = np.array([[0.0], [1.0], [10.0], [11.0]])
    expected = (9.5 / 10.5 + 8.5 / 9.5) / 2
    np.testing.assert_allclose(silhouette(latents, np.array([0, 0, 1, 1])), expected)
    assert silhouette(latents, np.array([0, 1, 0, 1])) < 0
    # distances are Euclidean: 5 within the first class, 13 and 12 to the point of the second
    corner = np.array([[0.0, 0.0], [5.0, 0.0], [5.0, 12.0]])
    expected = ((13 - 5) / 13 + (12 - 5) / 12 + 0) / 3
    np.testing.assert_allclose(silhouette(corner, np.array([0, 0, 1])), expected)


def far(latents, offset):
    """Shifted, in steps of 1/8 that both places can hold."""
    return np.round(latents * 8) / 8 + offset


@pytest.mark.parametrize("offset", [1e7, 3e9])
def test_distances_keep_their_digits_far_from_the_origin(offset):
    train, test = blobs(90, 0, distance=2.0), blobs(60, 1, distance=2.0)
    wide = [np.pad(part[0], ((0, 0), (0, 20))) for part in (train, test)]
    near, moved = ([far(part, shift) for part in wide] for shift in (0, offset))
    for probe in PROBES:
        expected = probe(near[0], train[1], near[1], test[1])
        assert expected > 0.7
        np.testing.assert_allclose(
            probe(moved[0], train[1], moved[1], test[1]), expected, atol=1e-9
        )
    for measure in (fisher_separability, silhouette):
        expected = measure(near[0], train[1])
        assert expected > 0.1
        np.testing.assert_allclose(measure(moved[0], train[1]), expected, rtol=1e-9)


def test_the_support_vector_machine_of_constant_latents_guesses():
    labels = np.array([0, 0, 1])
    assert svm_accuracy(np.full((3, 2), 0.1), labels, np.full((3, 2), 0.1), labels) == 2 / 3
    assert svm_accuracy(np.zeros((3, 2)), labels, np.zeros((3, 2)), labels) == 2 / 3


POINT = np.array([0.1, 0.7, 7.3])


def test_one_point_is_not_separable():
    # the mean of seven times 0.1 is not 0.1: scatters of rounding size gave 5.3 and 152
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    assert fisher_separability(np.tile(POINT, (7, 1)), labels) == 0
    assert silhouette(np.tile(POINT, (7, 1)), labels) == 0
    two = np.where(labels[:, None] == 0, POINT, 2 * POINT + 0.01)
    assert fisher_separability(two, labels) == np.inf
    assert silhouette(two, labels) == 1
    # the third class is elsewhere: the first two are still one point, whose silhouettes are 0
    three = np.concatenate([np.tile(POINT, (6, 1)), np.tile(POINT + 1, (2, 1))])
    assert silhouette(three, np.array([0, 0, 0, 1, 1, 1, 2, 2])) == 2 / 8


GOOD = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((GOOD[0], GOOD[1][:3], *GOOD), r"train_labels must be .* \[4, 2\] and \[3\]"),
        ((*GOOD, GOOD[0][:, :1], GOOD[1]), "2 dimensions and test_latents 1"),
        ((GOOD[0] * np.nan, GOOD[1], *GOOD), "train_latents contain values"),
        ((GOOD[0], np.zeros(4, int), *GOOD), "train_labels are of one class"),
        ((*GOOD, GOOD[0], GOOD[1] / 2), "test_labels must be integers"),
        ((*GOOD, np.zeros((0, 2)), np.zeros(0, int)), "not empty"),
    ],
)
def test_probes_refuse(probe, arguments, message):
    options = {"neighbours": 1} if probe is knn_accuracy else {}
    with pytest.raises(InputError, match=message) as error:
        probe(*arguments, **options)
    assert "\n" not in str(error.value)


def test_more_refusals():
    with pytest.raises(InputError, match="5 neighbours among 4"):
        knn_accuracy(*GOOD, *GOOD)
    with pytest.raises(InputError, match="0 neighbours among 4"):
        knn_accuracy(*GOOD, *GOOD, neighbours=0)
    for wrong in (0, -1.0, np.nan):
        with pytest.raises(InputError, match="weight_decay must be positive"):
            linear_probe(*GOOD, *GOOD, weight_decay=wrong)
        with pytest.raises(InputError, match="cost must be positive"):
            svm_accuracy(*GOOD, *GOOD, cost=wrong)
    for measure in (fisher_separability, silhouette):
        with pytest.raises(InputError, match="labels are of one class"):
            measure(GOOD[0], np.zeros(4, int))
    with pytest.raises(InputError, match="all different"):
        silhouette(GOOD[0], np.arange(4))


def test_the_quality_of_a_representation_is_all_measures_together():
    train, test = blobs(30, 0, distance=2.0), blobs(20, 1, distance=2.0)
    found = representation_quality(*train, *test)
    assert found == {
        "linear_probe": 100 * linear_probe(*train, *test),
        "knn": 100 * knn_accuracy(*train, *test),
        "svm": 100 * svm_accuracy(*train, *test),
        "fisher_separability": fisher_separability(*test),
        "silhouette": silhouette(*test),
    }
    assert 50 < found["knn"] < 100  # in percent


def test_a_representation_is_probed_where_labels_tell_examples_apart():
    (x, label), (y, other) = blobs(30, 0, distance=2.0), blobs(20, 1, distance=2.0)
    train, test = {"image": x, "label": label}, {"image": y, "label": other}
    found = probed(lambda batch: batch["image"][:, :2], train, test)
    assert found == {"linear_probe": 100 * linear_probe(x[:, :2], label, y[:, :2], other)}
    assert probed(lambda batch: batch["image"], {"image": x}, {"image": y}) == {}
    assert probed(lambda batch: batch["image"], {**train, "label": 0 * label}, test) == {}
