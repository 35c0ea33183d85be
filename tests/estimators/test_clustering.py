import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ae_jax import metrics
from ae_jax.estimators import DeepClustering
from ae_jax.estimators.tables import TableEstimator

DRAWN = np.random.default_rng(0)
PLACES = np.array([[0.0, 0, 1, 2], [3.0, 1, -2, 0], [-2.0, 4, 0, 1]])


def rows(count):
    """Of three groups in four columns of different units, and a column that is always 3."""
    label = np.arange(count) % 3
    near = PLACES[label] + 0.3 * DRAWN.normal(size=(count, 4))
    return np.column_stack([near * [1, 10, 100, 1] + 7, np.full(count, 3.0)]), label


(X, LABEL), (NEW, NEW_LABEL) = rows(90), rows(300)
GIVEN = {"n_clusters": 3, "widths": (), "pretraining_steps": 600, "steps": 40, "refresh_every": 10}
GIVEN |= {"learning_rate": 0.02, "tolerance": 0.0, "n_init": 2, "random_state": 3}
#: Enough where it does not matter what is found.
SHORT = GIVEN | {"latent_size": 2, "pretraining_steps": 2, "steps": 4, "refresh_every": 2}


@pytest.fixture(scope="module")
def fitted():
    return DeepClustering(**GIVEN).fit(X)


@pytest.fixture(scope="module")
def short():
    return DeepClustering(**SHORT).fit(X)


def test_rows_belong_to_the_nearest_centre(fitted):
    assert metrics.cluster_accuracy(fitted.labels_, LABEL) == 1
    assert metrics.cluster_accuracy(fitted.predict(NEW), NEW_LABEL) == 1
    np.testing.assert_array_equal(fitted.predict(X), fitted.labels_)
    latent, centres = fitted.encode(NEW), fitted.cluster_centers_
    assert (latent.shape, centres.shape, fitted.n_features_in_) == ((300, 3), (3, 3), 5)
    squared = np.sum((latent[:, None] - centres) ** 2, axis=2)
    np.testing.assert_allclose(fitted.transform(NEW), np.sqrt(squared), rtol=1e-6)
    np.testing.assert_array_equal(fitted.predict(NEW), np.argmin(squared, axis=1))
    kernel = 1 / (1 + squared)
    shares = kernel / kernel.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.predict_proba(NEW), shares, rtol=1e-5)


def test_prototypes_are_rows_of_the_groups_in_their_own_units(fitted):
    means = np.stack([X[fitted.labels_ == k].mean(axis=0) for k in range(3)])
    away = (fitted.prototypes_ - means) / np.where(X.std(axis=0) > 1e-9, X.std(axis=0), 1)
    assert fitted.prototypes_.shape == (3, 5)
    assert np.abs(away).max() < 0.3, away


@pytest.mark.full
def test_it_begins_with_k_means_of_the_latents():
    still = DeepClustering(**SHORT | {"learning_rate": 1e-9}).fit(X)
    means = KMeans(3, n_init=2, random_state=0).fit(still.encode(X)).cluster_centers_
    expected, found = (x[np.argsort(x[:, 0])] for x in (means, still.cluster_centers_))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_it_ends_when_few_rows_change_their_cluster(fitted, short, monkeypatch):
    # rows of `fit` are not looked at again, when names of columns would be missed
    monkeypatch.setattr(TableEstimator, "_checked", None)
    assert (fitted.n_iter_, short.n_iter_) == (40, 4)
    # all have changed at first, and at the first refresh fewer
    assert DeepClustering(**SHORT | {"tolerance": 0.9}).fit(X).n_iter_ == 2


def test_rows_do_not_depend_on_their_company_nor_on_being_far_out(fitted):
    together = fitted.transform(NEW)  # two blocks of rows
    one_by_one = np.concatenate([fitted.transform(NEW[i : i + 1]) for i in (0, 256, 299)])
    np.testing.assert_array_equal(together[[0, 256, 299]], one_by_one)
    far = NEW[:2].copy()
    far[0, 0], far[1] = 1e300, -1e250
    assert np.isfinite(fitted.transform(far)).all()
    np.testing.assert_allclose(fitted.predict_proba(far).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.full
def test_a_seed_repeats_everything(short):
    drawn = np.random.RandomState(3)
    again, other = (clone(short).set_params(random_state=drawn).fit(X) for _ in range(2))
    np.testing.assert_array_equal(again.transform(NEW), short.transform(NEW))
    assert np.abs(other.transform(NEW) - short.transform(NEW)).max() > 0.01
    kept = pickle.loads(pickle.dumps(short))
    np.testing.assert_array_equal(kept.predict(NEW), short.predict(NEW))


@pytest.mark.full
def test_it_stands_in_a_pipeline(short):
    pipeline = make_pipeline(FunctionTransformer(lambda x: x[:, ::-1]), DeepClustering())
    pipeline.set_params(**{f"deepclustering__{name}": value for name, value in SHORT.items()})
    np.testing.assert_array_equal(pipeline.fit_predict(X[:, ::-1]), short.labels_)
    np.testing.assert_array_equal(pipeline.transform(NEW[:, ::-1]), short.transform(NEW))
    assert short.get_feature_names_out().tolist() == [f"deepclustering{k}" for k in range(3)]


@pytest.mark.full
def test_latents_are_as_many_as_columns_or_clusters(fitted, short):
    few = DeepClustering(**SHORT | {"latent_size": None}).fit(X[:, :2])
    shapes = [each.cluster_centers_.shape for each in (fitted, short, few)]
    assert shapes == [(3, 3), (3, 2), (3, 2)]
    assert fitted.labels_.dtype == int
    one = DeepClustering(**SHORT | {"n_clusters": 1}).fit(X[:, :2])
    assert (one.labels_ == 0).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"n_clusters": 0}, "n_clusters is 0: use a whole number"),
        ({"n_init": 0}, "n_init is 0"),
        ({"latent_size": 0}, "latent_size is 0: use a whole number"),
        ({"widths": (0,)}, "a size of widths is 0"),
        ({"pretraining_steps": 0}, "pretraining_steps is 0"),
        ({"steps": 0}, "^steps is 0"),
        ({"refresh_every": 0}, "refresh_every is 0"),
        ({"tolerance": 2.0}, "tolerance is 2"),
        ({"clustering_weight": -1.0}, "clustering_weight is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"learning_rate": 1e30}, "broke at step .*: lower learning_rate"),
    ],
)
def test_parameters_that_cannot_be_used(given, words):
    with pytest.raises(ValueError, match=words):
        DeepClustering(**SHORT | given).fit(X)


def test_rows_that_cannot_be_used(short):
    with pytest.raises(ValueError, match="contains NaN"):
        DeepClustering(**SHORT).fit(np.where(X == 3, np.nan, X))
    few = r"^n_clusters=3 needs as many different rows, got 2 of n_samples=(2|40)$"
    for rows in (X[:2], np.repeat(X[:2], 20, axis=0)):
        with pytest.raises(ValueError, match=few):
            DeepClustering(**SHORT).fit(rows)
    with pytest.raises(ValueError, match="needs as many different rows, got 1 of n_samples=90"):
        DeepClustering(**SHORT).fit(X[:, 4:])  # always 3
    with pytest.raises(NotFittedError):
        DeepClustering().predict(X)
    with pytest.raises(ValueError, match="4 features, but DeepClustering is expecting 5"):
        short.predict(NEW[:, :4])
