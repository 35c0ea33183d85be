"""Whether models that were trained alike found the same latents; no factors are needed."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ae_jax.core import Array, InputError


class Agreement(NamedTuple):
    """How models agree with each other.

    Attributes:
      scores: [M], the median of a model's agreement with the others.
      pairs: [M, M], how well model i's latents rank or predict model j's; 0 on the diagonal.
    """

    scores: np.ndarray
    pairs: np.ndarray


def udr(
    latents: Array | Sequence[Array],
    active: Array | Sequence[Array] | None = None,
    relation: Literal["spearman", "lasso"] = "spearman",
) -> Agreement:
    """Unsupervised disentanglement ranking: agreement up to order, sign and scale; on the host.

    Models that disentangle find the same latents from any seed, where those that do not mix them in
    ways of their own. Compare seeds of one setting.

    Args:
      latents: of M models at least 2, [M, N, Z] or M arrays [N, Z] of sizes of their own: what they
        make of the same examples.
      active: bool [M, Z], the latents that count, such as those with a KL above 0.01 nats; all of
        them if None.
      relation: of two models' latents, which are standardised: the size of the rank correlation,
        or of the weight of one in predicting another (lasso, of penalty 0.1).

    Returns:
      The scores, from 0 to 1, and agreement by pairs. A latent with one value agrees with none; a
      model without active latents has 0.

    Raises:
      InputError: if shapes do not fit, values are not finite, there is one model only, or no
        relation of that name.

    Reference:
      Duan et al., 2020, "Unsupervised model selection for variational disentangled representation
      learning", section 4.
    """
    if relation not in _RELATIONS:
        raise InputError(f"relation is one of {', '.join(_RELATIONS)}, not {relation!r}")
    models = [np.asarray(model, np.float64) for model in latents]
    if len(models) < 2:
        raise InputError("agreement needs at least 2 models")
    shapes = [list(model.shape) for model in models]
    if any(m.ndim != 2 or len(m) != len(models[0]) or not m.size for m in models):
        raise InputError(f"latents must be [N, Z] of the same N for each model, got {shapes}")
    if not all(np.all(np.isfinite(model)) for model in models):
        raise InputError("latents contain values that are not finite")
    active = [np.ones(m.shape[1], bool) for m in models] if active is None else active
    chosen = [np.asarray(mask) for mask in active]
    fitting = [list(mask.shape) for mask in chosen] == [shape[1:] for shape in shapes]
    if not fitting or any(mask.dtype != bool for mask in chosen):
        raise InputError("active must be bool, one for each latent of each model")
    models = [_standardised(m)[:, mask] for m, mask in zip(models, chosen, strict=True)]
    relate = _RELATIONS[relation](models)
    count = len(models)
    pairs = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            if i != j and models[i].size and models[j].size:
                pairs[i, j] = relative_strength(relate(i, j))
    scores = [float(np.median(np.delete(pairs[:, i], i))) for i in range(count)]
    return Agreement(np.array(scores), pairs)


def relative_strength(relations: np.ndarray) -> float:
    """How nearly latents of two models match one to one, from the sizes of relations [Z, Z'].

    1 where each has one partner, 1 / Z where all are related alike, and 0 where none is.
    """

    def one_way(relations: np.ndarray) -> float:
        total = relations.sum(axis=0)
        # max_a R(a, b)^2 / sum_a R(a, b), mean over b
        return float(np.mean(relations.max(axis=0) ** 2 / np.where(total > 0, total, 1)))

    return (one_way(relations) + one_way(relations.T)) / 2


def rank_correlations(figures: Array) -> np.ndarray:
    """Spearman's correlation of all pairs of figures over models; on the host.

    Args:
      figures: [L, M], M figures of L models, NaN where a model has none: each pair is
        correlated over the models that have both.

    Returns:
      [M, M], symmetric, from -1 to 1; NaN where a figure is the same for all models, or fewer than
      2 have both.

    Raises:
      InputError: if the shape does not fit or a figure is infinite.

    Reference:
      Spearman, 1904, "The proof and measurement of association between two things".
    """
    from scipy.stats import rankdata

    figures = np.asarray(figures, np.float64)
    if figures.ndim != 2 or not figures.size:
        raise InputError(f"figures must be [L, M] and not empty, got {list(figures.shape)}")
    if np.any(np.isinf(figures)):
        raise InputError("figures contain values that are infinite")
    count = figures.shape[1]
    found = np.full((count, count), np.nan)
    for i in range(count):
        for j in range(i + 1):
            pair = figures[:, [i, j]]
            pair = pair[~np.isnan(pair).any(axis=1)]
            if len(pair) and np.all(np.any(pair != pair[:1], axis=0)):
                ranks = _standardised(rankdata(pair, axis=0))
                found[i, j] = found[j, i] = np.clip(np.mean(ranks[:, 0] * ranks[:, 1]), -1, 1)
    return found


def _standardised(values: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1; zeros where a column has one value."""
    values = values - values[:1]  # a constant is 0, without rounding
    values = values - values.mean(axis=0)
    deviation = values.std(axis=0)
    return values / np.where(deviation > 0, deviation, 1)


def _spearman(models: list[np.ndarray]) -> Callable[[int, int], np.ndarray]:
    from scipy.stats import rankdata

    ranks = [_standardised(rankdata(m, axis=0)) if m.size else m for m in models]
    return lambda i, j: np.abs(ranks[i].T @ ranks[j]) / len(models[i])


def _lasso(models: list[np.ndarray]) -> Callable[[int, int], np.ndarray]:
    from sklearn.linear_model import Lasso

    def weights(i: int, j: int) -> np.ndarray:
        fitted = Lasso(alpha=0.1).fit(models[i], models[j]).coef_
        return np.abs(fitted).reshape(models[j].shape[1], models[i].shape[1]).T

    return weights


_RELATIONS = {"spearman": _spearman, "lasso": _lasso}
