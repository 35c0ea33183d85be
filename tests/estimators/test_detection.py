import pickle

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ae_jax import metrics
from ae_jax.estimators import AnomalyDetector

DRAWN = np.random.default_rng(0)
MIXING = np.array([[1.0, 1, 1, 0, 0], [0, 0, 1, -1, 1]])


def normal(count):
    """Two factors in five columns of different units, and a column that is always 3."""
    mixed = DRAWN.normal(size=(count, 2)) @ MIXING + 0.1 * DRAWN.normal(size=(count, 5))
    return np.column_stack([mixed * [1, 10, 100, 1, 1] + 7, np.full(count, 3.0)])


X, NEW = normal(400), normal(600)
ODD = DRAWN.permuted(NEW, axis=0)  # each column as it was, and nothing of how they belong together
GIVEN = {"widths": (), "latent_size": 2, "steps": 2000, "learning_rate": 0.05}
GIVEN |= {"batch_size": 400, "random_state": 3}


@pytest.fixture(scope="module")
def fitted():
    return AnomalyDetector(**GIVEN).fit(X)


@pytest.fixture(scope="module")
def parts():
    """The rows that are trained on, and those that are held out."""
    order = np.random.RandomState(3).permutation(400)
    return X[order[100:]], X[order[:100]]


def test_without_hidden_layers_the_score_is_that_of_principal_components(fitted, parts):
    trained, _ = parts
    deviation = np.where(trained.std(axis=0) > 1e-9, trained.std(axis=0), 1)
    scaled = [(x - trained.mean(axis=0)) / deviation for x in (trained, np.vstack([NEW, ODD]))]
    principal = PCA(2).fit(scaled[0])
    missed = scaled[1] - principal.inverse_transform(principal.transform(scaled[1]))
    found = fitted.score_samples(np.vstack([NEW, ODD]))
    np.testing.assert_allclose(found, -np.sum(missed**2, axis=1), rtol=0.1, atol=0.01)


def test_the_threshold_is_of_rows_that_trained_nothing(fitted, parts):
    _, held_out = parts
    errors = -fitted.score_samples(held_out)
    np.testing.assert_allclose(fitted.calibration_errors_, errors, rtol=1e-6)
    # k = ceil(101 * 0.95) = 96
    assert fitted.threshold_ == np.sort(fitted.calibration_errors_)[95]
    assert (fitted.offset_, fitted.alpha_) == (-fitted.threshold_, 0.05)
    low, high = metrics.false_alarms(100, 0.05, 0.999)
    assert low < np.mean(fitted.predict(NEW) == -1) < high
    assert np.mean(fitted.predict(ODD) == -1) > 0.9
    np.testing.assert_array_equal(
        fitted.predict(ODD), np.where(-fitted.score_samples(ODD) > fitted.threshold_, -1, 1)
    )


def test_no_statistic_is_of_the_rows_held_out(fitted):
    order = np.random.RandomState(3).permutation(400)
    spoiled = X.copy()
    spoiled[order[:100]] *= 1e6
    found = AnomalyDetector(**GIVEN).fit(spoiled)
    np.testing.assert_array_equal(found.score_samples(NEW), fitted.score_samples(NEW))
    assert found.threshold_ > 1e6 * fitted.threshold_


def test_each_column_says_what_of_it_does_not_fit(fitted, parts):
    deviation = np.where(parts[0].std(axis=0) > 1e-9, parts[0].std(axis=0), 1)
    errors = fitted.errors(NEW)
    np.testing.assert_allclose(errors.sum(axis=1), -fitted.score_samples(NEW), rtol=1e-6)
    expected = ((NEW - fitted.reconstruct(NEW)) / deviation) ** 2
    np.testing.assert_allclose(errors, expected, rtol=1e-4, atol=1e-5)
    other = NEW[:1].copy()
    other[0, 5] = 13.0  # of a column that had been constant
    assert fitted.predict(other) == -1
    assert np.argmax(fitted.errors(other)) == 5


def test_rows_do_not_depend_on_their_company(fitted):
    together = fitted.score_samples(NEW)  # three blocks of rows
    one_by_one = np.concatenate([fitted.score_samples(NEW[i : i + 1]) for i in (0, 300, 599)])
    np.testing.assert_array_equal(together[[0, 300, 599]], one_by_one)


def test_what_lies_very_far_out_has_a_score(fitted):
    far = NEW[:3].copy()
    far[0, 0], far[1], far[2, 2] = 1e300, -1e250, 1e30
    assert np.isfinite(fitted.score_samples(far)).all()
    assert (fitted.predict(far) == -1).all()


def test_units_do_not_matter_however_large_or_small():
    short = GIVEN | {"steps": 3}
    units = np.exp2([1000, -1000, 0, 500, -500, 1020])  # which change no digit
    plain, other = AnomalyDetector(**short).fit(X), AnomalyDetector(**short).fit(X * units)
    np.testing.assert_array_equal(other.score_samples(NEW * units), plain.score_samples(NEW))
    made = [plain.reconstruct(NEW), other.reconstruct(NEW * units) / units]
    np.testing.assert_array_equal(made[1][:, :5], made[0][:, :5])


@pytest.mark.full
def test_a_seed_repeats_everything(fitted):
    drawn = np.random.RandomState(3)
    again, other = (clone(fitted).set_params(random_state=drawn).fit(X) for _ in range(2))
    np.testing.assert_array_equal(again.score_samples(NEW), fitted.score_samples(NEW))
    assert other.threshold_ != fitted.threshold_
    kept = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(kept.predict(ODD), fitted.predict(ODD))


def test_it_stands_at_the_end_of_a_pipeline(fitted):
    pipeline = make_pipeline(FunctionTransformer(lambda x: x[:, ::-1]), AnomalyDetector())
    pipeline.set_params(**{f"anomalydetector__{name}": value for name, value in GIVEN.items()})
    found = pipeline.fit(X[:, ::-1])
    np.testing.assert_array_equal(found.predict(NEW[:, ::-1]), fitted.predict(NEW))


def test_a_quarter_of_few_rows_is_a_threshold_that_is_said_to_be_loose():
    with pytest.warns(UserWarning, match=r"^2 held-out rows are too few for alpha 0.05: .* 0.33$"):
        found = AnomalyDetector(**GIVEN).fit(X[:10])
    assert found.alpha_ == 1 / 3
    assert found.threshold_ == found.calibration_errors_.max()


def test_of_few_rows_one_is_held_out_and_latents_are_the_root_of_the_columns():
    for count in (2, 3):
        with pytest.warns(UserWarning, match="^1 held-out rows are too few"):
            found = AnomalyDetector(steps=1, widths=()).fit(np.arange(9.0 * count).reshape(-1, 9))
        assert found.calibration_errors_.shape == (1,)
    assert sorted(x.size for x in jax.tree.leaves(found._params)) == [3, 9, 27, 27]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"alpha": 0}, "alpha is 0: use more than 0"),
        ({"calibration": 1.0}, "calibration is 1.0: use more than 0 and less than 1"),
        ({"latent_size": 0}, "latent_size is 0: use a whole number"),
        ({"widths": (0,)}, "a size of widths is 0"),
        ({"widths": ((4,),)}, "widths are .*: give the size of each hidden layer"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"learning_rate": [0.1, 0.2]}, r"learning_rate is \[0.1, 0.2\]: use a finite number"),
        ({"learning_rate": 1e30}, "broke at step .*: lower learning_rate"),
    ],
)
def test_parameters_that_cannot_be_used(given, words):
    with pytest.raises(ValueError, match=words):
        AnomalyDetector(**{**GIVEN, **given}).fit(X)


def test_rows_that_cannot_be_used(fitted):
    with pytest.raises(ValueError, match="contains NaN"):
        AnomalyDetector().fit(np.where(X == 3, np.nan, X))
    with pytest.raises(ValueError, match="5 features, but AnomalyDetector is expecting 6"):
        fitted.predict(NEW[:, :5])
