"""What experiments on anomalies share: classes that are left out, detectors, how they compare."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax import metrics, plots
from ae_jax.core import Array, InputError, Network
from ae_jax.methods import boltzmann
from ae_jax.training import Model

#: Examples [N, ...] -> scores [N], higher where they fit less.
Score = Callable[[np.ndarray], np.ndarray]


class Task(NamedTuple):
    """Normal examples to train on and to calibrate with, and both kinds to test on.

    Attributes:
      left_out: the class that is the anomaly.
      draw: which of the splits it is.
      train: [N, ...].
      calibration: [M, ...].
      test: [K, ...], normal ones first.
      anomalous: bool [K].
    """

    left_out: int
    draw: int
    train: np.ndarray
    calibration: np.ndarray
    test: np.ndarray
    anomalous: np.ndarray


def leaving_out(
    x: np.ndarray, label: np.ndarray, left_out: Sequence[int], draws: int
) -> list[Task]:
    """Splits the examples of all classes but one at random: three fifths, one and one.

    All tasks have arrays of one size, the largest that all of them come to. Columns of a table are
    standardised by the mean and the deviation of the training examples; images stay as they are.

    Args:
      x: [N, H, W, C] or [N, D].
      label: int [N].
      left_out: the classes to leave out, each in turn; all of them where there is none.
      draws: how many splits there are for each.

    Raises:
      InputError: if a class is not there, is given twice or is the only one, or there are too few
        examples, or normal ones that are all the same.
    """
    left_out = left_out or np.unique(label).tolist()
    if missing := sorted(set(left_out) - set(label.tolist())):
        raise InputError(f"a class to leave out is {missing[0]}, of which there is no example")
    if len(set(left_out)) < len(left_out):
        raise InputError("a class to leave out is given twice: give each once")
    fifth = min(int(np.sum(label != k)) for k in left_out) // 5
    if not fifth:
        raise InputError("with a class left out, less than 5 normal examples remain: give more")
    odd = min(int(np.sum(label == k)) for k in left_out)
    tasks = []
    for k in left_out:
        for draw in range(draws):
            random = np.random.RandomState(draw)
            order = random.permutation(np.flatnonzero(label != k))
            ends = [3 * fifth, 4 * fifth, 5 * fifth]
            train, calibration, test = (x[part] for part in np.split(order, ends)[:3])
            changing = np.any(train != train[0], axis=0)
            if not changing.any():
                raise InputError(f"without class {k} all examples are the same: nothing is learned")
            own = random.permutation(np.flatnonzero(label == k))[:odd]
            parts = [train, calibration, np.concatenate([test, x[own]])]
            if x.ndim == 2:
                mean, deviation = train.mean(axis=0), np.where(changing, train.std(axis=0), 1)
                parts = [(part - mean) / deviation for part in parts]
            tasks.append(Task(k, draw, *parts, np.arange(fifth + odd) >= fifth))
    return tasks


def classical_detectors(train: np.ndarray, components: int) -> dict[str, Score]:
    """Fits classical detectors as scikit-learn has them by default, and principal components.

    Args:
      train: normal examples [N, ...].
      components: of PCA; beside it stands that of 95% of the variance.

    Raises:
      InputError: if there are not so many components.
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor
    from sklearn.svm import OneClassSVM

    x = _flat(train)
    principal = metrics.pca(x, components)
    shares = np.cumsum(principal.variances) / np.sum(principal.variances)

    def left_by(found: metrics.PrincipalComponents) -> Score:
        return lambda y: squared_error(metrics.pca_reconstruct(found, y), y)

    def by(detector: Any) -> Score:
        fitted = detector.fit(x)
        return lambda y: -fitted.score_samples(_flat(y))

    return {
        "PCA": left_by(principal),
        "PCA 95%": left_by(metrics.pca(x, int(np.searchsorted(shares, 0.95)) + 1)),
        "local outlier factor": by(LocalOutlierFactor(novelty=True)),
        "isolation forest": by(IsolationForest(random_state=0)),
        "one-class SVM": by(OneClassSVM()),
    }


def errors(model: Model, train: np.ndarray) -> tuple[Score, Score]:
    """An autoencoder's squared error, and how far from those of normal examples latents are.

    Args:
      model: a lane with views `reconstruct` and `encode`.
      train: normal examples [N, ...], of whose latents `mahalanobis` is.
    """
    made, code = jax.jit(model.method.views.reconstruct), jax.jit(model.method.views.encode)

    def latents(x: np.ndarray) -> Array:
        return code(model.state, {"image": x}, model.hparams)

    def error(x: np.ndarray) -> np.ndarray:
        return squared_error(made(model.state, {"image": x}, model.hparams), x)

    distance = mahalanobis(latents(train))
    return error, lambda x: distance(_flat(latents(x)))


def unlikeliness(model: Model) -> Score:
    """Minus what a model says of log p(x), of a VAE its importance-weighted bound."""
    likelihood = jax.jit(model.method.views.log_likelihood)

    def score(x: np.ndarray) -> np.ndarray:
        return -np.asarray(likelihood(jax.random.key(0), model.state, {"image": x}, model.hparams))

    return score


def free_energy(params: boltzmann.RBMParams, units: boltzmann.Units) -> Score:
    """A restricted machine's free energy: minus log p(v), less the logarithm of Z."""
    energy = jax.jit(boltzmann.free_energy, static_argnames="units")

    def score(x: np.ndarray) -> np.ndarray:
        return np.asarray(energy(params, jnp.reshape(x, (len(x), -1)), units=units))

    return score


def suspicion(discriminator: Network, params: Any) -> Score:
    """Minus a discriminator's logit: how much an example looks made."""
    judge = jax.jit(discriminator.apply)
    return lambda x: -np.asarray(judge(params, x))[:, 0]


def mahalanobis(train: np.ndarray) -> Score:
    """The squared Mahalanobis distance from the mean of latents, of a shrunken covariance.

    (z - m)' S^-1 (z - m), S = (1 - d) C + d tr(C) / Z I: C is the covariance of the training
    latents, and d the share that lowers the expected error of S.

    Args:
      train: latents [N, Z] of normal examples.

    Returns:
      Latents [K, Z] -> [K].

    Reference:
      Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance
      matrices, equation 14.
    """
    from sklearn.covariance import LedoitWolf

    return LedoitWolf().fit(_flat(train)).mahalanobis


def compared(
    rows: Sequence[Mapping[str, Any]], models: Sequence[str], beside: str = "PCA"
) -> list[str]:
    """Says which classical detector is best, and how models differ from it and from another.

    Args:
      rows: with `detector`, `left_out`, `draw` and `auroc`.
      models: the detectors that are not classical.
      beside: the other one.
    """
    table: dict[str, dict[Any, Any]] = {}
    for point in plots.aggregate(rows, ("detector", "left_out", "draw"), ["auroc"]):
        if point["auroc"].count:
            task = point["left_out"], point["draw"]
            table.setdefault(point["detector"], {})[task] = point["auroc"].mean
    means = {name: np.mean(list(own.values())) for name, own in table.items()}
    best = max(means.keys() - set(models), key=means.get)
    lines = [f"The best classical detector is {best}, of AUROC {means[best]:.3f}."]
    for name in [name for name in models if name in table]:
        own = table[name]
        less = {
            other: metrics.paired_difference(list(own.values()), [table[other][k] for k in own])
            for other in dict.fromkeys((best, beside))
        }
        words = ", ".join(f"{difference:+.3f} ({other})" for other, difference in less.items())
        lines.append(f"AUROC of {name}, {means[name]:.3f}, less others': {words}.")
    return lines


def squared_error(made: Any, y: Any) -> np.ndarray:
    """The squared error of examples [N, ...], summed over their dimensions, in double precision."""
    return np.sum((_flat(made) - _flat(y)) ** 2, axis=1)


def mean_roc(
    scored: Mapping[Any, np.ndarray], anomalous: Mapping[Any, np.ndarray], count: int = 21
) -> tuple[np.ndarray, np.ndarray, None]:
    """The mean of ROC curves at equal false positive rates, as `plots.lines` draws it.

    Args:
      scored: scores [K] of each of several tasks.
      anomalous: bool [K], of each of the same.
      count: how many false positive rates.
    """
    from sklearn.metrics import roc_curve

    grid, curves = np.linspace(0, 1, count), []
    for task, scores in scored.items():
        false, true, _ = roc_curve(anomalous[task], scores)
        curves.append(np.interp(grid, false, true))
    return grid, np.mean(curves, axis=0), None


def _flat(x: Any) -> np.ndarray:
    return np.asarray(x, np.float64).reshape(len(x), -1)
