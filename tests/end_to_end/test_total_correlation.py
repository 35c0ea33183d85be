"""The script on estimates of the total correlation, against SciPy, quadrature and known values."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from ae_jax import experiment, losses
from tests import loading

pytestmark = pytest.mark.usefixtures("x64")

#: Eight posteriors of a thousand, with draws.
ROWS, COLUMNS = np.arange(8)[:, None], np.arange(3)[None]
MEAN = 1.2 * np.sin(1.0 + 0.9 * ROWS + 2.0 * COLUMNS)
DEVIATION = np.exp(-0.5 + 0.25 * np.cos(0.7 * ROWS * (COLUMNS + 1)))
Z = MEAN + DEVIATION * 1.3 * np.sin(3.1 * ROWS + 1.3 * COLUMNS + 0.4)
N, B, D = 12, 4, 2


@pytest.fixture(scope="module")
def script():
    return loading.script("total_correlation")


@pytest.fixture(scope="module")
def config(script):
    smallest = script.PRESETS["smoke"]
    return dataclasses.replace(smallest, data_size=N, latent_size=D, batch_size=(B,))


def by_scipy(z, mean, deviation, log_weights):
    """The mean of log q(z) - sum_d log q(z_d)."""
    pairs = norm.logpdf(z[:, None], mean[None], deviation)
    joint = logsumexp(pairs.sum(axis=2) + log_weights, axis=1)
    return np.mean(joint - logsumexp(pairs + log_weights[..., None], axis=1).sum(axis=1))


def test_the_copied_weights_give_what_is_known_of_them(script):
    copied = script.copied_weights(8, 1000)
    np.testing.assert_allclose(by_scipy(Z, MEAN, DEVIATION, copied), 0.0487995404326, atol=1e-10)
    right = losses.aggregate_weights(8, 1000, "mss")
    np.testing.assert_allclose(by_scipy(Z, MEAN, DEVIATION, right), -0.578482007796, atol=1e-10)
    # seven of eight examples weigh themselves as any other; a row does not sum to 1
    np.testing.assert_allclose(np.exp(np.diagonal(copied)[2:]), 1 / 7, rtol=1e-12)
    sums = np.exp(copied).sum(axis=1)
    np.testing.assert_allclose(np.delete(sums, 6), 1, rtol=1e-12)
    assert abs(sums[6] - 1) > 0.1


def test_an_estimate_and_its_gradient_are_scipys(script, config):
    random = np.random.RandomState(0)
    factors, noise = random.normal(size=(2, B, D))
    params = np.asarray(script.encoder(config, 0.6)) + 0.1 * random.normal(size=(D, D + 1))
    run = jax.jit(jax.value_and_grad(script.of_batch))

    def expected(params, log_weights):
        mean, deviation = factors @ params[:, :-1].T, np.exp(params[:, -1] / 2)
        return by_scipy(mean + deviation * noise, mean, deviation, log_weights)

    for name, weigh in script.ESTIMATORS.items():
        log_weights = weigh(B, N)
        found, slope = run(params, factors, noise, log_weights)
        np.testing.assert_allclose(found, expected(params, log_weights), rtol=1e-10, err_msg=name)
        for at in ((0, 1), (1, 0), (1, 2)):
            step = np.zeros_like(params)
            step[at] = 1e-5
            ends = (expected(params + sign * step, log_weights) for sign in (1, -1))
            rise = np.subtract(*ends) / 2e-5
            np.testing.assert_allclose(slope[at], rise, atol=1e-8, err_msg=name)


def test_the_exact_value_is_that_by_quadrature(script, config):
    many = dataclasses.replace(config, correlation=0.9, passes=60)
    found, _ = script.estimated(many, 0.3, losses.aggregate_weights(N, N)[None])
    assert found.shape == (2, 60, 1)
    factors = np.asarray(jax.random.normal(jax.random.key(0), (N, D)))
    params = np.asarray(script.encoder(many, 0.3))
    np.testing.assert_allclose(np.exp(params[:, -1] / 2), 0.3, rtol=1e-12)
    covariance = params[:, :-1] @ params[:, :-1].T + 0.09 * np.eye(D)
    np.testing.assert_allclose(covariance, [[1, 0.819], [0.819, 1]], rtol=1e-12)
    axis = np.linspace(-6, 6, 481)
    x, y = (norm.pdf(axis, each[:, None], 0.3) for each in params[:, :-1] @ factors.T)
    joint, cell = x.T @ y / N, (axis[1] - axis[0]) ** 2
    product = np.outer(x.mean(axis=0), y.mean(axis=0))
    exact = np.sum(joint * np.log(joint / product)) * cell
    error = found.std() / np.sqrt(found.size)
    assert abs(found.mean() - exact) < 4 * error < 0.2 * exact


def test_mws_takes_the_batch_for_all_data_and_adds_a_constant(script, config):
    uniform = np.full((B, B), -np.log(B))
    mws = script.ESTIMATORS["MWS"](B, N)
    for deviation in (0.2, 1.0):
        found, slopes = script.estimated(config, deviation, np.stack([mws, uniform]))
        difference = found[..., 0] - found[..., 1]
        np.testing.assert_allclose(difference, script.constant(config), rtol=1e-10)
        np.testing.assert_allclose(slopes[:, 0], slopes[:, 1], atol=1e-12)
    np.testing.assert_allclose(script.constant(config), (D - 1) * np.log(N), rtol=1e-12)
    np.testing.assert_allclose(found[..., 1], 0, atol=1e-12)  # all posteriors are the prior


def test_batches_of_all_data_are_exact_by_symmetric_weights(script, config, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(experiment, "report", lambda *args, **more: seen.append(args[3]))
    whole = dataclasses.replace(config, batch_size=(5, N), deviation=(0.5, 1.0))
    script.total_correlation(dataclasses.replace(whole, out=tmp_path / "run"))
    (rows,) = seen
    assert len(rows) == len(script.ESTIMATORS) * 2 * 2 * 2
    for row in experiment.where(rows, batch_size=N, estimator="symmetric"):
        assert row["bias"] == 0
    (row, _) = experiment.where(rows, batch_size=N, estimator="MSS", deviation=0.5)
    assert row["bias"] != 0
    for row in experiment.where(rows, deviation=1.0):
        assert np.isnan(row["cosine"])  # there is no direction
        if row["estimator"] in ("symmetric", "MSS"):
            assert row["bias"] == row["exact"] == 0
    for row in experiment.where(rows, deviation=0.5):
        assert -1 <= row["cosine"] <= 1
