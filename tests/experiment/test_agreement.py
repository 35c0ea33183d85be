import jax
import numpy as np
import pytest

from ae_jax import experiment, metrics
from ae_jax.experiment import agreement

DRAWS = np.random.RandomState(0)
CODES = DRAWS.normal(size=(40, 3))


def rows(*figures, **columns):
    return [
        {"lane": lane, "seed": lane % 2, "status": "ok", "mig": figure}
        | {name: values[lane] for name, values in columns.items()}
        for lane, figure in enumerate(figures)
    ]


def test_agreement_is_of_the_lanes_of_one_setting():
    settings = rows(0.1, 0.2, 0.3, 0.4, beta=[1, 1, 4, 9])
    codes = {0: CODES, 1: -(CODES[:, ::-1] ** 3), 2: DRAWS.normal(size=(40, 3)), 3: CODES}
    found = agreement.with_agreement(settings, codes, ["beta"])
    expected = metrics.udr([codes[0], codes[1]]).scores
    assert [row["udr"] for row in found[:2]] == expected.tolist()
    assert all("udr" not in row for row in found[2:])


def test_a_latent_that_hardly_varies_does_not_count():
    quiet = CODES * [1, 1, 0.05]  # of the variance 0.0025
    other = np.concatenate([CODES[:, :2], DRAWS.normal(size=(40, 1)) * 0.05], axis=1)
    found = agreement.with_agreement(rows(0.1, 0.2), {0: quiet, 1: other}, ["status"])
    expected = metrics.udr([CODES[:, :2], CODES[:, :2]]).scores
    assert [row["udr"] for row in found] == pytest.approx(expected.tolist())


def test_frozen_lanes_and_what_is_not_finite_do_not_count():
    own = rows(1.0, 2.0, np.nan, 3.0, kl=[3.0, 2.0, 1.0, 9.0])
    own[3]["status"] = "frozen"
    assert agreement.known(own, ["mig", "kl", "sap"]) == ["mig", "kl"]
    assert agreement.known(own[1:], ["mig", "kl"]) == ["kl"]
    found = agreement.correlations(own, ["mig", "kl"])
    np.testing.assert_allclose(found, [[1, -1], [-1, 1]])


def test_what_explains_a_figure_is_said_beside_what_would_by_chance():
    figures = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0]
    own = rows(*figures, method=list("aaaabb"), strength=[1, 1, 2, 2, 1, 1])
    levels = ("method", "strength", "seed")
    expected = metrics.shares_of_variance(figures, "aaaabb", [1, 1, 2, 2, 1, 1])
    found = agreement.shares(own, ["mig"], levels)
    assert found == {"MIG": dict(zip(levels, expected, strict=True))}
    (line,) = agreement.explained(own, "mig", levels)
    shares = [f"{share:.0%}" for share in expected]
    assert f"method {shares[0]} (20%); strength {shares[1]} (20%); seed {shares[2]} (60%)" in line
    assert agreement.explained(own[:1], "mig", levels) == []


def test_scores_on_the_host_are_those_of_metrics():
    factors = np.stack([np.arange(40) % 2, np.arange(40) // 2 % 2], axis=1)
    codes = CODES + np.concatenate([4 * factors, np.zeros((40, 1))], axis=1)
    found = agreement.scored(codes, factors, 3)
    key = jax.random.key(3)
    assert found["beta_vae_score"] == metrics.beta_vae_score(key, codes, factors)
    assert found["explicitness"] == metrics.explicitness(codes, factors)
    trees = metrics.dci(codes, factors, importance="forest", seed=3)
    assert trees.items() <= found.items()
    total = float(metrics.gaussian_total_correlation(codes))
    assert found["gaussian_total_correlation"] == total


def test_settings_are_no_product():
    config = experiment.Config(learning_rate=(0.1, 0.2), seeds=2)
    settings = {"beta": 1.0}, {"beta": (2.0, 3.0), "gamma": 4.0}
    found = experiment.lanes(config, settings)
    first, second = (experiment.lanes(config, own) for own in settings)
    assert found == first + second
    assert (len(first), len(second)) == (4, 8)
    assert experiment.lanes(config, [{"learning_rate": 5.0}])[0]["learning_rate"] == 5.0
