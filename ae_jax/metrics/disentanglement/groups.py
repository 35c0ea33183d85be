"""Scores of groups of examples that have one factor in common: which one, by their latents?"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, InputError
from ae_jax.metrics._samples import checked_finite, unless_broken
from ae_jax.metrics.disentanglement._checks import checked, refuse_traced, varying
from ae_jax.metrics.disentanglement.classifiers import logistic_regression
from ae_jax.probability._examples import matched


class Groups(NamedTuple):
    """Groups of examples, each with one factor in common.

    Attributes:
      latents: [G, L, Z], of L examples in each group; for `beta_vae_score_of_groups` the
        differences of L pairs.
      fixed: int [G], the factor that they have in common.
    """

    latents: Array
    fixed: Array


def fixed_factor_groups(key: Array, factors: Array, groups: int, size: int) -> tuple[Array, Array]:
    """Draws groups of examples that have a value of one factor in common; can be jitted.

    A group has the value of an example drawn at random, and its members are drawn, with
    replacement, from all that have it. Factors that vary take turns.

    Args:
      key: PRNG key.
      factors: int [N, K], of the examples there are to choose from.
      groups: how many; static.
      size: how many examples in each; static.

    Returns:
      Indices of examples, int [groups, size], of the latents at hand or to fetch a data set by, and
      the factors in common, int [groups].

    Raises:
      InputError: if the shape does not fit or a number is below 1.
    """
    factors = _checked_factors(factors, groups=groups, size=size)
    return _drawn(key, factors, groups, size, False)[1:]


def fixed_factor_pairs(key: Array, factors: Array, groups: int, size: int) -> tuple[Array, Array]:
    """Draws groups of pairs, of which all have one factor in common; can be jitted.

    The first of a pair is any example; the second any that has its value of the group's factor.
    Factors that vary take turns.

    Args:
      key: PRNG key.
      factors: int [N, K], of the examples there are to choose from.
      groups: how many; static.
      size: how many pairs in each; static.

    Returns:
      Indices of the first and the second examples, int [2, groups, size], and the factors in
      common, int [groups].

    Raises:
      InputError: if the shape does not fit or a number is below 1.
    """
    factors = _checked_factors(factors, groups=groups, size=size)
    first, second, fixed = _drawn(key, factors, groups, size, True)
    return jnp.stack([first, second]), fixed


def factor_vae_score(
    key: Array,
    latents: Array,
    factors: Array,
    groups: int = 1000,
    test_groups: int = 500,
    size: int = 32,
    least_deviation: float = 0.05,
) -> Array:
    """FactorVAE score: whether the latent that varies least names the fixed factor; can be jitted.

    In each group one factor is fixed, and the latent whose variance is smallest, in units of its
    variance over all examples, votes for that factor. A latent stands for the factor that it votes
    for most often in training groups.

    Args:
      key: PRNG key, which draws groups from the examples.
      latents: [N, Z].
      factors: int [N, K].
      groups: for training; static. 10,000 of 64 in Locatello et al., and 5,000 to test.
      test_groups: static.
      size: of a group, at least 2; static.
      least_deviation: latents of a smaller standard deviation over all examples do not vote.

    Returns:
      The accuracy in test groups, a scalar in [0, 1]; 1 / K by chance. 0 where no latent votes or
      no factor varies; NaN if a latent is not finite.

    Raises:
      InputError: if the shapes do not fit or a number is too small.

    Reference:
      Kim and Mnih, 2018, "Disentangling by factorising"; unused latents left out as in
      Locatello et al., 2019.
    """
    latents, factors = checked(latents, factors)
    if min(groups, test_groups) < 1 or size < 2:
        raise InputError(
            "groups and test_groups must be positive and a group of 2 examples or more, not "
            f"{groups}, {test_groups} and {size}"
        )
    least = jnp.asarray(least_deviation, latents.dtype)
    return _score_of_drawn_groups(key, latents, factors, groups, test_groups, size, least)


def factor_vae_score_of_groups(
    train: Groups, test: Groups, variances: Array, least_deviation: float = 0.05
) -> float:
    """FactorVAE score of groups at hand, however they were made.

    Args:
      train: groups of at least 2 examples, by which a latent's factor is decided.
      test: groups of which the accuracy is measured.
      variances: [Z], of the latents over all examples, by 1 / (N - 1).
      least_deviation: as in `factor_vae_score`.

    Returns:
      The accuracy in test groups; 0 where no latent votes.

    Raises:
      InputError: if the shapes do not fit.
    """
    train, test = _checked_groups(2, train=train, test=test)
    variances = jnp.asarray(variances, train.latents.dtype)
    if variances.shape != train.latents.shape[2:]:
        raise InputError(
            f"variances must be [{train.latents.shape[2]}], one per latent, "
            f"got {list(variances.shape)}"
        )
    least = jnp.asarray(least_deviation, variances.dtype)
    if not jnp.any(_active(variances, least)):
        return 0.0
    count = int(max(np.max(train.fixed), np.max(test.fixed))) + 1
    votes = [(_votes(latents, variances, least), fixed) for latents, fixed in (train, test)]
    return float(_accuracy(*votes, len(variances), count))


def beta_vae_score(
    key: Array,
    latents: Array,
    factors: Array,
    groups: int = 1000,
    test_groups: int = 500,
    size: int = 32,
) -> float:
    """Beta-VAE score: whether a linear classifier names the factor that pairs share; on the host.

    Args:
      key: PRNG key, which draws groups of pairs from the examples.
      latents: [N, Z].
      factors: int [N, K].
      groups: for training. 10,000 of 64 in Locatello et al., and 5,000 to test.
      test_groups: how many groups are classified.
      size: pairs in a group.

    Returns:
      The accuracy in test groups, from 0 to 1; 1 / K by chance. It is the easiest score: with few
      factors nearly every code reaches 1. 0 where no factor varies.

    Raises:
      InputError: if the shapes do not fit, values are not finite or a number is below 1.

    Reference:
      Higgins et al., 2017, "beta-VAE", section 3.
    """
    refuse_traced(latents, factors)
    latents, factors = checked(latents, factors)
    checked_finite("latents", latents)
    if min(groups, test_groups) < 1:
        raise InputError(f"groups and test_groups must be positive, not {groups} and {test_groups}")
    (first, second), fixed = fixed_factor_pairs(key, factors, groups + test_groups, size)
    if not bool(jnp.any(varying(factors))):
        return 0.0
    differences = latents[first] - latents[second]
    return beta_vae_score_of_groups(
        Groups(differences[:groups], fixed[:groups]), Groups(differences[groups:], fixed[groups:])
    )


def beta_vae_score_of_groups(train: Groups, test: Groups) -> float:
    """Beta-VAE score of the differences of pairs at hand; on the host.

    Args:
      train: differences of pairs, to which a logistic regression of their mean size is fitted.
      test: differences of which the accuracy is measured.

    Returns:
      The accuracy in test groups.

    Raises:
      InputError: if the shapes do not fit or values are not finite.
    """
    train, test = _checked_groups(1, train=train, test=test)

    def features(groups: Groups) -> np.ndarray:
        # |z_1 - z_2|, mean over the group's pairs
        return np.mean(np.abs(np.asarray(groups.latents, np.float64)), axis=1)

    if len(np.unique(train.fixed)) < 2:  # one answer, and no classifier
        return float(np.mean(np.asarray(test.fixed) == np.asarray(train.fixed)[0]))
    classifier = logistic_regression().fit(features(train), np.asarray(train.fixed))
    return float(classifier.score(features(test), np.asarray(test.fixed)))


def _checked_factors(factors: Array, **numbers: int) -> Array:
    factors = factors if isinstance(factors, jax.core.Tracer) else np.asarray(factors)
    if factors.ndim != 2 or not factors.size or not jnp.issubdtype(factors.dtype, jnp.integer):
        raise InputError(
            "factors must be integers [N, K] and not empty, got "
            f"{factors.dtype} {list(factors.shape)}"
        )
    if min(numbers.values()) < 1:
        listed = ", ".join(f"{name} {number}" for name, number in numbers.items())
        raise InputError(f"groups need at least 1 of each, got {listed}")
    return jnp.asarray(factors)


def _checked_groups(least: int, **groups: Groups) -> list[Groups]:
    """Groups as arrays, of at least so many examples each."""
    found = []
    for name, (latents, fixed) in groups.items():
        (latents,), fixed = matched("latents", latents), jnp.asarray(fixed)
        if latents.ndim != 3 or fixed.shape != latents.shape[:1] or not latents.size:
            raise InputError(
                f"{name} groups must be latents [G, L, Z] and fixed [G] and not empty, got "
                f"{list(latents.shape)} and {list(fixed.shape)}"
            )
        if latents.shape[1] < least:
            raise InputError(f"{name} groups must have {least} examples each or more")
        if not jnp.issubdtype(fixed.dtype, jnp.integer) or jnp.any(fixed < 0):
            raise InputError(f"the fixed factors of {name} groups must be integers from 0")
        checked_finite(f"{name} groups", latents)
        found.append(Groups(latents, fixed))
    if found[0].latents.shape[2] != found[1].latents.shape[2]:
        raise InputError("groups of training and test must have as many latents")
    return found


@functools.partial(jax.jit, static_argnames=("groups", "size", "pairs"))
def _drawn(
    key: Array, factors: Array, groups: int, size: int, pairs: bool
) -> tuple[Array, Array, Array]:
    """Examples [groups, size or 1], partners that share a factor [groups, size], and which one."""
    # examples in the order of each factor: those of a value stand side by side
    order = jnp.argsort(factors, axis=0)
    ordered = jnp.take_along_axis(factors, order, axis=0)

    def ends(side: str) -> Array:
        find = functools.partial(jnp.searchsorted, side=side)
        return jax.vmap(find, in_axes=1, out_axes=1)(ordered, factors)

    start, end = ends("left"), ends("right")
    varies = varying(factors)
    # in turns: every factor is fixed as often
    turn = jnp.arange(groups) % jnp.maximum(jnp.sum(varies), 1)
    fixed = jnp.argsort(~varies, stable=True)[turn]
    keys = jax.random.split(key)
    first = jax.random.randint(keys[0], (groups, size if pairs else 1), 0, len(factors))
    column = fixed[:, None]
    place = jax.random.randint(keys[1], (groups, size), start[first, column], end[first, column])
    return first, order[place, column], fixed


@functools.partial(jax.jit, static_argnames=("groups", "test_groups", "size"))
def _score_of_drawn_groups(
    key: Array,
    latents: Array,
    factors: Array,
    groups: int,
    test_groups: int,
    size: int,
    least_deviation: Array,
) -> Array:
    centred = latents - latents[:1]  # a constant, however large, then has no variance by rounding
    variances = jnp.var(centred, axis=0) * (len(latents) / max(len(latents) - 1, 1))
    _, members, fixed = _drawn(key, factors, groups + test_groups, size, False)
    votes = _votes(centred[members], variances, least_deviation)
    train, test = (votes[:groups], fixed[:groups]), (votes[groups:], fixed[groups:])
    score = _accuracy(train, test, latents.shape[1], factors.shape[1])
    possible = jnp.any(_active(variances, least_deviation)) & jnp.any(varying(factors))
    return unless_broken(jnp.where(possible, score, 0), latents)


def _active(variances: Array, least_deviation: Array) -> Array:
    return (variances > 0) & (jnp.sqrt(variances) >= least_deviation)


def _votes(latents: Array, variances: Array, least_deviation: Array) -> Array:
    """The latent of each group [G, L, Z] that varies least beside its variance over all, [G]."""
    active = _active(variances, least_deviation)
    # the same factor L / (L - 1) for all latents changes no vote
    within = jnp.var(latents - latents[:, :1], axis=1) / jnp.where(active, variances, 1)[None]
    return jnp.argmin(jnp.where(active[None], within, jnp.inf), axis=1)


def _accuracy(
    train: tuple[Array, Array], test: tuple[Array, Array], latent_size: int, factor_count: int
) -> Array:
    """How often a latent's vote in test groups is for the factor that it names in training."""
    counts = jnp.zeros((latent_size, factor_count), jnp.int32).at[train].add(1)
    right = jnp.argmax(counts, axis=1)[test[0]] == test[1]
    return jnp.mean(right.astype(jnp.result_type(float)))
